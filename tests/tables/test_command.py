"""The command of a table's file: its options, and what it refuses."""

import pytest

from sepray.errors import UsageError
from sepray.tables import command, forms
from sepray.tables.spec import Data, Form, Part, Row, Table

ROWS = (Row("The good", "nmf", {"low": "6.5"}),)
PARTS = (
    Part("first", Data("notes_and_bursts", (), "noise"), ROWS, ("low",)),
    Part("second", Data("stems", ("folder={songs}",), "songs"), ROWS, ("low",)),
    Part("third", Data("notes_and_bursts", (), "noise"), ROWS, ("low",)),
)
TABLE = Table("lab-1", "Lab, Table 1", ("si_sdr",), PARTS, Form(500, 5), Form(12, 2))


def test_table_that_has_no_data_at_all_is_refused():
    alone = Table("t", "T", ("si_sdr",), (PARTS[1],), Form(500, 5), Form(12, 2))
    with pytest.raises(UsageError, match="it needs --folder songs=FOLDER"):
        command.run(alone, command.TableOptions())


def test_command_line_chooses_the_form_and_refuses_another(tmp_path):
    options = command.parse(TABLE, ["--budget", "full", "--folder", "songs=/a", "--final-seeds", "2", "--cache", "/c"])
    assert (options.budget, options.folder, options.final_seeds, str(options.stores.cache)) == (
        forms.FULL,
        ("songs=/a",),
        2,
        "/c",
    )
    assert command.parse(TABLE, []).budget == forms.MINUTES
    with pytest.raises(UsageError, match="hours"):
        command.parse(TABLE, ["--budget", "hours"])
    with pytest.raises(UsageError, match="must not be negative"):
        command.TableOptions(max_epochs=-1)

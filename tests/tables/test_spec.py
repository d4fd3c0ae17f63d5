"""The description of a published table: its figures as printed, and what it refuses."""

import pytest

from sepray.errors import UsageError
from sepray.tables.spec import Data, Form, Part, Row, Table, rows_of

ROWS = (
    Row("Plain (no cross)", "cass:CASS", {"low": "0.5 0.6"}),
    Row("Code", "cass:published"),
    Row("NES", "neural_egg"),
    Row("Theirs", missing="it is not public"),
)
MUSIC = Data("stems", ("folder={songs}", "sample_rate=8000"), "fifty songs")
STAND_IN = Data("stems", ("folder=:synthesised:",), "five small tracks")
SHORT = Form(4, 2, {"cass": "width=8 depth=2", "NES": "width=4", "absent": "x=1", "task": "train=64"})
TABLE = Table(
    "paper-1", "Paper, Table 1", ("si_sdr", "relative_l2"), (Part("", MUSIC, ROWS, stand_in=STAND_IN),),
    Form(500, 5), SHORT, {"cass": 500, "cass_published": 1000},
)  # fmt: skip


def test_figures_are_checked_when_a_table_is_written():
    part = Part("", STAND_IN, (Row("A", "nmf", {"low": "1.0 - 3.0"}),))
    three = Table("t", "T", ("si_sdr", "snr", "sdr"), (part,), TABLE.full, TABLE.minutes)
    assert three.published(part.rows[0], "low") == {"si_sdr": "1.0", "sdr": "3.0"}
    with pytest.raises(UsageError, match="more figures than the table has measures"):
        Table("t", "T", ("si_sdr",), (part,), TABLE.full, TABLE.minutes)
    with pytest.raises(UsageError, match=r"'1.O', which is no number"):
        Table("t", "T", ("snr",), (Part("", STAND_IN, (Row("A", "nmf", {"low": "1.O"}),)),), TABLE.full, TABLE.minutes)
    with pytest.raises(UsageError, match="neither a separator nor a reason"):
        Table("t", "T", ("snr",), (Part("", STAND_IN, (Row("A"),)),), TABLE.full, TABLE.minutes)
    twice = (Row("A b", "nmf"), Row("A-b", "nmf"))
    with pytest.raises(UsageError, match="have one name"):
        Table("t", "T", ("snr",), (Part("", STAND_IN, twice),), TABLE.full, TABLE.minutes)


def test_line_of_a_table_whose_columns_are_methods_becomes_rows():
    rows = rows_of({"NMF": "nmf", "NES": "neural_egg"}, "speech", "2.4 0.1, 7.5 0.2")
    assert rows == (Row("NMF", "nmf", {"speech": "2.4 0.1"}), Row("NES", "neural_egg", {"speech": "7.5 0.2"}))
    with pytest.raises(UsageError, match="3 figures for 1 methods"):
        rows_of({"NMF": "nmf"}, "speech", "1, 2, 3")

"""A table's parts are run in turn; what is there is written after each, and an interruption ends it."""

import csv
import io

import pytest
from rich.console import Console

from sepray.comparison import publishing
from sepray.comparison import table as comparisons
from sepray.comparison.publishing import ComparisonResult
from sepray.comparison.running import ComparisonFigures
from sepray.errors import SeprayError
from sepray.tables import command, running
from sepray.tables.spec import Data, Form, Part, Row, Table

from ..comparison.conftest import entry

ROWS = (Row("The good", "nmf", {"low": "6.5"}),)
PARTS = (
    Part("first", Data("notes_and_bursts", (), "noise"), ROWS, ("low",)),
    Part("second", Data("stems", ("folder={songs}",), "songs"), ROWS, ("low",)),
    Part("third", Data("notes_and_bursts", (), "noise"), ROWS, ("low",)),
)
TABLE = Table("lab-1", "Lab, Table 1", ("si_sdr",), PARTS, Form(500, 5), Form(12, 2))


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Run the table with what becomes of its comparisons; return status, what was asked for, and the table as CSV."""
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(running, "console", console)

    def run(*outcomes):
        asked, waiting = [], list(outcomes)

        def result(comparison, spaces, permitted):
            asked.append((comparison, sorted(path.name for path in (tmp_path / "lab-1-minutes").glob("*"))))
            found = waiting.pop(0)
            if isinstance(found, Exception):
                raise found
            if isinstance(found, int):
                return ComparisonResult(comparison, found, data)
            given = ComparisonFigures([entry("The-good", "The-good", [[found] * 4])])
            return ComparisonResult(comparison, 0, data, given, comparisons.build(comparison, data, given))

        monkeypatch.setattr(publishing, "result", result)
        options = command.parse(TABLE, ["--storage-path", str(tmp_path)])
        status = command.run(TABLE, options)
        file = tmp_path / "lab-1-minutes" / "table.csv"
        rows = list(csv.DictReader(file.open())) if file.is_file() else []
        return status, asked, {row["part"]: row for row in rows if row["row"] == "The good"}

    return run


def test_each_part_with_data_is_a_comparison_and_the_others_keep_their_lines(run):
    status, asked, rows = run(5.0, 7.0)
    assert status == 0
    assert [comparison.name for comparison, _ in asked] == ["lab-1-minutes-first", "lab-1-minutes-third"]
    assert [comparison.budget.max_epochs for comparison, _ in asked] == [12, 12]
    assert [rows[title]["ours"] for title in ("first", "second", "third")] == ["5.0", "", "7.0"]
    assert {row["published"] for row in rows.values()} == {"6.5"}
    assert rows["second"]["note"] == "not run: it needs --folder songs=FOLDER (songs)"


def test_what_is_there_is_written_before_the_next_part_begins(run):
    _, asked, _ = run(5.0, 7.0)
    assert [files for _, files in asked] == [[], ["table.csv", "table.md", "table.tex"]]


def test_signal_ends_the_table_and_leaves_the_parts_that_are_done(run):
    status, asked, rows = run(5.0, 143)
    assert (status, len(asked)) == (143, 2)
    assert set(rows) == {"first"}
    assert rows["first"]["ours"] == "5.0"


def test_part_that_is_refused_says_why_and_does_not_stop_the_others(run):
    status, _, rows = run(SeprayError("the disk is full"), 7.0)
    assert status == 0
    assert rows["first"]["note"] == "not run: the disk is full"
    assert rows["third"]["ours"] == "7.0"


def test_table_with_a_row_that_a_bug_has_cost_ends_with_3(run):
    status, asked, rows = run(3, 7.0)
    assert (status, len(asked)) == (3, 2)
    assert rows["third"]["ours"] == "7.0"


def test_table_without_any_figure_ends_with_1(run):
    assert run(1, SeprayError("the disk is full"))[0] == 1

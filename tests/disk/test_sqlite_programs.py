"""Programs in a database that others may write to, which run by themselves, are found in every state of its file."""

import contextlib
import shutil
import sqlite3

import pytest

from sepray.disk.sqlite_programs import program_on

_FOR_EVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"


def _database(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE runs (a); CREATE TABLE own (a);" + ";".join(statements))
    return path


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM own; END",
            "a trigger in the place of, or on, the table runs",
        ),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON RUNS BEGIN SELECT 1; END",
            "a trigger in the place of, or on, the table RUNS",
        ),
        (f"DROP TABLE runs; CREATE VIEW Runs AS {_FOR_EVER}", "a view in the place of, or on, the table Runs"),
        (
            "DROP TABLE runs; CREATE VIRTUAL TABLE runs USING rtree(a, b, c)",
            "a virtual table in the place of, or on, the table runs",
        ),
        ("ALTER TABLE runs ADD b AS (hex(zeroblob(1000000000)))", "a computed column in the table runs"),
        ("CREATE VIEW mine AS SELECT * FROM runs; CREATE TRIGGER t AFTER INSERT ON own BEGIN SELECT 1; END", None),
        ("ALTER TABLE own ADD b AS (a + 1)", None),
    ],
)
def test_what_runs_by_itself_on_a_table_is_found_and_what_is_elsewhere_stays(tmp_path, statement, found):
    path = _database(tmp_path / "x?#%.db", statement)
    assert program_on(path, {"runs", "tags"}) == found


def test_transaction_that_a_crash_has_left_hides_nothing(tmp_path):
    """A file with a journal beside it, which is to be undone, cannot be read by who may not write to it."""
    path = _database(tmp_path / "a.db", f"DROP TABLE runs; CREATE VIEW runs AS {_FOR_EVER}")
    writing = sqlite3.connect(path, isolation_level=None)
    writing.execute("PRAGMA cache_size = 1")
    writing.execute("BEGIN IMMEDIATE")
    writing.execute("DROP VIEW runs")
    writing.execute("CREATE TABLE runs (a)")
    writing.executemany("INSERT INTO own VALUES (?)", [("x" * 4000,)] * 100)  # some of it reaches the file
    for name in ("a.db", "a.db-journal"):
        shutil.copyfile(tmp_path / name, tmp_path / name.replace("a", "b", 1))
    writing.close()
    assert program_on(tmp_path / "b.db", {"runs"}) == "a view in the place of, or on, the table runs"


def test_what_cannot_be_read_is_left_to_who_uses_it(tmp_path):
    (tmp_path / "text").write_text("no database")
    assert program_on(tmp_path / "text", {"runs"}) is None
    assert program_on(tmp_path / "nothing", {"runs"}) is None
    assert not (tmp_path / "nothing").exists()
    path = _database(tmp_path / "a.db", "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END")
    path.chmod(0o400)
    assert program_on(path, {"runs"}) == "a trigger in the place of, or on, the table runs"

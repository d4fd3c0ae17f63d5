"""Finds triggers, views and the like in an SQLite file that others may write to. Imports nothing from sepray.

A trigger changes rows when others are written. A view, a virtual table or a computed column gives rows that nobody
wrote. Each may run for ever or fill the memory, and until SQLite returns, no signal ends the process.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

_BUSY_SECONDS = 2.0
_FOUND = """
SELECT CASE WHEN type = 'table' THEN 'virtual table' ELSE type END, tbl_name FROM sqlite_master
WHERE (type IN ('view', 'trigger') OR (type = 'table' AND rootpage = 0)) AND lower(tbl_name) IN ({names}) LIMIT 1
"""
_COMPUTED = """
SELECT DISTINCT m.name FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c
WHERE m.type = 'table' AND c.hidden IN (2, 3)
"""


def program_on(file: Path, tables: Collection[str]) -> str | None:
    """Describe the program that would run in the place of one of these tables, or on it; None if there is none.

    The result is None too if there is no such file, or it cannot be read: using it raises that error.

    Args:
        file: the database.
        tables: names of tables that their maker makes as plain ones, in small letters.
    """
    for mode in ("rw", "ro"):  # only "rw" undoes a transaction that a crash has cut off
        address = f"file:{quote(str(file.absolute()))}?mode={mode}"
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(address, timeout=_BUSY_SECONDS, uri=True)) as connection,
        ):
            names = ", ".join("?" * len(tables))
            for kind, table in connection.execute(_FOUND.format(names=names), tuple(tables)):
                return f"a {kind} in the place of, or on, the table {table}"
            for (table,) in connection.execute(_COMPUTED):
                if table.lower() in tables:
                    return f"a computed column in the table {table}"
            return None
    return None

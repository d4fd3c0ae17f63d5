"""Refusals of a command line in one line. Imports nothing from sepray but its errors."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator

from ..errors import UsageError


@contextlib.contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Turn the box that tyro prints for arguments that it refuses into one line.

    Raises:
        UsageError: with that line.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    except SystemExit as end:
        if end.code == 2:
            raise UsageError(_one_line(printed.getvalue())) from None
        sys.stderr.write(printed.getvalue())
        raise
    sys.stderr.write(printed.getvalue())


def _one_line(box: str) -> str:
    """Return what a box says below its title: the first part, and what it proposes instead.

    Where the terminal knows no lines, the box has none at its sides, and dashes between its parts.
    """
    rows = [row.strip(" │") for row in box.splitlines()]
    parts: list[list[str]] = [[]]
    for row in (row for row in rows[1:] if row and row[0] not in "╭╰"):
        if set(row) <= set("─-"):
            parts.append([])
        else:
            parts[-1].append(row)
    parts = [part for part in parts if part]
    texts = [" ".join(part) for part in parts]
    said = texts[0].removeprefix("Error parsing ").rstrip(".")
    said = re.sub(r"^Unrecognized options: ", "unknown: ", said)
    said = re.sub(r"^Missing from (.*?): *(\S+).*", r"\1 needs \2", said)
    proposed = next((t for t in texts[1:] if t.startswith(("Perhaps you meant", "Available subcommands"))), "")
    proposed = re.sub(r"^Perhaps you meant: *(\S+).*", r"perhaps you meant \1", proposed)
    help_ = re.search(r"(?:run|see):? +(.+ --help)", texts[-1])
    see = f"see {help_[1]}" if help_ else ""
    return "; ".join(text[:1].lower() + text[1:] for text in (said, proposed, see) if text)

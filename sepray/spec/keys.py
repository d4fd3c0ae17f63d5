"""Refuses names that a file or a command should not have, with the nearest name that is known."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from ..errors import UsageError


def refuse_unknown(names: Collection[str], known: Collection[str], prefix: str = "") -> None:
    """Refuse the first of ``names`` that is not known.

    Args:
        names: names that were given.
        known: names that exist.
        prefix: what stands before the name in the message: the tables of a file that it lies in (``"search."``), or
            the beginning of a sentence that ends with a blank.

    Raises:
        UsageError: with the nearest known name, and all of them.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"perhaps you meant {close[0]}; " if close else ""
            said = f"{prefix}{name}" if prefix[-1:] == " " else f"unknown key {prefix}{name}"
            raise UsageError(f"{said}; {meant}there are {', '.join(known) or 'none'}")

"""Shows, in one line, what a command waits for, until there is something else to see.

In a terminal the line stands until ``done``, which the next message calls too, or until another one takes its place.
In a log every one stays. Imports nothing large, so that it can be shown before anything is imported.
"""

from __future__ import annotations

import os
import shutil
import sys

from ..plain_text import in_one_line

_ERASE = "\r\x1b[2K"
_standing = False


def wait_for(text: str, log: bool = True) -> None:
    """Show what the command waits for.

    Args:
        text: e.g. ``"cass-ecg: starting Ray"``; dots are added.
        log: whether a log gets the line too; not where the command may still be refused.
    """
    global _standing
    text = in_one_line(text)
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb", "unknown"):  # which cannot erase
        if log:
            print(f"{text} ...", flush=True)
        return
    width = shutil.get_terminal_size().columns - 1
    shown = f"{text} ..."
    shown = shown if len(shown) <= width else f"{shown[: width - 3]}..."
    # The cursor goes back to the start, where whoever prints next begins.
    print(f"{_ERASE}{shown}\r", end="", flush=True)
    _standing = True


def done() -> None:
    """Erase the line that says what the command waits for, if there is one."""
    global _standing
    if _standing:
        print(_ERASE, end="", flush=True)
        _standing = False

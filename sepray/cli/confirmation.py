"""The question that a command asks before it deletes something."""

from __future__ import annotations

import sys

from ..errors import UsageError


def is_confirmed(yes: bool) -> bool:
    """Ask whether to delete what was listed; anything but ``y`` or ``yes`` is no.

    Args:
        yes: the answer was given on the command line.

    Raises:
        UsageError: nobody can answer: this is no terminal, and the answer was not given.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nothing is deleted without an answer: run it in a terminal, or give --yes")
    try:
        answer = input("Delete this? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")

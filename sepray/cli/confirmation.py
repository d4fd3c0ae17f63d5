"""The question that a command asks before it deletes something."""

from __future__ import annotations

import sys

from ..errors import UsageError


def require_answerable(yes: bool) -> None:
    """Refuse to begin where the question could not be answered: no terminal, and no ``--yes``.

    Raises:
        UsageError: nobody could answer.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError("nothing is deleted without an answer: run it in a terminal, or give --yes")


def is_confirmed(yes: bool) -> bool:
    """Ask whether to delete what was listed; anything but ``y`` or ``yes`` is no.

    Args:
        yes: the answer was given on the command line.
    """
    if yes:
        return True
    try:
        answer = input("Delete this? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")

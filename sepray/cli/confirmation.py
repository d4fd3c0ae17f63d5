"""The question that a command asks before it deletes or trains something."""

from __future__ import annotations

import sys

from ..errors import UsageError


def is_confirmed(yes: bool, question: str = "Delete this?", left: str = "nothing is deleted") -> bool:
    """Ask whether to do what was listed; anything but ``y`` or ``yes`` is no.

    Args:
        yes: the answer was given on the command line.
        question: the question.
        left: what is not done without an answer, for the message.

    Raises:
        UsageError: nobody can answer: this is no terminal, and the answer was not given.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{left} without an answer: run it in a terminal, or give --yes")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")

"""The question that a command asks before it deletes, sends or trains something."""

from __future__ import annotations

import sys
from typing import Annotated

import tyro

from ..errors import UsageError

Yes = Annotated[bool, tyro.conf.arg(help="Do not ask.", help_behavior_hint="")]


def is_confirmed(yes: bool, question: str = "Delete this?", left: str = "nothing is deleted") -> bool:
    """Ask a question, and return whether the answer is ``y`` or ``yes``.

    Args:
        yes: whether the command line says yes already.
        question: the question.
        left: clause that says what is not done without an answer, for the message.

    Raises:
        UsageError: there is no answer on the command line, and no terminal to ask in.
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

"""Entry point of the ``sepray`` command."""

from __future__ import annotations

from typing import NoReturn

from ..console.exit_status import exit_with_status
from . import compare, doctor, evaluate, listing, reconcile, report, separate
from .application import parse

__all__ = ["compare", "doctor", "evaluate", "listing", "main", "reconcile", "report", "separate"]

DESCRIPTION = """The sepray command: separate, evaluate, compare, report, list, reconcile, doctor.

Exit status: 0 done; 1 done, but the answer is bad (doctor: something is missing); 2 bad input, one line says what;
3 a bug, a traceback says where (--traceback shows all of it); 130 interrupted.
Completion for a shell: sepray --tyro-print-completion bash.
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command that the arguments name, and exit with its status."""
    exit_with_status("sepray", lambda given: parse(given, DESCRIPTION)(), arguments)

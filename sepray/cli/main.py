"""Entry point of the ``sepray`` command."""

from __future__ import annotations

import sys
from typing import NoReturn

from ..console.exit_status import exit_with_status
from . import clean, compare, delete, doctor, evaluate, listing, reconcile, report, run, separate, show
from .application import parse

__all__ = [
    "clean",
    "compare",
    "delete",
    "doctor",
    "evaluate",
    "listing",
    "main",
    "reconcile",
    "report",
    "run",
    "separate",
    "show",
]

DESCRIPTION = """Run studies, use the models and studies that sepray has made, and check the installation.

Every command takes --traceback: print the whole traceback of an error, of bad input too.

Exit status:
  0  done
  1  done, but something is missing (doctor), or nothing to register (run)
  2  bad input: one line says what is wrong
  3  a bug, in your separator or task or in sepray: a traceback says where
130  interrupted

Shell completion: sepray --tyro-print-completion bash (or zsh, tcsh).
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command that the arguments name, and exit with its status.

    Args:
        arguments: arguments of the command line; default: those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def job(without_traceback: list[str]) -> int | None:
        if given[:1] == ["run"] and given[1:] and not given[1].startswith("-"):
            run.run_study(given[1], given[2:])  # the flags are the study's own, --traceback among them
        return parse(without_traceback, DESCRIPTION)()

    exit_with_status("sepray", job, given)

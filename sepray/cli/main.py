"""Entry point of the ``sepray`` command."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

from .. import __version__
from ..console.exit_status import TRACEBACK, exit_with_status

# Command -> its module in this package.
MODULES = {
    name: name
    for name in (
        "clean",
        "compare",
        "delete",
        "doctor",
        "evaluate",
        "explain",
        "reconcile",
        "report",
        "reproduce",
        "run",
        "separate",
        "show",
    )
}
MODULES |= {"list": "list_command"}  # list is a name of Python's own

DESCRIPTION = """Run studies, use the models and studies that sepray has made, and check the installation.

Every command takes --traceback: print the whole traceback of an error, of bad input too.
sepray --version prints the version.

With --json a command prints its result as one JSON document, and nothing else,
to standard output. Messages go to standard error. If it fails, standard
output is empty.

Exit status:
  0  done
  1  done, but: nothing to register (run), something is missing (doctor),
     or the training is not identical (reproduce)
  2  bad input: one line says what is wrong
  3  a bug, in your separator or task or in sepray: a traceback says where
129, 130, 143  interrupted: SIGHUP, Ctrl-C, SIGTERM

Shell completion: sepray --tyro-print-completion bash (or zsh, tcsh).
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command that the arguments name, and exit with its status.

    Args:
        arguments: arguments of the command line; default: those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)

    def job(without_traceback: list[str]) -> int | None:
        match without_traceback:
            case ["run", study, *flags] if not study.startswith("-"):
                from .run import run_study

                run_study(study, [*flags, *([TRACEBACK] if TRACEBACK in given else [])])  # the study has that flag too
        return dispatch(without_traceback)

    exit_with_status("sepray", job, given)


def dispatch(arguments: list[str]) -> int | None:
    """Run the command that the arguments name, or print the version; return the exit status.

    Only the module of that command is imported, to save time; for help and completion all modules are. Lists that are
    read from the sources are printed without the parser, whose import would double their time.
    """
    match arguments:
        case ["--version"]:
            print(f"sepray {__version__}")
            return 0
        case ["list", ("tasks" | "separators" | "measures") as what, *flags] if flags in ([], ["--json"]):
            from ..console.json_output import only_json
            from . import lists

            with only_json(bool(flags)):
                lists.show(what, bool(flags), "", None)
            return 0
    from .application import parse

    named = MODULES.get(arguments[0]) if arguments else None
    for module in MODULES.values() if named is None else [named]:
        importlib.import_module(f"{__package__}.{module}")
    return parse(arguments, DESCRIPTION)()

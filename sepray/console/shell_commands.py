"""Command lines that work from the user's shell, also where no virtual environment is activated."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import sys
from pathlib import Path


def from_this_shell(line: str) -> str:
    """Return a command line with the path of its program, unless the shell finds just this program by its name.

    Where sepray was started as ``python -m sepray``, its commands are too.

    Args:
        line: a command whose first word is a program that is installed beside this Python, such as ``mlflow ui``. Any
            other comes back as it is.
    """
    program, space, rest = line.partition(" ")
    if program == "sepray" and _is_run_as_module():
        return from_this_shell(f"python -m {line}")
    installed = Path(sys.executable).parent / program
    found = shutil.which(program)
    if not installed.is_file() or (found is not None and Path(found).parent.resolve() == installed.parent.resolve()):
        return line
    here = Path.cwd()
    path = os.path.relpath(installed, here) if installed.is_relative_to(here) else str(installed)
    path = path if os.sep in path else f".{os.sep}{path}"
    return f"{shlex.quote(path)}{space}{rest}"


def _is_run_as_module() -> bool:
    """Say whether this process was started as ``python -m sepray``."""
    return any(pair == ("-m", "sepray") for pair in itertools.pairwise(sys.orig_argv))

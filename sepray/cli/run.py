"""``sepray run``."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from .. import shipped
from ..errors import UsageError
from ..modules import own_modules
from . import application

_HELP = f"""File of a study, in TOML or Python, or the name of a study that comes with sepray:
{", ".join(shipped.studies())}."""


@application.command("run")
def run(
    study: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="STUDY [STUDY'S FLAGS ...]", help=_HELP.replace("\n", " "), help_behavior_hint=""),
    ],
) -> None:
    """Run a study from a TOML or Python file, or one that comes with sepray, by its name.

    Flags after STUDY are the study's own; sepray run STUDY --help lists them. With --json among them, the study's
    result is printed as by sepray show --json.

    Example: sepray run cass_alpha_sweep --trials 4
    """
    run_study(study, [])


def run_study(study: str, flags: Sequence[str]) -> NoReturn:
    """Run a study with flags of its own, and end this process with its exit status.

    Args:
        study: path of a ``.toml`` or ``.py`` file, or the name of a study that comes with sepray.
        flags: arguments that follow on the command line.

    Raises:
        UsageError: there is no such file or study, or the file describes or runs no study.
    """
    path = Path(study)
    sys.argv = [f"sepray run {study}", *flags]  # help texts and messages show this as the command
    if path.suffix == ".toml":
        _run_toml(path)
    elif path.suffix == ".py":
        _run_python(path)
    elif path.exists():
        raise UsageError(f"{study} is neither a .toml nor a .py file")
    else:
        file = shipped.study(study)
        exec(compile(file.read_text(encoding="utf-8"), file, "exec"), {"__name__": "__main__"})
    sys.exit(0)  # reached only if the study has not ended the process itself


def _run_toml(path: Path) -> None:
    from ..spec.toml_study import read_study
    from ..study import main

    own_modules.add_current_folder()
    own_modules.add_named_folder(path.absolute().parent)  # a separator or task may lie beside the file
    main(read_study(path))


def _run_python(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    sys.path.insert(0, str(path.absolute().parent))  # as ``python FILE`` does
    names = runpy.run_path(str(path), run_name="__main__")
    from .. import study

    if not study.started:
        built = next((name for name, value in names.items() if isinstance(value, study.StudySpec)), "STUDY")
        raise UsageError(
            f"{path} has run no study: let it end with main({built}), which `from sepray.study import main` brings"
        )

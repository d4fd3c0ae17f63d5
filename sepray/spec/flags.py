"""The command-line flags of a study: a flag for every field, fields of the separator and the task among them."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Collection, Sequence
from dataclasses import field, fields, make_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from .. import registry
from ..console.arguments import described, refused_in_one_line
from ..errors import UsageError
from .study import StudySpec

EXIT_STATUS = "Exit status: 0 done, 1 nothing to register, 2 bad input, 3 a bug, 130 interrupted."
"""Part of the help of every study and comparison."""


def parse(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec:
    """Return the study with the command line's changes.

    Args:
        spec: the study as its file gives it.
        arguments: of the command line; default: those of this process.

    Raises:
        UsageError: an unknown flag, or a value that it does not take.
    """
    with refused_in_one_line():
        return tyro.cli(StudySpec, default=spec, args=arguments, description=description(StudySpec))


def description(documented: type) -> str:
    """Return what the help of a study or a comparison begins with: its docstring, without the part for Python."""
    text = cleandoc(documented.__doc__ or "").partition("\n\nFields of the four parts")[0]
    return f"{described(text)}\n{EXIT_STATUS}"


def parse_early(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec | None:
    """Return the study with the changes of all flags but ``--separator.*`` and ``--task.*``, without importing torch.

    The fields of separator and task are known only where their modules are imported, which brings torch. Their flags
    are only compared with the fields that their source names.

    Returns:
        The study, its separator and task still unresolved names where the file gives names; None where help is asked
        for.

    Raises:
        UsageError: an unknown flag, or a value that it does not take.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help") or a.startswith("--tyro-") for a in given):
        return None
    named = ("separator", "task")
    hints = get_type_hints(StudySpec, include_extras=True)
    own = [f.name for f in fields(StudySpec) if f.name not in (*named, "space", "reference_points", "controls")]
    flags = make_dataclass("Flags", [(name, hints[name], field(default=getattr(spec, name))) for name in own])
    kept: list[str] = []
    elsewhere = False
    for argument in given:
        if argument.startswith("--"):
            elsewhere = argument.startswith(("--separator.", "--task."))
        if not elsewhere:
            kept.append(argument)
    with refused_in_one_line():
        parsed: Any = tyro.cli(flags, args=kept)
    for part in named:
        _refuse_unknown_fields(part, spec.__dict__[part], given)
    unresolved = {name: spec.__dict__[name] for name in named}
    return StudySpec(**unresolved, space=spec.space, **{name: getattr(parsed, name) for name in own})


def _refuse_unknown_fields(part: str, config: Any, arguments: Sequence[str]) -> None:
    """Refuse flags of a separator or task that no field of its Config has, where its source tells without torch."""
    package, start = f"sepray.{part}s", f"--{part}."
    known: Collection[str] | None
    if isinstance(config, str):
        known = None
        with contextlib.suppress(ImportError, ValueError, SyntaxError):  # what is wrong with it is said elsewhere
            known = registry.fields(package, config)
    else:
        known = [f.name for f in fields(config)]
    if known is None:
        return
    for flag in (a.partition("=")[0] for a in arguments if a.startswith(start)):
        name = flag.removeprefix(start).replace("-", "_").partition(".")[0]
        if not {name, name.removeprefix("no_")} & set(known):
            close = difflib.get_close_matches(name, known, 1)
            meant = f"perhaps you meant {start}{close[0].replace('_', '-')}; " if close else ""
            raise UsageError(f"unknown: {flag}; {meant}see {Path(sys.argv[0]).name} --help")

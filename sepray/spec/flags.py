"""The command-line flags of a study: a flag for every field, fields of the separator and the task among them."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Collection, Sequence
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from .. import registry
from ..console.arguments import refused_in_one_line
from ..errors import UsageError
from .study import StudySpec


def parse(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec:
    """Return the study with the command line's changes.

    Raises:
        UsageError: a flag that there is none of, or a value that it does not take.
    """
    with refused_in_one_line():
        return tyro.cli(StudySpec, default=spec, args=arguments, description=StudySpec.__doc__)


def parse_early(spec: StudySpec, arguments: Sequence[str] | None = None) -> StudySpec | None:
    """Return the study with all changes but those of separator and task, whose flags need torch to be known.

    None where help is asked for.

    Raises:
        UsageError: a flag that there is none of, or a value that it does not take.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(a in ("-h", "--help") or a.startswith("--tyro-") for a in given):
        return None
    own = [f for f in fields(StudySpec) if f.type not in ("_Given", "Any")]
    hints = get_type_hints(StudySpec, include_extras=True)
    flags = make_dataclass("Flags", [(f.name, hints[f.name], field(default=getattr(spec, f.name))) for f in own])
    kept: list[str] = []
    elsewhere = False
    for argument in given:
        if argument.startswith("--"):
            elsewhere = argument.startswith(("--separator.", "--task."))
        if not elsewhere:
            kept.append(argument)
    with refused_in_one_line():
        parsed: Any = tyro.cli(flags, args=kept)
    for part in ("separator", "task"):
        _refuse_unknown_fields(part, spec.__dict__[part], given)
    unresolved = {name: spec.__dict__[name] for name in ("separator", "task")}
    return StudySpec(**unresolved, space=spec.space, **{f.name: getattr(parsed, f.name) for f in own})


def _refuse_unknown_fields(part: str, config: Any, arguments: Sequence[str]) -> None:
    """Refuse flags of a separator or task that its Config has no field for, where that can be told without torch."""
    package, start = f"sepray.{part}s", f"--{part}."
    known: Collection[str] | None
    if isinstance(config, str):
        known = None
        with contextlib.suppress(ImportError, ValueError, SyntaxError):  # what is wrong with it is said elsewhere
            known = registry.fields(package, config.partition(":")[0])
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

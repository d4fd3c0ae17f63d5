"""Refuses hyperparameters that a study names and its separator does not have, with the nearest one that it has.

The separator's hyperparameters may have the names of the task's sources in them (``cross.maternal_to_fetal``), which
only the data tells. Before the data is loaded, such names are compared by their form (``cross.{i}_to_{j}``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from .. import identity
from ..arms import fits
from ..contracts import Signal
from ..errors import UsageError, proposal
from ..module_names import shown_name
from ..spec.settings import SettingsError
from ..spec.study import StudySpec
from ..training.trainer import build

# Signals with templates for names of sources, which the names of hyperparameters then contain.
_STAND_INS = (Signal(("{i}", "{j}"), 1, (4096,), 8000.0), Signal(("{i}", "{j}"), 1, (64, 64), None))


def refuse_misspelt(spec: StudySpec) -> None:
    """Check the names of hyperparameters by their form, without the task's data.

    Where the separator cannot be built without the task's own signal, nothing is checked.

    Raises:
        UsageError: no hyperparameter of the separator has a name of that form.
    """
    forms = _forms(spec.separator)
    if forms is None:
        return
    for part, names in (*_settings(spec), *_arms(spec)):
        if unknown := [name for name in names if not any(fits(form, name) for form in forms)]:
            raise _refusal(spec, part, unknown, forms)


def refuse_unknown(spec: StudySpec, known: Collection[str], sources: Sequence[str]) -> None:
    """Check the names of hyperparameters except those of arms, which ``arms.expand`` checks.

    Args:
        spec: description of the study.
        known: names of the separator's hyperparameters.
        sources: names of the task's sources.

    Raises:
        UsageError: the separator has no hyperparameter of that name.
    """
    for part, names in _settings(spec):
        if unknown := sorted(set(identity.expand(dict.fromkeys(names), sources)) - set(known)):
            raise _refusal(spec, part, unknown, sorted(known))


def _settings(spec: StudySpec) -> Iterator[tuple[str, Collection[str]]]:
    """Yield the parts of a study that name hyperparameters, each as the beginning of a sentence, with these names."""
    yield "fixed_settings", spec.fixed_settings
    yield "the search space has", spec.space
    for point in spec.first_settings.values():
        yield "first_settings", point
    for label, point in spec.reference_points.items():
        yield f"reference point {label!r} sets", point
    for label, changes in spec.controls.items():
        yield f"control {label!r} sets", changes


def _arms(spec: StudySpec) -> Iterator[tuple[str, Collection[str]]]:
    for label, arm in spec.arms.items():
        yield f"arm {label!r} sets", [name for name in arm.settings if "*" not in name]
        yield f"arm {label!r} searches", arm.searched


def _refusal(spec: StudySpec, part: str, unknown: Sequence[str], known: Sequence[str]) -> UsageError:
    name = shown_name(spec.separator)
    meant = proposal(unknown[0], known)
    there = f"the hyperparameters {', '.join(known)}" if known else "no hyperparameters"
    why = f"{', '.join(unknown)}, which {name} does not have; {meant}{name} has {there}"
    if part in ("fixed_settings", "first_settings"):
        return SettingsError(part, f"sets {why}")
    return UsageError(f"{part} {why}")


def _forms(separator: Any) -> list[str] | None:
    """Return the names of a separator's hyperparameters with templates for those of sources; None if unknown."""
    for signal in _STAND_INS:
        try:
            names = list(build(separator, signal, 0).hyperparameters())
        except Exception:  # the user's own code may refuse a stand-in; the real sources are checked later
            continue
        # Names that differ in which source comes first have the same form.
        return [name for name in names if "{j}" not in name or -1 < name.find("{i}") < name.find("{j}")]
    return None

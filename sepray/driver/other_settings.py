"""Refuses a study of other settings than its storage has under its name, before any of its data is built.

What only the data can tell, the content of files, is compared by ``search.storage`` once they are loaded.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna
import torch

from .. import identity
from ..console.terminal import console
from ..contracts import Signal, Split, TaskData
from ..errors import SeprayError, UsageError
from ..module_names import given_name
from ..search.storage import FINGERPRINT, load_study, refuse_differences
from ..signal_checks import check_signal
from ..spec.settings import separator_name
from ..spec.study import StudySpec, key, rebuilt
from .prepared import SAMPLES, PreparedStudy, prepare

SIGNAL = "signal"
"""User attribute of a study that holds its task's signal."""
_NOTHING = Split(*[None] * 2)  # type: ignore[arg-type] # stands for data that are not loaded


def refuse_other_settings(spec: StudySpec) -> PreparedStudy | None:
    """Compare a study with the one of its name in its storage, if there is one.

    A study of a version that did not keep its signal, or kept another description of it, is compared by task, budget,
    separator and seed alone. The seed is no part of the fingerprint, but all that is drawn depends on it: which items
    give unpaired samples, what the sampler proposes, the seeds of trials and retrainings, a trained warm start.

    Returns:
        The study without its data, for ``prepare`` to take its models from; None if it was not prepared.

    Raises:
        FingerprintMismatchError: their settings differ; a line for each difference.
        SeprayError: the settings do not fit the separator, as ``prepare`` says.
    """
    before = stored_study(spec)
    if before is None:
        return None
    then: dict[str, Any] = dict(before.user_attrs[FINGERPRINT])
    kept: dict[str, Any] = before.user_attrs["spec"]
    changes, prepared = _task_changes(kept["task"], spec), None
    known = _signal(before.user_attrs.get(SIGNAL) or {})
    if not changes and known is not None and "data" in then.get("task", {}):
        # The stored study tells whether the task has samples of its own: then its items are not divided.
        train = _NOTHING if SAMPLES in then else replace(_NOTHING, observed=torch.empty(0))
        unloaded = TaskData(known, train, _NOTHING, _NOTHING, then["task"]["data"])
        prepared = prepare(spec, unloaded)
        changes = identity.differences(then, prepared.fingerprint)
    else:
        now: dict[str, Any] = {name: getattr(spec.budget, name) for name in ("max_epochs", "seeds_per_trial")}
        now["separator"] = {"name": key(spec.separator), "config": identity.without_secrets(spec.separator)}
        changes += identity.differences({name: then[name] for name in now if name in then}, now)
    changes += identity.differences({"seed": kept.get("seed", spec.seed)}, {"seed": spec.seed})
    refuse_differences(spec.name, spec.stores.storage, _with_names(changes, kept, spec))
    return prepared


def under_former_name(spec: StudySpec) -> StudySpec:
    """Return a study with the separator that its name stood for when the study was begun.

    Other studies come back as they are. Fields that the user has changed keep their values; those that the former
    separator lacks are left out.
    """
    before = stored_study(spec)
    if before is None:
        return spec
    kept = before.user_attrs["spec"]["separator"]
    try:
        then: Any = rebuilt("sepray.separators", kept["module"], kept["config"])
    except (SeprayError, KeyError, TypeError, ValueError):  # stored by another version of the separator
        return spec
    now = spec.separator
    former = getattr(sys.modules[type(then).__module__], "NAMED_BEFORE", None)
    if former is None or type(then) is type(now) or separator_name(now) != former:
        return spec
    usual, has = type(now)(), {field.name for field in fields(then)}
    changed = {f.name: getattr(now, f.name) for f in fields(now) if getattr(now, f.name) != getattr(usual, f.name)}
    config = type(then)(**{name: value for name, value in changed.items() if name in has})
    console.print(
        f"{spec.name} was begun when {former} was another method, now {separator_name(config)}: it goes on with that",
        soft_wrap=True,
    )
    return spec.changed(separator=config)


def stored_study(spec: StudySpec) -> optuna.Study | None:
    """Return the study of this name; None if there is none that sepray has made, or if it cannot be read."""
    with contextlib.suppress(SeprayError):  # what keeps it from being read is said when it is opened
        study = load_study(spec.stores.storage, spec.name)
        is_whole = FINGERPRINT in study.user_attrs and {"separator", "task"} <= study.user_attrs.get("spec", {}).keys()
        return study if is_whole else None
    return None


def _signal(kept: Mapping[str, Any]) -> Signal | None:
    """Return the signal that a study has kept; None if there is none, or if this version cannot have written it."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
    try:
        signal = Signal(**values)
        check_signal(signal)
    except (TypeError, UsageError):
        return None
    return signal


def _task_changes(stored: Mapping[str, Any], spec: StudySpec) -> list[str]:
    """Return a line for each setting of the task that is another one now, except where its files are."""
    try:
        then = rebuilt("sepray.tasks", stored["module"], stored["config"])
    except (SeprayError, TypeError, ValueError):  # stored by another version of the task
        return []
    if type(then) is not type(spec.task):
        return identity.differences({"task": _name(then)}, {"task": _name(spec.task)})
    folders = {
        f.name: getattr(spec.task, f.name) for f in fields(then) if f.name == "folder" or f.type in (Path, "Path")
    }
    return identity.differences(
        {"task": identity.without_secrets(replace(then, **folders))}, {"task": identity.without_secrets(spec.task)}
    )


def _with_names(changes: list[str], stored: Mapping[str, Any], spec: StudySpec) -> list[str]:
    """Return the changes with the separators' names in place of their fields, where the two are different variants."""
    try:
        then = rebuilt("sepray.separators", stored["separator"]["module"], stored["separator"]["config"])
    except (SeprayError, TypeError, ValueError):  # stored by another version of the separator
        return changes
    if type(then) is type(spec.separator):
        return changes
    names = identity.differences({"separator": separator_name(then)}, {"separator": separator_name(spec.separator)})
    return [*names, *(change for change in changes if not change.startswith("separator."))]


def _name(config: Any) -> str:
    return given_name(type(config).__module__)

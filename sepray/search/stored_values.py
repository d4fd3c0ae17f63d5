"""Checks the attributes of stored studies and trials, before anything is made of them.

A database is shared: what is read there may have been written by another program, or by somebody who should not have.
What is missing is not refused here, because older versions have kept less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from ..errors import StorageError, mask
from ..shapes import fits, is_text

_Check = Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return fits(value, int)


def _is_number(value: Any) -> bool:
    return fits(value, float)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _list_of(check: _Check, least: int = 0) -> _Check:
    return lambda value: isinstance(value, list | tuple) and len(value) >= least and all(map(check, value))


def _mapping(of: _Check = lambda value: True, least: int = 0, **known: _Check) -> _Check:
    """Return a check of a mapping: its values, its least length, and the values of keys that it may have."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and len(value) >= least
            and all(map(of, value.values()))
            and all(other(value[name]) for name, other in known.items() if name in value)
        )

    return check


def _is_part(value: Any) -> bool:
    return _mapping(module=is_text, config=_mapping())(value) and {"module", "config"} <= set(value)


def _is_json(value: Any, depth: int = 20) -> bool:
    """Say whether a value is JSON of no great depth, without absurd numbers."""
    if isinstance(value, Mapping | list | tuple):
        inner = value.values() if isinstance(value, Mapping) else value
        return depth > 0 and all(_is_json(part, depth - 1) for part in inner)
    return _is_plain(value)


def _is_distribution(text: Any) -> bool:
    """Say whether a text is a distribution as Optuna writes it."""
    try:
        json_to_distribution(text)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):  # depending on the text
        return False
    return True


_STUDY: dict[str, _Check] = {
    "fingerprint": _mapping(objectives=_mapping(lambda way: way in ("minimize", "maximize"), 1)),
    "spec": _mapping(
        name=is_text,
        seed=_is_whole,
        trials=_is_whole,
        objective=_list_of(is_text),
        choose=_list_of(is_text, 1),
        only_arms=_list_of(is_text),
        separator=_is_part,
        task=_is_part,
    ),
    "given": _mapping(
        space=_mapping(is_text), arms=_mapping(_mapping(settings=_mapping(), searched=_list_of(is_text)))
    ),
    "owner": _mapping(),
    "signal": _or_none(_mapping()),
    "mlflow_run_id": _or_none(is_text),
    "mlflow_experiment_id": _or_none(is_text),
    "pareto_front": _list_of(_is_whole),
}
"""Attribute of a study -> whether its value can be sepray's."""
_TRIAL: dict[str, _Check] = {
    "outcome": _mapping(
        state=lambda value: is_text(value) and value in TrialState.__members__,
        values=_or_none(_list_of(_is_number)),
        reason=_or_none(is_text),
        tag=_or_none(is_text),
        constraint=_or_none(_is_number),
        refused=lambda value: isinstance(value, bool),
    ),
    "seed": _is_whole,
    "retry_of": _is_whole,
    "stopped": _is_whole,
    "base": _or_none(_is_whole),
    "epochs": _or_none(_is_whole),
    "hyperparameters": _mapping(_is_plain),
    "conditions": _mapping(device=is_text, processor=is_text),
    "perturbations": _list_of(lambda value: _mapping(hyperparameters=_mapping(_is_plain))(value) and bool(value)),
    **dict.fromkeys(("label", "role", "point", "arm", "code", "reason", "traceback"), _or_none(is_text)),
}
"""Attribute of a trial -> whether its value can be sepray's."""


def check_study(name: str, storage: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a study with an attribute that sepray never writes in this form.

    Args:
        name: name of the study.
        storage: URL of the storage.
        attributes: user attributes of the study.

    Raises:
        StorageError: the study has such an attribute.
    """
    for key, check in _STUDY.items():
        if key in attributes and not check(attributes[key]):
            raise damaged(name, storage, key)


def check_trials(name: str, storage: str, trials: Iterable[FrozenTrial]) -> None:
    """Refuse trials with an attribute that sepray never writes in this form.

    Args:
        name: name of the study.
        storage: URL of the storage.
        trials: trials of the study.

    Raises:
        StorageError: a trial has such an attribute.
    """
    for trial in trials:
        attributes = trial.user_attrs
        for key in attributes.keys() & _TRIAL.keys():
            if not _TRIAL[key](attributes[key]):
                raise damaged(name, storage, f"{key} of trial {trial.number}")
        for key, value in trial.system_attrs.items():
            if not _is_of_optuna(key, value):
                raise damaged(name, storage, f"{key[:80]} of trial {trial.number}")
        ended = attributes.get("outcome")
        if (
            ended is not None
            and trial.state is TrialState.RUNNING
            and not {"state", "values", "reason", "tag"} <= set(ended)
        ):
            raise damaged(name, storage, f"outcome of trial {trial.number}")


def _is_of_optuna(key: str, value: Any) -> bool:
    """Say whether a system attribute of a trial can be Optuna's; those that sepray does not read may be anything."""
    if key == "constraints":  # written by versions before 5
        return _or_none(_list_of(_is_number))(value)
    if key.startswith("constraints:"):
        return _is_number(value)
    return key != "fixed_params" or _mapping(_is_plain)(value)


_JOURNAL: dict[str, _Check] = {
    **dict.fromkeys(("study_name", "param_name", "distribution", "worker_id"), is_text),
    **dict.fromkeys(("study_id", "trial_id", "step", "state"), _is_whole),
    **dict.fromkeys(("datetime_start", "datetime_complete"), _or_none(is_text)),
    "directions": _list_of(_is_whole, 1),
    **dict.fromkeys(("user_attr", "system_attr"), lambda value: isinstance(value, Mapping) and len(value) == 1),
    **dict.fromkeys(("param_value_internal", "intermediate_value"), _or_none(_is_number)),
    "values": _or_none(_list_of(_is_number)),
    "value": _or_none(_is_number),
    **dict.fromkeys(("user_attrs", "system_attrs"), _mapping()),
    **dict.fromkeys(("params", "intermediate_values"), _mapping(_or_none(_is_number))),
    "distributions": _mapping(is_text),
}
"""Field of a line of a journal -> whether its value can be Optuna's."""
_NEEDED: tuple[tuple[str, ...], ...] = (
    ("study_name", "directions"),
    ("study_id",),
    ("study_id", "user_attr"),
    ("study_id", "system_attr"),
    ("study_id", "datetime_start"),
    ("trial_id", "param_name", "param_value_internal", "distribution"),
    ("trial_id", "state", "values"),
    ("trial_id", "step", "intermediate_value"),
    ("trial_id", "user_attr"),
    ("trial_id", "system_attr"),
    (),
)
"""Fields that a line must have, by the number of its operation (Optuna's ``JournalOperation``)."""


def is_journal_line(value: Any) -> bool:
    """Say whether a line of a journal can be Optuna's: an operation with its fields, of their types."""
    if not isinstance(value, Mapping) or not _is_whole(value.get("op_code")):
        return False
    if not (0 <= value["op_code"] < len(_NEEDED) and {"worker_id", *_NEEDED[value["op_code"]]} <= value.keys()):
        return False
    return all(check(value[name]) for name, check in _JOURNAL.items() if name in value)


def is_description(value: Any) -> bool:
    """Say whether a value can be a result of ``StudySpec.plain``: fields as JSON, with those that every study has."""
    return _is_json(value) and _STUDY["spec"](value) and {"name", "separator", "task"} <= value.keys()


def is_given(value: Any) -> bool:
    """Say whether a value can be a result of ``StudySpec.plain_given``, with a search space that can be read."""
    return (
        _is_json(value)
        and _STUDY["given"](value)
        and "space" in value
        and all(map(_is_distribution, value["space"].values()))
    )


def damaged(name: str, storage: str, what: str) -> StorageError:
    """Return the error for a stored value that sepray cannot have written."""
    return StorageError(
        f"study {name!r} in {mask(storage)} has been changed: its {what} is not as sepray writes it; go back to a "
        "copy of the storage, or begin the study under another --name"
    )

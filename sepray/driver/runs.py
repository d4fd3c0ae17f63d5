"""MLflow as a projection of the Optuna record: what a trial's run is called and says, and all of it rebuilt at need."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..tracking.reconciliation import RunRecord

STAGES = {"search": "trial", "finals": "final"}
"""Stage of a study -> what its trials are called."""


def run_label(stage: str, number: int) -> str:
    """Return what addresses a trial's run: the number in the search, ``final-<number>`` among the retrainings."""
    return str(number) if stage == "search" else f"{STAGES[stage]}-{number}"


def run_name(stage: str, number: int, label: str | None, hyperparameters: Mapping[str, Any]) -> str:
    """Return a run's name for a reader: its number and its label or, without one, its first settings."""
    first = list(hyperparameters.items())[:3]  # the rest stands in the run's parameters
    settings = " ".join(f"{k}={v:.2g}" if isinstance(v, float) else f"{k}={v}" for k, v in first)
    return f"{STAGES[stage]} {number:03d} · {label or settings}"[:250]


def run_tags(stage: str, number: int, label: str | None) -> dict[str, Any]:
    """Return the tags that a run bears from its start."""
    return {"stage": stage, "trial": number, "label": label or ""}


def end_tags(tag: str, reason: str, epochs: int) -> dict[str, Any]:
    """Return the tags of a run that has ended."""
    return {"outcome": tag, "epochs": epochs} | ({"reason": reason} if reason else {})


def settings(trial: FrozenTrial) -> dict[str, Any]:
    """Return the hyperparameters that a trial was trained with; those that it ended with where PBT changed them."""
    changes = trial.user_attrs.get("perturbations")
    if changes:
        return dict(changes[-1]["hyperparameters"])
    return dict(trial.user_attrs.get("hyperparameters", trial.params))


def record(trial: FrozenTrial, stage: str, key: str) -> RunRecord | None:
    """Return what the run of a trial should say; None for one that has not started.

    Args:
        trial: its Optuna record.
        stage: ``"search"`` or ``"finals"``.
        key: of the metric that the intermediate values are.
    """
    if trial.state is TrialState.WAITING or "seed" not in trial.user_attrs:
        return None
    attributes, number = trial.user_attrs, trial.number
    label, trained = attributes.get("label"), settings(trial)
    tags = run_tags(stage, number, label)
    outcome = attributes.get("outcome")
    status = "KILLED"
    if outcome is None:
        tags["outcome"] = "interrupted"
    else:
        tags |= end_tags(outcome["tag"], outcome["reason"], trial.last_step or 0)
        status = "FAILED" if trial.state is TrialState.FAIL else "FINISHED"
    start = _milliseconds(trial.datetime_start)
    return RunRecord(
        label=run_label(stage, number),
        name=run_name(stage, number, label, trained),
        status=status,
        start_ms=start,
        end_ms=_milliseconds(trial.datetime_complete) or start,
        params={**trained, "seed": attributes["seed"]},
        tags=tags,
        epochs={epoch: {key: value} for epoch, value in trial.intermediate_values.items()},
    )


def records(name: str, stages: Mapping[str, Sequence[FrozenTrial]], key: str) -> list[RunRecord]:
    """Return the records of a study's own run and of the runs of all its trials, by stage."""
    trials = [one for stage, trials in stages.items() for t in trials if (one := record(t, stage, key)) is not None]
    going = any(one.tags["outcome"] == "interrupted" for one in trials)
    start, end = (
        f(times, default=0)
        for f, times in ((min, [t.start_ms for t in trials]), (max, [t.end_ms or 0 for t in trials]))
    )
    own = RunRecord("", name, "KILLED" if going else "FINISHED", start, end, tags={"stage": "study"})
    return [own, *trials]


def _milliseconds(moment: datetime.datetime | None) -> int:
    return 0 if moment is None else round(moment.timestamp() * 1000)

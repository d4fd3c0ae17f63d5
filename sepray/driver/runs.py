"""What the MLflow runs of a study say, worked out from its description and its Optuna records alone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from .. import identity
from ..arms import ARM
from ..contracts import SPLITS, TaskData
from ..errors import mask
from ..search.ledger import settings as settings
from ..spec.study import StudySpec, key
from ..tracking.reconciliation import ExpectedRun

STAGES = {"search": "trial", "finals": "final", "explain": "ablation"}
"""Stage of a study -> what a trial of it is called."""


def study_params(spec: StudySpec) -> dict[str, Any]:
    """Return the parameters of a study's own run."""
    params: dict[str, Any] = {"task": key(spec.task), "separator": key(spec.separator)}
    for part in ("task", "separator"):
        params |= {f"{part}.{name}": value for name, value in identity.plain(getattr(spec, part)).items()}
    return params | {
        "trials": spec.budget.trials,
        "max_epochs": spec.budget.max_epochs,
        "seed": spec.seed,
        "seeds_per_trial": spec.budget.seeds_per_trial,
        "sampler": spec.search.sampler,
        "scheduler": spec.search.scheduler,
        "grace_period": spec.search.grace(spec.budget.max_epochs),
        "objective": " ".join(spec.objective),
    }


def study_tags(spec: StudySpec, data: TaskData, fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a study's own run, beside those of the environment; without passwords."""
    return {
        "data_fingerprint": data.fingerprint,
        "study_fingerprint": identity.digest(fingerprint),
        "optuna_storage": mask(spec.stores.storage),
        "optuna_study": spec.name,
    }


def dataset(spec: StudySpec, data: TaskData) -> dict[str, Any]:
    """Return the description of a study's data: the task's configuration, the sources, the items of each split."""
    items = {split: len(getattr(data, split)) for split in SPLITS}
    return {"config": identity.plain(spec.task), "sources": list(data.signal.sources), "items": items}


def run_label(stage: str, number: int) -> str:
    """Return the label of a trial's run: the number in the search, ``final-<number>`` among the retrainings.

    A training of the ablation path has ``ablation-<number>``.
    """
    return str(number) if stage == "search" else f"{STAGES[stage]}-{number}"


def run_name(stage: str, number: int, label: str | None, hyperparameters: Mapping[str, Any], arm: str = "") -> str:
    """Return the name of a trial's run: its number, its arm, and its label or else its first three settings.

    The label of a retraining says its arm already.
    """
    first = list(hyperparameters.items())[:3]
    settings = " ".join(f"{k}={v:.2g}" if isinstance(v, float) else f"{k}={v}" for k, v in first)
    told = [arm] if arm and stage == "search" and arm != label else []
    return " · ".join([f"{STAGES[stage]} {number:03d}", *told, label or settings])[:250]


def run_params(hyperparameters: Mapping[str, Any], seed: int, arm: str) -> dict[str, Any]:
    """Return the parameters of a trial's run."""
    return {**({ARM: arm} if arm else {}), **hyperparameters, "seed": seed}


def run_tags(stage: str, number: int, label: str | None) -> dict[str, Any]:
    """Return the tags that a trial's run has from its start."""
    return {"stage": stage, "trial": number, "label": label or ""}


def end_tags(tag: str, reason: str, epochs: int) -> dict[str, Any]:
    """Return the tags that a trial's run gets when the trial ends."""
    return {"outcome": tag, "epochs": epochs} | ({"reason": reason} if reason else {})


def expected_run(trial: FrozenTrial, stage: str, metric: str) -> ExpectedRun | None:
    """Return what the run of a trial should say; None if the trial has not started.

    Args:
        trial: Optuna record of the trial.
        stage: a key of ``STAGES``.
        metric: name of the metric that the intermediate values are.
    """
    if trial.state is TrialState.WAITING or "seed" not in trial.user_attrs:
        return None
    attributes, number = trial.user_attrs, trial.number
    label, trained, arm = attributes.get("label"), settings(trial), trial.params.get(ARM, "")
    tags = run_tags(stage, number, label)
    outcome = attributes.get("outcome")
    status = "KILLED"
    if outcome is None:
        tags["outcome"] = "interrupted"
    else:
        tags |= end_tags(outcome["tag"], outcome["reason"], trial.last_step or 0)
        status = "FAILED" if trial.state is TrialState.FAIL else "FINISHED"
    start = _milliseconds(trial.datetime_start)
    return ExpectedRun(
        label=run_label(stage, number),
        name=run_name(stage, number, label, trained, arm),
        status=status,
        start_ms=start,
        end_ms=_milliseconds(trial.datetime_complete) or start,
        params=run_params(trained, attributes["seed"], arm),
        tags=tags,
        epochs={epoch: {metric: value} for epoch, value in trial.intermediate_values.items()},
    )


def expected_runs(name: str, stages: Mapping[str, Sequence[FrozenTrial]], metric: str) -> list[ExpectedRun]:
    """Return what the runs of a study and of all its trials should say.

    Args:
        name: name of the study.
        stages: Optuna records by stage.
        metric: name of the metric that the intermediate values are.
    """
    known = [(stage, trial) for stage, trials in stages.items() for trial in trials]
    trials = [run for stage, t in known if (run := expected_run(t, stage, metric)) is not None]
    own_trials = [run for run in trials if run.tags["stage"] != "explain"]  # which a study that has ended may have
    going = any(run.tags["outcome"] == "interrupted" for run in own_trials)
    start = min((run.start_ms for run in own_trials), default=0)
    end = max((run.end_ms or 0 for run in own_trials), default=0)
    own = ExpectedRun("", name, "KILLED" if going else "FINISHED", start, end, tags={"stage": "study"})
    return [own, *trials]


def _milliseconds(moment: datetime.datetime | None) -> int:
    return 0 if moment is None else round(moment.timestamp() * 1000)

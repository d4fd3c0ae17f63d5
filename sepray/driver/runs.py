"""Works out what the MLflow runs of a study say, from its description and its trials in Optuna alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from .. import identity
from ..arms import ARM
from ..choices import Objective
from ..contracts import SPLITS, TaskData
from ..errors import mask
from ..plain_text import in_markdown, in_one_line, plural
from ..report.wording import number as number_words
from ..report.wording import objective_words
from ..search.ledger import settings as settings
from ..spec.study import StudySpec, key
from ..tracking.missing_runs import ExpectedRun
from ..tracking.stored_forms import NOTE, inherited
from .best_so_far import BestSoFar, history, milliseconds

STAGES = {"search": "trial", "finals": "final", "explain": "ablation"}
"""Stage of a study -> the word for a trial of the stage."""
RUN_CONTEXT = "mlflow"
"""User attribute of the search with the parameters, tags and data of runs that their trials do not have."""
_ENDINGS = {"pruned": "stopped early", "collapsed": "collapsed"}
"""Outcome -> its word; trials with another outcome than these and ``complete`` are called failed."""


def study_params(spec: StudySpec) -> dict[str, Any]:
    """Return the parameters of a study's own run."""
    params: dict[str, Any] = {"task": key(spec.task), "separator": key(spec.separator)}
    for part in ("task", "separator"):
        params |= {f"{part}.{name}": value for name, value in identity.without_secrets(getattr(spec, part)).items()}
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
    return {"config": identity.without_secrets(spec.task), "sources": list(data.signal.sources), "items": items}


def run_label(stage: str, number: int) -> str:
    """Return the label of a trial's run: the number in the search, ``final-<number>`` among the retrainings.

    A training of the ablation path has ``ablation-<number>``.
    """
    return str(number) if stage == "search" else f"{STAGES[stage]}-{number}"


def run_name(stage: str, number: int, label: str | None, hyperparameters: Mapping[str, Any], arm: str = "") -> str:
    """Return the name of a trial's run: its number, its arm, and its label or else its first three settings.

    The label of a retraining says its arm already.
    """
    told = [arm] if arm and stage == "search" and arm != label else []
    return in_one_line(" · ".join([f"{STAGES[stage]} {number:03d}", *told, label or _first_settings(hyperparameters)]))[
        :250
    ]


def _first_settings(hyperparameters: Mapping[str, Any]) -> str:
    first = list(hyperparameters.items())[:3]
    return " ".join(f"{k}={v:.2g}" if isinstance(v, float) else f"{k}={v}" for k, v in first)


def finished_name(
    stage: str,
    number: int,
    tag: str,
    values: Sequence[float] | None,
    label: str | None,
    hyperparameters: Mapping[str, Any],
    arm: str = "",
) -> str:
    """Return the name of the run of a trial that has ended: its number, its value or how it ended, its arm and label.

    Without arm and label the name ends in the first three settings. Retrainings are f000, f001 ..., trainings of the
    ablation path a000, a001 ... MLflow's list of runs shows about fifteen characters of a name, the value among them.

    Args:
        stage: a key of ``STAGES``.
        number: number of the trial.
        tag: its outcome.
        values: values of the objectives; None if it has none.
        label: name of a reference point or a retraining.
        hyperparameters: settings that it was trained with.
        arm: its arm; empty if there are none.
    """
    digits = (f"{value:#.4g}".rstrip(".") for value in values or ())  # equally many in all names
    how = " / ".join(digits) if tag == "complete" else _ENDINGS.get(tag) or _failed(tag)
    who = [arm, label] if arm and stage == "search" and label not in (None, arm) else [arm if stage == "search" else ""]
    who = list(filter(None, who)) or [label or _first_settings(hyperparameters)]
    letter = "" if stage == "search" else STAGES[stage][0]
    return in_one_line(" · ".join([f"{letter}{number:03d}", how, *map(str, who)]))[:250]


def _failed(tag: str) -> str:
    return f"failed: {tag.replace('_', ' ')}"


def note(
    tag: str, reason: str, values: Sequence[float] | None, objectives: Sequence[Objective], epochs: int, arm: str = ""
) -> str:
    """Return the description of the run of a trial that has ended.

    Args:
        tag: its outcome.
        reason: why it ended; empty if it ran its whole budget.
        values: values of the objectives; None if it has none.
        objectives: values that the study optimises.
        epochs: epochs that it was trained for.
        arm: its arm; empty if there are none.
    """
    of_arm = f"Arm {in_markdown(arm)}. " if arm else ""
    if tag != "complete":
        how = _ENDINGS.get(tag) or _failed(tag)
        why = f": {in_markdown(reason)}" if reason and tag != "pruned" else ""  # "stopped early" is the reason
        return f"{of_arm}{how[:1].upper()}{how[1:]} after {plural(epochs, 'epoch')}{why}."
    told = [f"{objective_words(o)} {number_words(v)}" for o, v in zip(objectives, values or (), strict=False)]
    text = f"{' and '.join(told)} on validation after {plural(epochs, 'epoch')}, the whole budget."
    return of_arm + text[:1].upper() + text[1:]


def run_params(hyperparameters: Mapping[str, Any], seed: int, arm: str) -> dict[str, Any]:
    """Return the parameters of a trial's run."""
    return {**({ARM: arm} if arm else {}), **hyperparameters, "seed": seed}


def run_tags(stage: str, number: int, label: str | None) -> dict[str, Any]:
    """Return the tags that a trial's run has from its start."""
    return {"stage": stage, "trial": number, "label": label or ""}


def end_tags(tag: str, reason: str, epochs: int, note: str) -> dict[str, Any]:
    """Return the tags that a trial's run gets when the trial ends."""
    return {"outcome": tag, "epochs": epochs, NOTE: note} | ({"reason": reason} if reason else {})


def run_context(
    before: Mapping[str, Any] | None, params: Any, tags: Mapping[str, str], data: Any, now_ms: int
) -> dict[str, Any]:
    """Return the parameters, tags and data of runs from this start on, for the user attribute ``RUN_CONTEXT``.

    Args:
        before: the attribute as of the last start; None at the first.
        params: parameters of the study's own run.
        tags: its tags.
        data: its data, as ``stored_forms.dataset`` describes them.
        now_ms: milliseconds since 1970.
    """
    starts = list((before or {}).get("starts", ()))
    if not starts or starts[-1]["tags"] != tags:
        starts.append({"at": now_ms, "tags": dict(tags)})
    return {"params": params, "data": data, "starts": starts}


def _tags_at(context: Mapping[str, Any], moment_ms: int) -> Mapping[str, str]:
    """Return the tags of the study's own run at a time; none if nobody kept them."""
    tags: Mapping[str, str] = {}
    for start in context.get("starts", ()):
        tags = start["tags"] if start["at"] <= moment_ms else tags
    return tags


def expected_run(
    trial: FrozenTrial, stage: str, objectives: Sequence[Objective], context: Mapping[str, Any] | None = None
) -> ExpectedRun | None:
    """Return the run that MLflow should have of a trial; None if the trial has not started.

    Args:
        trial: the trial, as Optuna has it.
        stage: a key of ``STAGES``.
        objectives: values that the study optimises; the intermediate values are the first, or ``choices.guide_loss``.
        context: user attribute ``RUN_CONTEXT`` of the study; None for a study of an older version.
    """
    if trial.state is TrialState.WAITING or "seed" not in trial.user_attrs:
        return None
    attributes, number, start = trial.user_attrs, trial.number, milliseconds(trial.datetime_start)
    label, trained, arm = attributes.get("label"), settings(trial), trial.params.get(ARM, "")
    tags, epochs = run_tags(stage, number, label), trial.last_step or 0
    name = begun = run_name(stage, number, label, trained, arm)
    outcome = attributes.get("outcome")
    status = "KILLED"
    if outcome is None:
        tags["outcome"] = "interrupted"
    else:
        tag, reason, values = outcome["tag"], outcome["reason"], outcome.get("values") or trial.values
        tags |= end_tags(tag, reason, epochs, note(tag, reason, values, objectives, epochs, arm))
        status = "FAILED" if trial.state is TrialState.FAIL else "FINISHED"
        name = finished_name(stage, number, tag, values, label, trained, arm)
    metric = objectives[0].key if len(objectives) == 1 else "objective"
    return ExpectedRun(
        label=run_label(stage, number),
        name=name,
        status=status,
        start_ms=start,
        end_ms=milliseconds(trial.datetime_complete) or start,
        params=run_params(trained, attributes["seed"], arm),
        tags=tags,
        epochs={epoch: {metric: value} for epoch, value in trial.intermediate_values.items()},
        former_name=begun,
        inherited=inherited(_tags_at(context or {}, start)),
        dataset=(context or {}).get("data"),
    )


def expected_runs(
    name: str,
    stages: Mapping[str, Sequence[FrozenTrial]],
    objectives: Sequence[Objective],
    context: Mapping[str, Any] | None = None,
) -> list[ExpectedRun]:
    """Return the runs that MLflow should have of a study and of all its trials.

    Args:
        name: name of the study.
        stages: Optuna's trials by stage.
        objectives: values that the study optimises.
        context: user attribute ``RUN_CONTEXT`` of the study; None for a study of an older version.
    """
    known = [(stage, trial) for stage, trials in stages.items() for trial in trials]
    trials = [run for stage, t in known if (run := expected_run(t, stage, objectives, context)) is not None]
    own_trials = [run for run in trials if run.tags["stage"] != "explain"]  # an ended study may be explained
    going = any(run.tags["outcome"] == "interrupted" for run in own_trials)
    start = min((run.start_ms for run in own_trials), default=0)
    end = max((run.end_ms or 0 for run in own_trials), default=0)
    best = history(BestSoFar(objectives), stages.get("search", ()))
    own = ExpectedRun(
        label="",
        name=name,
        status="KILLED" if going else "FINISHED",
        start_ms=start,
        end_ms=end,
        params=(context or {}).get("params", {}),
        tags={"stage": "study"},
        epochs={step: metrics for (step, metrics), _ in best},
        times_ms={step: time for (step, _), time in best},
        inherited=_tags_at(context or {}, end),
        dataset=(context or {}).get("data"),
    )
    return [own, *trials]

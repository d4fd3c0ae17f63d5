"""Trials that ran their whole budget, with the one number that a study ranks them by (validation alone)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from ..arms import ARM
from ..search.outcomes import is_feasible, standing
from ..spec import choosing
from ..spec.choosing import Rule
from . import runs
from .prepared import PreparedStudy


@dataclass(frozen=True)
class Finished:
    """A trial that ran its whole budget, as Optuna has it.

    Attributes:
        number: number of the trial.
        label: name of a reference point or a retraining; None for a trial that the sampler proposed.
        hyperparameters: settings that it was trained with.
        value: the objective on validation, its sign turned where more is better, so that lower is better. With several
            objectives it is the one value that the study's rule makes of them (``choosing.Rule.loss``).
        folder: folder or URI of its checkpoints.
        attributes: all user attributes of the trial.
        arm: arm of the study that it belongs to; empty if there are none.
        losses: each objective on validation, the sign turned where more is better.
    """

    number: int
    label: str | None
    hyperparameters: Mapping[str, Any]
    value: float
    folder: str
    attributes: Mapping[str, Any]
    arm: str = ""
    losses: tuple[float, ...] = ()


def rule_of(prepared: PreparedStudy, searched: Iterable[FrozenTrial]) -> Rule:
    """Return the rule that turns the objectives of a study's trials into one number.

    Args:
        prepared: the study.
        searched: Optuna's trials of its search, in any state.
    """
    objectives = prepared.objectives
    losses = [[o.sign * v for o, v in zip(objectives, t.values, strict=True)] for t in searched if is_feasible(t)]
    return choosing.rule(prepared.spec.choose, objectives, np.array(losses, dtype=np.float64))


def finished(trials: Iterable[FrozenTrial], rule: Rule, folder_of: Callable[[int], str]) -> list[Finished]:
    """Return the trials that ran their whole budget and violated no constraint, without those that were run again.

    Args:
        trials: Optuna's trials of a stage, in any state.
        rule: makes one number of a trial's objectives.
        folder_of: function from the number of a trial to the folder or URI of its checkpoints.
    """
    return [
        Finished(
            number=trial.number,
            label=trial.user_attrs.get("label"),
            hyperparameters=runs.settings(trial),
            value=rule.loss(trial.values),
            folder=folder_of(trial.number),
            attributes=trial.user_attrs,
            arm=trial.params.get(ARM, ""),
            losses=rule.losses(trial.values),
        )
        for trial in standing(trials)
        if is_feasible(trial)
    ]

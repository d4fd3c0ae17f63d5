"""Which settings explain what the trials of a search differ by (Optuna's fANOVA). Imports no matplotlib.

Only trials that the sampler proposed count: the few published settings are far from all others in several parameters at
once, and their whole difference could be attributed to any of these. Trials that were stopped early count with their
last value. Optuna leaves them out by default, and with them the effect of bad settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from ..scoring.answers import Importance
from .study_results import StudyResults, is_feasible, outcome

FEWEST = 5
"""Smallest number of trials from which the importance of a parameter is estimated."""

Points = Sequence[tuple[FrozenTrial, float]]
"""Trials and the values that they count with."""


def points(results: StudyResults) -> Points:
    """Return the trials that count, with their values."""
    proposed = [t for t in results.trials if "label" not in t.user_attrs]
    kept = [t for t in proposed if is_feasible(t) or outcome(t) == "pruned"]
    return [(t, value) for t in kept if (value := results.value_so_far(t)) is not None]


def can_be_estimated(points: Points) -> bool:
    """Say whether there are enough trials, with settings and values that differ."""
    return len(points) >= FEWEST and bool(varied([t for t, _ in points])) and bool(np.ptp([v for _, v in points]) > 0)


def most_important(results: StudyResults) -> Importance | None:
    """Return the setting that explains most of what the trials differ by; None where that cannot be estimated."""
    counted = points(results)
    if not can_be_estimated(counted):
        return None
    found = shares(counted, sorted(varied([t for t, _ in counted])))
    name = max(found, key=lambda n: found[n])
    return Importance(name, found[name])


def varied(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the names of the parameters that all trials have, with more than one value."""
    return {name for name in common(trials) if len({repr(t.params[name]) for t in trials}) > 1}


def common(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the names of the parameters that all trials have; those of some arms alone have no share."""
    return set.intersection(*(set(t.params) for t in trials)) if trials else set()


def shares(points: Points, names: Sequence[str]) -> dict[str, float]:
    """Return the share of the explained variance of each of these parameters, by name."""
    trials = [
        optuna.trial.create_trial(value=value, params=trial.params, distributions=trial.distributions)
        for trial, value in points
    ]
    evaluator = FanovaImportanceEvaluator(n_trees=48, seed=0)
    found = get_param_importances(in_memory(["minimize"], trials), evaluator=evaluator, params=list(names))
    return {name: float(share) for name, share in found.items()}


def in_memory(directions: Sequence[Any], trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return an Optuna study in memory that holds the given trials, for Optuna's own analyses."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna logs every study that is created
    study = optuna.create_study(directions=list(directions))
    optuna.logging.set_verbosity(before)
    study.add_trials(trials)
    return study

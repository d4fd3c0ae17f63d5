"""Finds the settings that explain the differences between the trials of a search (Optuna's fANOVA).

Only trials that the sampler proposed count. The few published settings are far from all others in several parameters at
once, and their whole difference could be attributed to any of these. Trials that were stopped early count with their
last value. Optuna leaves them out by default, and with them the effect of bad settings.

A random forest gives some importance to every parameter, even to a weight of a network that is switched off. So copies
of the parameters are added, with their values shuffled among the trials. A parameter counts only if it is more
important than each of these (the shadows of Kursa and Rudnicki, "Feature selection with the Boruta package", 2010).
Imports no matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from ..scoring.answers import Importance
from ..search.outcomes import is_feasible
from .study_results import StudyResults, ending

FEWEST = 5
"""Smallest number of trials from which the importance of a parameter is estimated."""

_SHUFFLES = 3
_SHADOW = " shuffled"

Points = Sequence[tuple[FrozenTrial, float]]
"""Trials, each with the value that it counts with."""


def points(results: StudyResults) -> Points:
    """Return the trials that count, with their values."""
    proposed = [t for t in results.trials if "label" not in t.user_attrs]
    kept = [t for t in proposed if is_feasible(t) or ending(t) == "pruned"]
    return [(t, value) for t in kept if (value := results.value_so_far(t)) is not None]


def can_be_estimated(points: Points) -> bool:
    """Say whether there are enough trials, with settings and values that differ."""
    return len(points) >= FEWEST and bool(varied([t for t, _ in points])) and bool(np.ptp([v for _, v in points]) > 0)


def most_important(results: StudyResults) -> Importance | None:
    """Return the setting that explains most of the trials' differences; None if that cannot be estimated."""
    counted = points(results)
    if not can_be_estimated(counted):
        return None
    names = sorted(varied([t for t, _ in counted]))
    found, kept = shares(counted, names), above_chance(counted, names)
    name = max((name for name in found if name in kept), key=lambda name: found[name], default=None)
    return None if name is None else Importance(name, found[name])


def varied(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the names of the parameters that all trials have, with more than one value."""
    return {name for name in common(trials) if len({repr(t.params[name]) for t in trials}) > 1}


def common(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the names of the parameters that all trials have; a parameter of only some arms is left out."""
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


def above_chance(points: Points, names: Sequence[str]) -> list[str]:
    """Return the parameters that explain more, on average over shuffles, than the best of the shuffled copies."""
    random = np.random.default_rng(0)
    own, chance = dict.fromkeys(names, 0.0), 0.0
    for _ in range(_SHUFFLES):
        orders = {name: random.permutation(len(points)) for name in names}
        both = [
            optuna.trial.create_trial(
                value=value,
                params={n: t.params[n] for n in names}
                | {f"{n}{_SHADOW}": points[orders[n][k]][0].params[n] for n in names},
                distributions={f"{n}{end}": t.distributions[n] for n in names for end in ("", _SHADOW)},
            )
            for k, (t, value) in enumerate(points)
        ]
        found = shares([(t, float(t.values[0])) for t in both], [f"{n}{end}" for n in names for end in ("", _SHADOW)])
        chance += max(found[f"{name}{_SHADOW}"] for name in names)
        own = {name: own[name] + found[name] for name in names}
    return [name for name in names if own[name] > chance]


def in_memory(directions: Sequence[Any], trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return an Optuna study in memory that holds the given trials, for Optuna's own analyses."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna logs every study that is created
    study = optuna.create_study(directions=list(directions))
    optuna.logging.set_verbosity(before)
    study.add_trials(trials)
    return study

"""Trainings of the best settings on new seeds, as they follow from the finished trials of a search.

Without arms they are those of the finalists and the controls; with arms, pairs and the best of each arm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arms import ARM, Arm, hyperparameters
from ..search.ledger import FixedTrial
from ..spec import choosing
from .finished_trials import Finished

SAME_SETTINGS, BEST_OF_ARM = "same settings", "best of arm"
"""Comparisons of a retraining in a study with arms: with other arms at the same settings, or as the arm's best."""


@dataclass(frozen=True)
class Retraining:
    """A training on one of the final seeds.

    Attributes:
        label: name of the training, e.g. ``"trial 3 seed 1"``.
        role: name that all seeds of the same settings share, e.g. ``"trial 3"``.
        hyperparameters: settings to train with.
        seed: random seed of the training.
        arm: arm that it stands for; empty if there are none.
        pairing: ``SAME_SETTINGS`` or ``BEST_OF_ARM``; empty if there are no arms.
        base: number of the trial whose settings it has; None if there are no arms.
        reference: name of the published settings that it is of, which no model is made of; empty for all others.
        epochs: epochs that it is trained for; None: those of the study.
    """

    label: str
    role: str
    hyperparameters: dict[str, Any]
    seed: int
    arm: str = ""
    pairing: str = ""
    base: int | None = None
    reference: str = ""
    epochs: int | None = None

    def fixed(self) -> FixedTrial:
        """Return the trial of the stage of retrainings."""
        compared = {ARM: self.arm, "pairing": self.pairing, "base": self.base} if self.arm else {}
        compared |= {"reference": self.reference} if self.reference else {}
        compared |= {"epochs": self.epochs} if self.epochs else {}
        return FixedTrial(self.label, self.hyperparameters, self.seed, {"role": self.role, **compared})


def new_seeds(count: int, study_seed: int) -> list[int]:
    """Return the seeds of all retrainings, which no trial of the search has; more seeds continue the same sequence."""
    return [int(s) for s in np.random.SeedSequence([study_seed, 0x5EED]).generate_state(count)]


def finalists(trials: Iterable[Finished], count: int) -> list[Finished]:
    """Return the best ``count`` trials, best first; of trials with the same settings only the best one.

    With several objectives those of the Pareto front come first, in the order of the study's rule.
    """
    best: dict[str, Finished] = {}
    for trial in sorted(trials, key=lambda t: (t.value, t.number)):
        best.setdefault(json.dumps(dict(trial.hyperparameters), sort_keys=True), trial)
    ordered = list(best.values())
    if ordered and len(ordered[0].losses) > 1:
        ranks = choosing.ranks(np.array([trial.losses for trial in ordered]), count)
        ordered = [ordered[k] for k in np.argsort(ranks, kind="stable")]
    return ordered[:count]


def finalist_retrainings(
    chosen: Sequence[Finished], controls: Mapping[str, Mapping[str, Any]], seeds: int, study_seed: int
) -> list[Retraining]:
    """Return the retrainings of every finalist, and of every control at the settings of the best finalist.

    All of them are trained on the same new seeds, none of which the search has used. A control that changes nothing is
    left out.

    Args:
        chosen: the finalists, best first.
        controls: changes to the settings, by name.
        seeds: number of seeds.
        study_seed: seed of the study, which the new seeds are drawn from.
    """
    if not chosen:
        return []
    drawn = new_seeds(seeds, study_seed)
    roles = {f"trial {trial.number}": dict(trial.hyperparameters) for trial in chosen}
    best = chosen[0]
    for name, changes in controls.items():
        settings = {**best.hyperparameters, **changes}
        if settings != dict(best.hyperparameters):
            roles[f"{name} at the settings of trial {best.number}"] = settings
    return [
        Retraining(f"{role} seed {k}", role, settings, seed)
        for role, settings in roles.items()
        for k, seed in enumerate(drawn, 1)
    ]


def arm_retrainings(
    searched: Iterable[Finished], arms: Mapping[str, Arm], seeds: int, study_seed: int
) -> list[Retraining]:
    """Return the retrainings of a study with arms, all on the same new seeds: pairs, and the best of each arm.

    The pairs share one set of settings, of which every arm uses the hyperparameters that it searches. They have the
    values of the best trial; one that this trial does not search has its value in the best trial that searches it. So
    with the same seed, and with it the same initial weights, order of items and batches, two trainings of a pair differ
    in nothing but the arm. An arm whose own best trial has these settings is not trained at them twice. An arm that
    searches a hyperparameter which no finished trial has is left out.

    Args:
        searched: finished trials of the search.
        arms: arms by name.
        seeds: number of seeds.
        study_seed: seed of the study, which the new seeds are drawn from.
    """
    ranked = sorted(searched, key=lambda t: (t.value, t.number))
    if not ranked:
        return []
    best, shared = ranked[0], dict[str, Any]()
    for trial in ranked:
        shared = {**{name: trial.hyperparameters[name] for name in arms[trial.arm].searched}, **shared}
    plan: list[tuple[str, str, str, Finished, dict[str, Any]]] = []
    for name, arm in arms.items():
        own = next((t for t in ranked if t.arm == name), None)
        at_best = {k: shared[k] for k in arm.searched if k in shared}
        if len(at_best) == len(arm.searched):
            same = f"{name} at the settings of trial {best.number}"
            role = f"trial {best.number} (best of {name})" if own is best else same
            plan.append((role, name, SAME_SETTINGS, best, hyperparameters(arm, at_best)))
        if own is not None and dict(own.hyperparameters) != hyperparameters(arm, at_best):
            role = f"trial {own.number} (best of {name})"
            plan.append((role, name, BEST_OF_ARM, own, dict(own.hyperparameters)))
    plan.sort(key=lambda each: each[2] != SAME_SETTINGS)
    return [
        Retraining(f"{role} seed {k}", role, settings, seed, arm_name, pairing, base.number)
        for role, arm_name, pairing, base, settings in plan
        for k, seed in enumerate(new_seeds(seeds, study_seed), 1)
    ]

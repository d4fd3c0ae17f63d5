"""After the search: which trials are trained again, which of those wins, and how all of them do on the test split.

Only validation results decide; the test split is read once, for the final table and the model that is registered.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, NDArray[np.float64]]
"""Metric -> ``[item, source]``."""


@dataclass(frozen=True)
class Finished:
    """A trial that ran its whole budget, as its Optuna record has it.

    Attributes:
        number: of the trial.
        label: of a reference point or a retraining; None for a searched trial.
        hyperparameters: as they were trained.
        value: mean of the objectives, less is better.
        folder: of its checkpoints.
        attributes: further user attributes of the record.
    """

    number: int
    label: str | None
    hyperparameters: Mapping[str, Any]
    value: float
    folder: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Retraining:
    """A configuration to train again: its role and, where it stands for a trial of the search, that trial's number."""

    label: str
    role: str
    hyperparameters: dict[str, Any]
    seed: int


def finalists(finished: Iterable[Finished], count: int) -> list[Finished]:
    """Return the best ``count`` trials of a search with settings of their own, best first."""
    best: dict[str, Finished] = {}
    for trial in sorted(finished, key=lambda t: (t.value, t.number)):
        best.setdefault(json.dumps(dict(trial.hyperparameters), sort_keys=True), trial)
    return list(best.values())[:count]


def retrainings(
    chosen: Sequence[Finished], controls: Mapping[str, Mapping[str, Any]], seeds: int, study_seed: int
) -> list[Retraining]:
    """Return what is trained again, on ``seeds`` seeds: each finalist, and each control at the best one's settings.

    The seeds are the same for all, and none of them was used in the search.
    """
    drawn = [int(s) for s in np.random.SeedSequence([study_seed, 0x5EED]).generate_state(seeds)]
    planned = [
        Retraining(f"trial {trial.number} seed {k}", f"trial {trial.number}", dict(trial.hyperparameters), seed)
        for trial in chosen
        for k, seed in enumerate(drawn, 1)
    ]
    for name, overrides in controls.items() if chosen else ():
        settings = dict(chosen[0].hyperparameters) | dict(overrides)
        if settings != dict(chosen[0].hyperparameters):
            role = f"{name} at the settings of trial {chosen[0].number}"
            planned += [Retraining(f"{role} seed {k}", role, settings, seed) for k, seed in enumerate(drawn, 1)]
    return planned


def champion(finished: Iterable[Finished], among: Iterable[str]) -> tuple[str, float, Finished] | None:
    """Return the role with the best mean validation value, that mean, and its best member; None without any."""
    groups: dict[str, list[Finished]] = defaultdict(list)
    roles = set(among)
    for trial in finished:
        if trial.attributes.get("role") in roles:
            groups[trial.attributes["role"]].append(trial)
    if not groups:
        return None
    # A mean over fewer seeds, because the others failed, is no match for one over all of them.
    most = max(len(members) for members in groups.values())
    complete = [role for role, members in groups.items() if len(members) == most]
    role = min(complete, key=lambda r: (np.mean([t.value for t in groups[r]]), r))
    return role, float(np.mean([t.value for t in groups[role]])), best_member(groups[role])


def best_member(trials: Sequence[Finished]) -> Finished:
    """Return the trial with the least validation value."""
    return min(trials, key=lambda t: (t.value, t.number))

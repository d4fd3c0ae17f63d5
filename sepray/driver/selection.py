"""After the search: which trials are trained again, which of those wins, and how all of them do on the test split.

Only validation results decide; the test split is read once, for the final table and the model that is registered.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..choices import MEASURES
from ..console.terminal import ResultRow
from ..contracts import Separator, SeparatorConfig, Signal, Split
from ..execution import checkpoint
from ..execution.trainable import state_of_member
from ..scoring import evaluation

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


def load_separator(config: SeparatorConfig, signal: Signal, folder: str) -> Separator:
    """Return the separator with the weights of the newest checkpoint in ``folder``.

    Raises:
        FileNotFoundError: there is no sound checkpoint.
    """
    found = checkpoint.newest(folder)
    if found is None:
        raise FileNotFoundError(f"no sound checkpoint in {folder}")
    separator = config.build(signal)
    separator.load_state_dict(state_of_member(found))
    return separator.eval()


def score(
    separate: Separator | Callable[[Tensor], Tensor],
    split: Split,
    batch_size: int = 64,
    signal: Signal | None = None,
) -> Scores:
    """Return the measures of a separator on a split, without the energies; metric -> ``[item, source]``.

    ``signal`` says what measures there are; without it they are those of any signal.
    """
    return _measures(evaluation.score_split(separate, split, batch_size, signal=signal))


def references(split: Split, n_fft: int, hop: int, signal: Signal | None = None) -> dict[str, Scores]:
    """Return what every table shows beside the separators: the unprocessed mixture and the oracle bounds."""
    found = evaluation.bounds(split, n_fft, hop, signal=signal)
    return {reference_title(name): _measures(scores) for name, scores in found.items()}


def reference_title(name: str) -> str:
    """Return what a table calls one of ``evaluation.bounds``."""
    words = name.replace("_", " ")
    return words if name == "unprocessed_mixture" else f"oracle: {words}"


def _measures(scores: Scores) -> Scores:
    return {name: values for name, values in scores.items() if name in MEASURES}


def row(system: str, scores: Scores, metric: str, sources: Sequence[str], bold: bool = False) -> ResultRow:
    """Return the final table's line: mean with 95% bootstrap interval over items, per source and over sources.

    Of BSS Eval, the median. A source that the measure is not defined for has no cell; single items that it is not
    defined for (silent ones, in BSS Eval) are left out.
    """
    values = scores[metric]
    there = _defined(metric, values)
    columns = {source: values[there[:, k], k] for k, source in enumerate(sources)}
    columns["mean"] = over_sources(metric, values)[there.any(axis=1)]
    centre = MEASURES[metric].centre
    cells = {n: evaluation.confidence_interval(c, centre=centre) for n, c in columns.items() if len(c)}
    return ResultRow(system, {name: (c[0], c[1], c[2]) for name, c in cells.items()}, bold)


def over_sources(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean ``[item]`` of ``[item, source]`` over the sources that a measure is defined for; NaN for none."""
    there = _defined(metric, values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def _defined(metric: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return ``[item, source]``: where a measure is defined. Any other value that is not finite is a failure's."""
    missing = np.isnan(values)
    match MEASURES[metric].signals:
        case "hearts":  # of some sources
            return np.broadcast_to(~missing.all(axis=0), values.shape)
        case "sounds":  # of items that are not silent
            return ~missing
        case _:
            return np.ones(values.shape, dtype=bool)

"""Attributes a gain to settings, by the scores of an ablation path between two configurations.

A path leads from one configuration to another by changing one setting at a time (Fawcett and Hoos 2016, "Analysing
differences between algorithm configurations through ablation", Journal of Heuristics 22). Every step is trained on the
same seeds, so the difference to the step before is paired: its 95% interval is Student's over these seeds
(``scipy.stats.t``). A path describes; it claims nothing. The settings of a greedy path were chosen by the
same trainings, and another order would share the gain differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Values = Mapping[int, float]
"""Seed -> value on validation, of the trainings that have finished."""


@dataclass(frozen=True)
class Change:
    """A setting that changes, and other settings that change with it.

    Attributes:
        name: name of the hyperparameter, or ``arm``.
        old: value before.
        new: value after.
        brought: hyperparameter -> values before and after, of the settings that an arm brings with it. Settings that
            the arm does not use are left out; the value before is None where the arm before does not use the setting.
    """

    name: str
    old: Any
    new: Any
    brought: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Gap:
    """Difference between two configurations over the seeds that both have finished.

    Attributes:
        difference: mean over seeds of the second minus the first.
        low: lower end of its 95% interval; None for a single seed.
        high: upper end of that interval.
    """

    difference: float
    low: float | None
    high: float | None

    @property
    def beyond_seeds(self) -> bool:
        """Say whether there is an interval, and zero is not in it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def is_nothing(self) -> bool:
        """Say whether there are several seeds, and the two configurations differ on none of them."""
        return self.low == self.high == 0


@dataclass(frozen=True)
class Step:
    """A step of the path.

    Attributes:
        change: the setting that changes.
        mean: mean over seeds after the change; None if no training has finished.
        gap: difference to the step before; None if no seed has finished in both.
        share: its share of the difference between the ends of the path; None where that is within what seeds differ by.
        least: smallest share in a single seed; None where the share is, and where the seeds' ends differ in their sign.
        most: largest share in a single seed.
    """

    change: Change
    mean: float | None
    gap: Gap | None
    share: float | None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Explanation:
    """An ablation path.

    Attributes:
        origin: what it begins with, as ``sepray explain --from`` takes it: a name of published settings, or
            ``control``.
        start: the same as part of a sentence.
        measure: name of the measure, as part of a sentence.
        direction: ``"minimize"`` or ``"maximize"``, which values are better.
        order: how the next setting was chosen: ``greedy``, ``importance`` or ``given``.
        seeds: number of seeds of each step.
        epochs: number of epochs of each training.
        first: mean over seeds of the configuration that it begins with; None if no training has finished.
        steps: the steps; the last one leads to the champion.
        total: difference between the ends; None if no seed has finished in both.
    """

    origin: str
    start: str
    measure: str
    direction: str
    order: str
    seeds: int
    epochs: int
    first: float | None
    steps: tuple[Step, ...]
    total: Gap | None

    @property
    def last(self) -> float | None:
        """Mean over seeds of the champion's settings; None if no training has finished."""
        return self.steps[-1].mean

    def plain(self) -> dict[str, Any]:
        """Return the path as JSON values, which ``restored`` reads."""
        return asdict(self)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Explanation:
        """Return the path that ``plain`` described."""
        steps = tuple(
            Step(**{**step, "change": _change(step["change"]), "gap": _gap(step["gap"])}) for step in values["steps"]
        )
        return cls(**{**values, "steps": steps, "total": _gap(values["total"])})


def of_result(result: Mapping[str, Any] | None) -> Explanation | None:
    """Return the path that is kept in the result of a study, if there is one."""
    kept = None if result is None else result.get("explanation")
    return Explanation.restored(kept) if kept else None


def explained(
    origin: str,
    start: str,
    measure: str,
    direction: str,
    order: str,
    seeds: int,
    epochs: int,
    first: Values,
    steps: Sequence[tuple[Change, Values]],
) -> Explanation:
    """Return a path with its differences and shares.

    Args:
        origin: what it begins with, as ``sepray explain --from`` takes it.
        start: the same as part of a sentence.
        measure: name of the measure as part of a sentence.
        direction: ``"minimize"`` or ``"maximize"``.
        order: how the next setting was chosen.
        seeds: number of seeds of each step.
        epochs: number of epochs of each training.
        first: values of the configuration that it begins with.
        steps: what changes, and the values after it; at least one.
    """
    last = steps[-1][1]
    total, before, found = gap(first, last), first, []
    whole = total.difference if total is not None and total.beyond_seeds else None
    for change, values in steps:
        step = gap(before, values)
        if whole is None or step is None:
            found.append(Step(change, _mean(values), step, None))
        else:
            ends = _range_of_shares(first, last, before, values)
            found.append(Step(change, _mean(values), step, step.difference / whole, *ends))
        before = values
    told = tuple(found)
    return Explanation(origin, start, measure, direction, order, seeds, epochs, _mean(first), told, total)


def gap(first: Values, second: Values) -> Gap | None:
    """Return the difference of the second to the first over the seeds that both have; None where they share no seed."""
    from scipy.stats import sem, t  # takes 1.7 s to import

    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    differences = np.array([second[seed] - first[seed] for seed in common], dtype=np.float64)
    mean = float(differences.mean())
    if len(common) == 1:
        return Gap(mean, None, None)
    if np.ptp(differences) == 0:
        return Gap(mean, mean, mean)
    low, high = t.interval(0.95, len(common) - 1, mean, sem(differences))
    return Gap(mean, float(low), float(high))


def _range_of_shares(
    first: Values, last: Values, before: Values, after: Values
) -> tuple[float, float] | tuple[None, None]:
    """Return the smallest and the largest share of a step in a single seed's difference between the ends."""
    common = sorted(first.keys() & last.keys() & before.keys() & after.keys())
    wholes = np.array([last[seed] - first[seed] for seed in common])
    if not (np.all(wholes > 0) or np.all(wholes < 0)) or not common:
        return None, None
    shares = np.array([after[seed] - before[seed] for seed in common]) / wholes
    return float(shares.min()), float(shares.max())


def _mean(values: Values) -> float | None:
    return float(np.mean(list(values.values()))) if values else None


def _change(values: Mapping[str, Any]) -> Change:
    brought = {name: (old, new) for name, (old, new) in values["brought"].items()}
    return Change(values["name"], values["old"], values["new"], brought)


def _gap(values: Mapping[str, Any] | None) -> Gap | None:
    return None if values is None else Gap(**values)

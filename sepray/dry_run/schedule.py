"""Simulates a search: how many epochs the scheduler lets each trial train, and how long all trainings take."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from ..execution.schedulers import METRIC, TIME, make_scheduler
from ..spec.study import StudySpec

_ORDERS = 25  # random orders of the trials
_RESULTS_AT_MOST = 200_000  # results of epochs that are simulated, so that a large study is estimated in seconds


@dataclass(frozen=True)
class EstimateRange:
    """Least, likely and largest value of a quantity that is known for certain only after the study has run.

    Attributes:
        least: value if every trial is stopped as early, and skips as many phases, as it may.
        likely: mean value over random orders of the trials; None where the scheduler's rule does not determine it.
        most: value if no trial is stopped early and none skips a phase that it may train.
    """

    least: float
    likely: float | None
    most: float

    @property
    def expected(self) -> float:
        """The likely value, or the largest one where no likely value is known."""
        return self.most if self.likely is None else self.likely

    def __add__(self, other: EstimateRange) -> EstimateRange:
        likely = None if self.likely is None and other.likely is None else self.expected + other.expected
        return EstimateRange(self.least + other.least, likely, self.most + other.most)


@dataclass(frozen=True)
class Stopping:
    """Epochs of each trial of a search.

    Attributes:
        least: epochs if the best trial comes first and every later one is worse.
        likely: epochs for several random orders of the trials, one tuple for each order; empty where the scheduler's
            rule does not determine them.
        most: epochs if no trial is stopped early.
    """

    least: tuple[float, ...]
    likely: tuple[tuple[float, ...], ...]
    most: tuple[float, ...]


def early_stopping(spec: StudySpec, protected: int, others: int, arms: int = 0) -> Stopping:
    """Return the epochs that each trial of a search trains, as the study's own scheduler decides on simulated trials.

    Each simulated trial has the same value in every epoch, and trials differ in that value. ``hyperband`` and ``pbt``
    compare trials that run at the same time, and are not simulated: ``pbt`` stops none, and of ``hyperband`` only the
    first comparison of each trial is known.

    Args:
        spec: description of the study.
        protected: number of trials that are never stopped, which come first.
        others: number of all other trials, which may be stopped.
        arms: number of arms, which get a trial in turn; a trial is compared with those of its arm. 0: there are none.
    """
    name, budget = spec.search.scheduler, spec.budget.max_epochs
    most = (float(budget),) * (protected + others)
    if name in ("none", "pbt") or not others:
        return Stopping(most, (most,), most)
    if name == "hyperband":
        return Stopping(most[:protected] + _first_comparisons(spec, others), (), most)
    count = protected + others
    best_first = _simulated(spec, protected, range(count), arms)
    orders = max(1, min(_ORDERS, _RESULTS_AT_MOST // (count * budget)))
    generator = np.random.default_rng(spec.seed)
    likely = tuple(_simulated(spec, protected, generator.permutation(count).tolist(), arms) for _ in range(orders))
    return Stopping(best_first, likely, most)


def _scheduler(spec: StudySpec, arms: int = 0) -> Any:
    return make_scheduler(
        spec.search.scheduler,
        max_epochs=spec.budget.max_epochs,
        grace_period=spec.search.grace(spec.budget.max_epochs),
        reduction_factor=spec.search.reduction_factor,
        arms={} if arms else None,
    )


def _simulated(spec: StudySpec, protected: int, values: Iterable[float], arms: int) -> tuple[float, ...]:
    """Return the number of epochs that each trial trains; one trial ends before the next one starts.

    Args:
        spec: description of the study.
        protected: number of trials that are never stopped, which come first.
        values: objective of each trial, in all its epochs; less is better.
        arms: number of arms, which get a trial in turn.
    """
    scheduler, budget = _scheduler(spec, arms), spec.budget.max_epochs
    epochs: list[float] = []
    for number, value in enumerate(values):
        arm = str(number % arms) if arms else ""
        trial: Any = SimpleNamespace(config={"number": number, "protected": number < protected, "arm": arm})
        scheduler.on_trial_add(None, trial)
        last = budget
        for epoch in range(1, budget):
            if scheduler.on_trial_result(None, trial, {TIME: epoch, METRIC: float(value)}) == TrialScheduler.STOP:
                last = epoch
                break
        scheduler.on_trial_complete(None, trial, {TIME: last, METRIC: float(value)})
        epochs.append(float(last))
    return tuple(epochs)


def _first_comparisons(spec: StudySpec, count: int) -> tuple[float, ...]:
    """Return the epoch at which HyperBand first compares each trial; brackets are filled with trials in Ray's order."""
    scheduler = _scheduler(spec)
    found: list[float] = []
    while len(found) < count:
        for bracket in range(scheduler._s_max_1):
            first = scheduler._get_r0(bracket)
            if first:
                found += [float(first)] * scheduler._get_n0(bracket)
    return tuple(found[:count])


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Return the time in which all trainings end; each starts, in this order, as soon as one of the slots is free."""
    free = [0.0] * slots
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def mean(values: Sequence[float]) -> float:
    """Return the mean of values."""
    return sum(values) / len(values)

"""Intervals of means over units (recordings, ``scoring.units``), and over seeds where several trainings are meant.

Both are samples: other recordings and other seeds would give another mean. So a resample draws seeds, and the units of
each part of a mixture, each on its own, by ``scipy.stats.bootstrap`` with BCa. This is the "pigeonhole" bootstrap of
crossed designs (Owen 2007, Annals of Applied Statistics 1). With few units such an interval is too short; its level is
raised so that it is as long as Student's would be (Hesterberg 2015, The American Statistician 69, section 5.3).

Resamples of fewer than ``fewest`` units cannot reach 95%. There the interval is Student's, whose squared standard error
is that over units plus that over seeds, with the degrees of freedom of Welch and Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .units import UnitCodes, Units, Values

SIGNIFICANT = 0.05
"""A difference is called significant where its p-value is below this."""

RESAMPLES = 9999
_MOST_NUMBERS = 20_000_000  # resamples times items, beyond which fewer resamples are drawn
_LEAST_RESAMPLES = 1999
_AT_ONCE = 2_000_000  # numbers in memory
_INFINITE = (-math.inf, math.inf)


def fewest(tests: int = 1) -> int:
    """Return the smallest number of units (or seeds) that can show anything, 6 for one test.

    The least two-sided p-value of the sign-flip test and of Wilcoxon's, ``2 / 2^units``, times the number of tests has
    to be below 0.05.
    """
    return 1 + math.floor(math.log2(2 * tests / SIGNIFICANT))


def interval(
    values: Values,
    units: Units | None = None,
    alpha: float = SIGNIFICANT,
    centre: str = "mean",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the ends of the interval of the mean of ``[item]``, or ``[seed, item]``.

    Equal values have an interval of width zero. Other values of a single unit have none, and neither has a median of
    fewer than ``fewest`` units: then the ends are minus and plus infinity.

    Args:
        values: finite scores or differences.
        units: what the items were cut from; None: each item is a unit.
        alpha: probability that the interval misses the true value.
        centre: ``"mean"`` or ``"median"`` (over items, of the mean over seeds). A median has a percentile interval,
            because the jackknife of BCa is not valid for it.
        seed: random seed of the resampling.
        resamples: number of resamples, at most.
    """
    table = np.atleast_2d(values)
    units = units or Units.each(table.shape[1])
    if units.count == 1 and table.shape[1] == 1:
        return _INFINITE
    if np.ptp(table) == 0:
        return float(table[0, 0]), float(table[0, 0])
    if centre == "median":
        table = table.mean(0, keepdims=True)
    if units.count == 1:
        return _INFINITE
    if np.ptp(table, axis=0).max() == 0:  # nothing in it is random: the same interval as that of one training
        table = table[:1]
    least = 1 + math.floor(math.log2(2 / alpha))
    seeds = len(table)
    if units.count < least or 1 < seeds < least:
        return _INFINITE if centre == "median" else student_interval(table, units, alpha)
    factors = [*([np.arange(seeds)] if seeds > 1 else []), *(np.arange(codes.max() + 1) for codes in units.parts)]
    resamples = min(resamples, max(_LEAST_RESAMPLES, _MOST_NUMBERS // table.shape[1]))
    batch = max(1, _AT_ONCE // max(table.shape[1], sum(map(len, factors))))
    return _bootstrapped(_statistic(table, units.parts, centre), factors, alpha, centre, seed, resamples, batch)


def student_interval(table: Values, units: Units, alpha: float = SIGNIFICANT) -> tuple[float, float]:
    """Return the ends of Student's interval of the mean of ``[seed, item]`` over units and seeds."""
    from scipy.stats import t  # takes 1.7 s to import

    error, freedom = combined_error(error_terms(table, units))
    half = float(t.isf(alpha / 2, freedom)) * error
    mean = float(table.mean())
    return mean - half, mean + half


def error_terms(table: Values, units: Units) -> list[tuple[float, int]]:
    """Return the squared standard errors of the mean of ``[seed, item]`` over units and over seeds.

    Each comes with its degrees of freedom; a single seed has no error. Both include what neither units nor seeds
    explain, so that their sum is rather too large.
    """
    own = units.of(table.mean(0))
    terms = [(float(own.var(ddof=1)) / len(own), len(own) - 1)]
    return [*terms, *seed_terms(table)]


def seed_terms(table: Values) -> list[tuple[float, int]]:
    """Return the squared standard error over seeds of the mean of ``[seed, item]``; nothing for a single seed."""
    seeds = len(table)
    return [(float(table.mean(1).var(ddof=1)) / seeds, seeds - 1)] if seeds > 1 else []


def combined_error(terms: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Return the standard error of a sum of independent terms, and its degrees of freedom (Welch, Satterthwaite)."""
    total = math.fsum(square for square, _ in terms)
    below = math.fsum(square * square / freedom for square, freedom in terms)
    return math.sqrt(total), total * total / below if below > 0 else math.inf


def _statistic(table: Values, parts: Sequence[UnitCodes], centre: str) -> Callable[..., Values]:
    """Return the mean or the median as a function of which seeds and units were drawn, ``[..., drawn]`` each."""
    each_is_one = len(table) == 1 and len(parts) == 1 and int(parts[0].max()) + 1 == table.shape[1]
    if each_is_one and centre == "mean":
        in_order = np.empty_like(table[0])
        in_order[parts[0]] = table[0]
        return lambda drawn, axis=-1: np.asarray(in_order[drawn].mean(axis))
    ranked = np.argsort(table[0], kind="stable") if centre == "median" else None

    def statistic(*drawn: NDArray[np.int64], axis: int = -1) -> Values:
        values: Any = table[0]
        if len(drawn) > len(parts):  # seeds come first
            weights = _how_often(drawn[0], len(table))
            values = weights / weights.sum(-1, keepdims=True) @ table
        weight: Any = 1.0
        for own, codes in zip(drawn[-len(parts) :], parts, strict=True):
            weight = weight * _how_often(own, int(codes.max()) + 1)[..., codes]
        if ranked is not None:
            return _weighted_median(values[ranked], weight[..., ranked])
        return np.asarray((weight * values).sum(-1) / weight.sum(-1))

    return statistic


def _how_often(drawn: NDArray[np.int64], count: int) -> Values:
    """Return how often each of the numbers below ``count`` was drawn, ``[..., count]``, from ``[..., drawn]``."""
    flat = drawn.reshape(-1, drawn.shape[-1])
    cells = flat + count * np.arange(len(flat))[:, None]
    return np.bincount(cells.ravel(), minlength=count * len(flat)).reshape(*drawn.shape[:-1], count).astype(np.float64)


def _weighted_median(values: Values, weights: Values) -> Values:
    """Return the median of sorted ``[item]`` with whole weights ``[..., item]``: the middle, or the mean of both."""
    sums = weights.cumsum(-1)
    half = sums[..., -1:] / 2
    low, high = (sums >= half).argmax(-1), (sums > half).argmax(-1)
    return np.asarray((values[low] + values[high]) / 2)


def _bootstrapped(
    statistic: Callable[..., Values],
    factors: Sequence[NDArray[np.int64]],
    alpha: float,
    centre: str,
    seed: int,
    resamples: int,
    batch: int,
) -> tuple[float, float]:
    from scipy.stats import bootstrap, norm, t  # takes 1.7 s to import

    least = min(map(len, factors))
    # A percentile interval of n values is too short by sqrt((n - 1) / n) and by the normal in the place of Student's t.
    tail = float(norm.sf(math.sqrt(least / (least - 1)) * t.isf(alpha / 2, least - 1)))
    low = high = math.nan
    methods = ("percentile",) if centre == "median" else ("BCa", "percentile")
    for method in methods:  # BCa is not defined where leaving one out changes nothing
        with np.errstate(invalid="ignore", divide="ignore"):
            found = bootstrap(
                tuple(factors),
                statistic,
                n_resamples=resamples,
                batch=batch,
                vectorized=True,
                confidence_level=1 - 2 * tail,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if math.isfinite(low) and math.isfinite(high):
            break
    return low, high

"""Interval, test and number of seeds for differences of pairs of trainings; ``answers`` says why these."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .statistics import SIGNIFICANT, Values

MOST_SEEDS = 200
"""Number of seeds beyond which more of them are no reasonable advice."""
RESAMPLES = 29999
_POWER = 0.8
_SIGN_FLIPS = 2**16


def fewest_seeds(arms: int = 1) -> int:
    """Return the smallest number of seeds that can show anything, 6 for one arm.

    The least two-sided p-value of the sign-flip test, ``2 / 2^seeds``, times the number of arms has to be below 0.05.
    """
    return 1 + math.floor(math.log2(2 * arms / SIGNIFICANT))


def crossed_interval(differences: Values, arms: int = 1, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """Return the interval of the mean of ``[seed, item]`` over seeds and items.

    Args:
        differences: paired differences, finite.
        arms: number of arms whose intervals hold all together with 95%.
        resamples: number of resamples.

    Returns:
        None with fewer seeds than ``fewest_seeds`` or fewer than two items.
    """
    from scipy.stats import bootstrap, norm, t  # takes 1.7 s to import

    seeds, items = differences.shape
    if seeds < fewest_seeds(arms) or items < 2:
        return None
    if np.ptp(differences) == 0:
        return float(differences[0, 0]), float(differences[0, 0])

    def mean(chosen_seeds: NDArray[np.int64], chosen_items: NDArray[np.int64], axis: int = -1) -> Values:
        weights = (chosen_seeds[..., None] == np.arange(seeds)).mean(-2)
        means: Values = np.take_along_axis(weights @ differences, chosen_items, axis).mean(axis)
        return means

    # A percentile interval of n values is too short by sqrt((n - 1) / n) and by the normal in the place of Student's t.
    tail = norm.sf(math.sqrt(seeds / (seeds - 1)) * t.isf(SIGNIFICANT / arms / 2, seeds - 1))
    for method in ("BCa", "percentile"):  # BCa is not defined where leaving one out changes nothing
        with np.errstate(invalid="ignore", divide="ignore"):
            interval = bootstrap(
                (np.arange(seeds), np.arange(items)),
                mean,
                n_resamples=resamples,
                batch=max(1, 2_000_000 // (seeds * seeds + items)),
                vectorized=True,
                confidence_level=1 - 2 * tail,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        if math.isfinite(interval.low) and math.isfinite(interval.high):
            break
    return float(interval.low), float(interval.high)


def sign_flips(differences: Values) -> Values:
    """Return the two-sided p-values of the sign-flip tests of ``[seed, ...]``, ``[...]``; 1 for a single seed."""
    from scipy.stats import permutation_test

    if len(differences) < 2:
        return np.ones(differences.shape[1:])
    result = permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis),
        permutation_type="samples",
        axis=0,
        n_resamples=_SIGN_FLIPS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.pvalue, dtype=np.float64)


def student(differences: Values) -> float:
    """Return the two-sided p-value of Student's test that the mean of ``[seed]`` is zero."""
    from scipy.stats import ttest_1samp

    return 0.0 if np.ptp(differences) == 0 else float(ttest_1samp(differences, 0.0).pvalue)


def seeds_needed(differences: Values, arms: int = 1) -> int | None:
    """Return how many seeds would show a difference like the observed one.

    That is the smallest number, larger than the present one, that lets the sign-flip test be below 0.05 after Holm's
    correction, and lets Student's test (which has a formula) find the observed mean and standard deviation in 80% of
    studies.

    Args:
        differences: mean difference of each seed, ``[seed]``.
        arms: number of arms that are tested together.

    Returns:
        None if that is more than ``MOST_SEEDS``.
    """
    from scipy.stats import nct, t

    least = max(fewest_seeds(arms), len(differences) + 1)
    if len(differences) < 2:
        return least
    mean, deviation = abs(float(differences.mean())), float(differences.std(ddof=1))
    if mean == 0:
        return None
    if deviation == 0:
        return least
    counts = np.arange(least, MOST_SEEDS + 1)
    critical = t.isf(SIGNIFICANT / arms / 2, counts - 1)
    power = nct.sf(critical, counts - 1, mean / deviation * np.sqrt(counts))
    enough = ~(power < _POWER)  # NaN stands for a power of one, of differences that are large beside their spread
    return int(counts[enough.argmax()]) if enough.any() else None

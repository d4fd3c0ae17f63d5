"""Interval, test and number of seeds for differences of pairs of trainings; ``answers`` says why these."""

from __future__ import annotations

import numpy as np

from .intervals import SIGNIFICANT, fewest, interval
from .units import Units, Values

MOST_SEEDS = 200
"""Number of seeds beyond which more of them are no reasonable advice."""
RESAMPLES = 29999
_POWER = 0.8
_SIGN_FLIPS = 2**16  # as many as 16 pairs have
_AT_ONCE = 4_000_000  # numbers in memory


def crossed_interval(
    differences: Values, arms: int = 1, resamples: int = RESAMPLES, units: Units | None = None
) -> tuple[float, float] | None:
    """Return the interval of the mean of ``[seed, item]`` over seeds and units (``intervals.interval``).

    Args:
        differences: paired differences, finite.
        arms: number of arms whose intervals hold all together with 95%.
        resamples: number of resamples.
        units: what the items were cut from; None: each item is a unit.

    Returns:
        None with fewer seeds than ``fewest``, or a single unit.
    """
    units = units or Units.each(differences.shape[1])
    if len(differences) < fewest(arms) or units.count < 2:
        return None
    return interval(differences, units, SIGNIFICANT / arms, resamples=resamples)


def sign_flips(differences: Values, resamples: int = _SIGN_FLIPS) -> Values:
    """Return the two-sided p-values of the sign-flip tests of ``[seed or unit, ...]``, ``[...]``; 1 for a single one.

    Args:
        differences: independent and, where there is no effect, symmetrical around 0.
        resamples: number of random flips; the test is exact where there are no more flips than these.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2:
        return np.ones(differences.shape[1:])
    result = permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis),
        permutation_type="samples",
        axis=0,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // max(1, differences.size)),
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return np.asarray(result.pvalue, dtype=np.float64)


def student(differences: Values) -> float:
    """Return the two-sided p-value of Student's test that the mean of ``[seed]`` is zero; 1 for a single seed."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2:
        return 1.0
    if np.ptp(differences) == 0:  # no spread: whatever mean there is, is certain
        return float(differences[0] == 0)
    return float(ttest_1samp(differences, 0.0).pvalue)


def seeds_needed(differences: Values, arms: int = 1) -> int | None:
    """Return how many seeds would show a difference like the observed one.

    That is the smallest number above the present one which fulfils two conditions. The sign-flip test can fall below
    0.05 after Holm's correction. Student's test, whose power has a formula, finds the observed mean and standard
    deviation in 80% of studies.

    Args:
        differences: mean difference of each seed, ``[seed]``.
        arms: number of arms that are tested together.

    Returns:
        None if that is more than ``MOST_SEEDS``.
    """
    from scipy.stats import nct, t

    least = max(fewest(arms), len(differences) + 1)
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

"""How sure one can be that two separators differ: intervals over items, rank tests, many of them at once.

The unit is the test item: an item's score is its mean over the seeds that a separator was trained on, so that more
seeds make it steadier and do not count as more items. The Mann-Whitney U test (two-sided, ``scipy.stats``) is that of
the field's papers (SSGAN 3.2). It takes the two sets of scores as independent, though they are of the same items, and
so is careful: what it finds is there, what a paired test (``sepray compare``) finds it may miss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..scoring import evaluation

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class RankTest:
    """A system against the reference.

    Attributes:
        u: Mann-Whitney's statistic of the system: pairs of items of the two in which its score is the greater one.
        effect: ``u`` over the number of pairs, 0.5 where neither is the greater (common language effect size).
        p: two-sided.
        p_holm: after Holm's correction for all systems that are tested in this column.
    """

    u: float
    effect: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Cell:
    """A system's score by one measure, for one source or their mean.

    Attributes:
        mean: over items and seeds.
        low: lower end of its 95% bootstrap interval over items.
        high: upper end.
        seed_sd: standard deviation of the seeds' means (of a sample); None of fewer than two seeds.
        test: against the reference; None of the reference itself, and of what is not tested.
    """

    mean: float
    low: float
    high: float
    seed_sd: float | None
    test: RankTest | None = None


def cell(scores: Scores) -> Cell:
    """Return mean and interval of ``[seed, item]``.

    Raises:
        ValueError: there is no item, or a score is not finite.
    """
    mean, low, high = evaluation.confidence_interval(scores.mean(0))
    sd = float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else None
    return Cell(mean, low, high, sd)


def tested(cells: Mapping[str, Cell], scores: Mapping[str, Scores], reference: str) -> dict[str, Cell]:
    """Return the cells of one column with the tests of all systems in ``scores`` against the reference.

    Args:
        cells: by system.
        scores: ``[seed, item]`` of the systems to be tested, the reference among them.
        reference: name of that system.
    """
    base = scores[reference].mean(0)
    tests = {name: mann_whitney(values.mean(0), base) for name, values in scores.items() if name != reference}
    corrected = holm({name: test.p for name, test in tests.items()})
    found = dict(cells)
    for name, test in tests.items():
        found[name] = replace(found[name], test=replace(test, p_holm=corrected[name]))
    return found


def mann_whitney(system: Scores, reference: Scores) -> RankTest:
    """Return the two-sided test of ``[item]`` against ``[item]``, not yet corrected: ``p_holm`` is ``p``."""
    from scipy.stats import mannwhitneyu  # takes 1.7 s to import

    pairs = len(system) * len(reference)
    if np.ptp(np.concatenate((system, reference))) == 0:
        return RankTest(pairs / 2, 0.5, 1.0, 1.0)  # all tied: the normal approximation would divide by zero
    found = mannwhitneyu(system, reference, alternative="two-sided")
    u, p = float(found.statistic), float(found.pvalue)
    return RankTest(u, u / pairs, p, p)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values (1979): the smallest times the number of tests, the next times one less, ...

    Each is at least as large as the one before it, and at most 1.
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(ordered):
        largest = max(largest, (len(ordered) - rank) * p_values[name])
        adjusted[name] = min(1.0, largest)
    return adjusted

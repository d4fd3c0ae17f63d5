"""Intervals and tests over recordings: how certain a score is, or a difference between two systems.

The unit is the recording (``scoring.units``), and the seed where several trainings of a method are meant: intervals are
those of ``scoring.intervals``. Two systems are compared on the units that both have a score for. ``compare_systems``
(``sepray compare``) uses the sign-flip test and Wilcoxon's signed-rank test; a new model becomes the champion by the
sign-flip test and its interval. ``many_systems`` has the statistics of a table of many.

With fewer than ``intervals.fewest`` units no test can have a p-value below 0.05, whatever the scores are. Then texts
say that the units are too few, instead of showing a p-value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..choices import BSS_EVAL, MEASURES, measure_words
from ..errors import UsageError
from .intervals import RESAMPLES, SIGNIFICANT, fewest, interval
from .paired_statistics import sign_flips
from .units import Units
from .units import Values as Values

_EXACT_FLIPS = 16
"""Number of units up to which the sign-flip test is exact."""


def too_few(units: Units, tests: int = 1) -> str:
    """Return a clause on units that are too few for any claim; empty where there are enough.

    Args:
        units: what the items were cut from.
        tests: number of tests that are corrected together.
    """
    name = units.name if units.told else "recordings"
    return "" if units.count >= fewest(tests) else f"too few {name} to say anything ({units.count})"


def confidence_interval(
    values: Values, level: float = 0.95, seed: int = 0, centre: str = "mean", units: Units | None = None
) -> tuple[float, float, float]:
    """Return the mean of ``[item]`` or ``[seed, item]``, and the ends of its interval over units and seeds.

    With ``centre`` ``"median"``: the median over items, and its percentile interval. Equal values have an interval of
    width zero. A single unit has no interval: minus and plus infinity.

    Args:
        values: ``[item]`` or ``[seed, item]``, at least one.
        level: probability that the interval holds the true value.
        seed: random seed of the resampling.
        centre: ``"mean"`` or ``"median"``.
        units: what the items were cut from; None: each item is a unit.

    Raises:
        UsageError: a value is NaN or infinite.
        ValueError: there are no values, or more than two dimensions.
    """
    values = _finite("values", values, 2)
    middle = float(np.median(np.atleast_2d(values).mean(0)) if centre == "median" else values.mean())
    return middle, *interval(values, units, 1 - level, centre, seed)


@dataclass(frozen=True)
class PairedDifference:
    """Difference between a challenger and an incumbent on the same items.

    Attributes:
        difference: mean of challenger minus incumbent.
        low: lower end of the difference's 95% interval over units.
        high: upper end of that interval.
        p_value: two-sided p-value of the sign-flip test over units; 1 for a single one.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired_difference(
    challenger: Values, incumbent: Values, units: Units | None = None, seed: int = 0
) -> PairedDifference:
    """Compare the scores of two systems on the same items.

    Args:
        challenger: scores ``[item]`` of the first system.
        incumbent: scores ``[item]`` of the second system, in the same order.
        units: what the items were cut from; None: each item is a unit.
        seed: random seed of the resampling.

    Raises:
        UsageError: a score is NaN or infinite.
        ValueError: different numbers of items, or no item.
    """
    challenger, incumbent = _finite("challenger", challenger), _finite("incumbent", incumbent)
    if len(challenger) != len(incumbent):
        raise ValueError(f"a paired comparison needs the same items, not {len(challenger)} and {len(incumbent)}")
    differences = challenger - incumbent
    units = units or Units.each(len(differences))
    mean = float(differences.mean())
    low, high = interval(differences, units, seed=seed)
    p_value = float(sign_flips(units.of(differences), RESAMPLES if units.count > _EXACT_FLIPS else 2**_EXACT_FLIPS))
    return PairedDifference(mean, low, high, p_value)


def signed_rank(differences: Values) -> tuple[float, float]:
    """Return Wilcoxon's signed-rank p-value (two-sided) and the matched-pairs rank-biserial correlation (Kerby 2014).

    The correlation is the effect size: 1 where every difference is positive, -1 where every difference is negative.
    Differences of zero are left out; without any other, the p-value is 1 and the correlation 0.
    """
    from scipy.stats import rankdata, wilcoxon  # takes 1.7 s to import

    differences = differences[differences != 0]
    if not differences.size:
        return 1.0, 0.0
    ranks = rankdata(np.abs(differences))
    effect = float((ranks * np.sign(differences)).sum() / ranks.sum())
    return float(wilcoxon(differences).pvalue), effect


@dataclass(frozen=True)
class SystemComparison:
    """Two systems on the same items, by one measure.

    Attributes:
        names: names of the first and the second system.
        metric: name of the measure.
        items: number of items that both systems have a score for.
        means: mean scores of the first and the second system.
        paired: first minus second system.
        p_wilcoxon: two-sided p-value of Wilcoxon's signed-rank test over units.
        rank_biserial: effect size of first minus second, -1 to 1.
        wins: number of items on which the first system is the better one.
        units: what the items were cut from.
    """

    names: tuple[str, str]
    metric: str
    items: int
    means: tuple[float, float]
    paired: PairedDifference
    p_wilcoxon: float
    rank_biserial: float
    wins: int
    units: Units

    @property
    def better(self) -> str | None:
        """Name of the better system; None where the two tests do not both show a difference of one sign."""
        both = max(self.paired.p_value, self.p_wilcoxon) < SIGNIFICANT
        if not both or self.paired.difference * self.rank_biserial < 0:
            return None
        gain = self.paired.difference * (-1 if MEASURES[self.metric].direction == "minimize" else 1)
        return self.names[0] if gain > 0 else self.names[1]

    @property
    def cut_from(self) -> str:
        """Number of items that were scored, and the units that they were cut from, in words."""
        items = f"{self.items} item" + ("s" if self.items > 1 else "")
        return f"{items} of {self.units.words}" if self.units.told else items

    @property
    def conclusion(self) -> str:
        """One sentence for a reader who does not know the tests."""
        first, second = self.names
        measure = measure_words(self.metric)
        if self.paired.difference == 0 and self.paired.low == self.paired.high:
            return f"Conclusion: {first} and {second} do the same by {measure}."
        if few := too_few(self.units):
            return f"Conclusion: {few}."
        if self.better is None:
            return f"Conclusion: by {measure}, these {self.cut_from} do not show that either model is better."
        worse = second if self.better == first else first
        size = abs(self.rank_biserial)
        effect = "a large" if size >= 0.5 else "a medium" if size >= 0.3 else "a small"
        return f"Conclusion: {self.better} separates better than {worse} by {measure}, {effect} effect."


def compare_systems(
    names: tuple[str, str], first: Values, second: Values, metric: str, units: Units | None = None
) -> SystemComparison:
    """Compare two systems by their scores ``[item]`` on the same items.

    A measure of BSS Eval has no score (NaN) for an item with a silent source; such items are left out for both systems.

    Args:
        names: names of the two systems.
        first: scores of the first system.
        second: scores of the second system, in the same order.
        metric: name of the measure, a key of ``MEASURES``.
        units: what the items were cut from; None: each item is a unit.

    Raises:
        UsageError: no item has a score of both systems, or a score is not finite where it has to be.
        ValueError: different numbers of items.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired comparison needs the same items, not {len(first)} and {len(second)}")
    measure, units = MEASURES[metric], units or Units.each(len(first))
    if metric in BSS_EVAL:
        scored = ~np.isnan(first) & ~np.isnan(second)
        first, second, units = first[scored], second[scored], units.take(scored)
        if not len(first):
            raise UsageError(f"there is nothing to compare: no item has a {metric} for both {' and '.join(names)}")
    for name, scores in zip(names, (first, second), strict=True):
        _finite(f"scores of {name}", scores)
    paired = paired_difference(first, second, units)
    p_wilcoxon, effect = signed_rank(units.of(first - second))
    gains = second - first if measure.direction == "minimize" else first - second
    means = (float(first.mean()), float(second.mean()))
    wins = int(np.count_nonzero(gains > 0))
    return SystemComparison(names, metric, len(first), means, paired, p_wilcoxon, effect, wins, units)


def _finite(name: str, values: Values, most: int = 1) -> Values:
    values = np.asarray(values, dtype=np.float64)
    if not 1 <= values.ndim <= most or not values.size:
        raise ValueError(f"{name} must be [item], of at least one, not {list(values.shape)}")
    if wrong := np.count_nonzero(~np.isfinite(values)):
        raise UsageError(f"{wrong} of {values.size} {name} are not finite: some estimates are NaN or infinite")
    return values

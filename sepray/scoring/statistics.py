"""How certain a score is, and a difference between two systems: bootstrap intervals and rank tests over test items.

The unit is the test item. Where a separator was trained on several seeds, an item's score is its mean over the seeds,
so that more seeds make a score steadier and do not count as more items.

Two systems are compared item by item: ``compare_systems`` (``sepray compare``) uses a paired bootstrap and Wilcoxon's
signed-rank test; a new model becomes the champion by the paired bootstrap alone. A table of many systems
(``studies/compare_separators.py``) uses the two-sided Mann-Whitney U test, as the field's papers do (SSGAN, section
3.2), with Holm's correction. That test treats the two sets of scores as independent although they are of the same
items, so it is conservative: it may miss a difference that a paired test finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL, MEASURES, measure_words
from ..errors import UsageError

Values = NDArray[np.float64]

SIGNIFICANT = 0.05
"""A difference is called significant where its p-value is below this."""

_RESAMPLES = 9999


def confidence_interval(
    values: Values, level: float = 0.95, seed: int = 0, centre: str = "mean"
) -> tuple[float, float, float]:
    """Return the mean of ``[item]`` and the ends of its bootstrap interval (BCa) over items.

    With ``centre`` ``"median"``: the median and its percentile interval, because the jackknife of BCa is not valid for
    a median. Equal values have an interval of width zero. A single value has no interval: minus and plus infinity.

    Args:
        values: ``[item]``, at least one.
        level: probability that the interval holds the true value.
        seed: random seed of the resampling.
        centre: ``"mean"`` or ``"median"``.

    Raises:
        UsageError: a value is NaN or infinite.
        ValueError: there are no values, or more than one dimension.
    """
    values = _finite("values", values)
    statistic: Callable[..., Any] = np.median if centre == "median" else np.mean
    middle = float(statistic(values))
    if len(values) == 1:
        return middle, -np.inf, np.inf
    _, low, high = _bootstrap(values, level, seed, "percentile" if centre == "median" else "BCa", statistic)
    return middle, low, high


@dataclass(frozen=True)
class PairedBootstrap:
    """Difference between a challenger and an incumbent on the same items.

    Attributes:
        difference: mean of challenger minus incumbent.
        low: lower end of the difference's 95% bootstrap interval over items.
        high: upper end of that interval.
        p_value: two-sided; twice the share of resamples in which the difference has no or the other sign.
        better: whether the challenger is the better one, with p below 0.05.
    """

    difference: float
    low: float
    high: float
    p_value: float
    better: bool


def paired_bootstrap(challenger: Values, incumbent: Values, direction: str, seed: int = 0) -> PairedBootstrap:
    """Compare the scores of two systems on the same items by a paired bootstrap (percentile interval).

    Args:
        challenger: scores ``[item]`` of the first system.
        incumbent: scores ``[item]`` of the second system, in the same order.
        direction: ``"minimize"`` or ``"maximize"``, which scores are better.
        seed: random seed of the resampling.

    Raises:
        UsageError: a score is NaN or infinite.
        ValueError: different numbers of items, no item, or an unknown direction.
    """
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction must be minimize or maximize, not {direction!r}")
    challenger, incumbent = _finite("challenger", challenger), _finite("incumbent", incumbent)
    if len(challenger) != len(incumbent):
        raise ValueError(f"a paired comparison needs the same items, not {len(challenger)} and {len(incumbent)}")
    differences = challenger - incumbent
    mean = float(differences.mean())
    if len(differences) == 1:
        return PairedBootstrap(mean, -np.inf, np.inf, 1.0, False)
    means, low, high = _bootstrap(differences, 0.95, seed, "percentile")
    tail = min(np.count_nonzero(means >= 0), np.count_nonzero(means <= 0))
    p_value = float(min(1.0, 2 * (tail + 1) / (len(means) + 1)))
    gain = -mean if direction == "minimize" else mean
    return PairedBootstrap(mean, low, high, p_value, bool(gain > 0 and p_value < SIGNIFICANT))


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
        bootstrap: first minus second system.
        p_wilcoxon: two-sided p-value of Wilcoxon's signed-rank test.
        rank_biserial: effect size of first minus second, -1 to 1.
        wins: number of items on which the first system is the better one.
    """

    names: tuple[str, str]
    metric: str
    items: int
    means: tuple[float, float]
    bootstrap: PairedBootstrap
    p_wilcoxon: float
    rank_biserial: float
    wins: int

    @property
    def better(self) -> str | None:
        """Name of the better system; None where the two tests do not both show a difference of one sign."""
        both = max(self.bootstrap.p_value, self.p_wilcoxon) < SIGNIFICANT
        if not both or self.bootstrap.difference * self.rank_biserial < 0:
            return None
        gain = self.bootstrap.difference * (-1 if MEASURES[self.metric].direction == "minimize" else 1)
        return self.names[0] if gain > 0 else self.names[1]

    @property
    def conclusion(self) -> str:
        """One sentence for a reader who does not know the tests."""
        first, second = self.names
        measure = measure_words(self.metric)
        if self.bootstrap.difference == 0 and self.bootstrap.low == self.bootstrap.high:
            return f"Conclusion: {first} and {second} do the same by {measure}."
        if self.better is None:
            return f"Conclusion: by {measure}, these {self.items} items do not show that either model is better."
        worse = second if self.better == first else first
        size = abs(self.rank_biserial)
        effect = "a large" if size >= 0.5 else "a medium" if size >= 0.3 else "a small"
        return f"Conclusion: {self.better} separates better than {worse} by {measure}, {effect} effect."


def compare_systems(names: tuple[str, str], first: Values, second: Values, metric: str) -> SystemComparison:
    """Compare two systems by their scores ``[item]`` on the same items.

    A measure of BSS Eval has no score (NaN) for an item with a silent source; such items are left out for both systems.

    Args:
        names: names of the two systems.
        first: scores of the first system.
        second: scores of the second system, in the same order.
        metric: name of the measure, a key of ``MEASURES``.

    Raises:
        UsageError: no item has a score of both systems, or a score is not finite where it has to be.
        ValueError: different numbers of items.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired comparison needs the same items, not {len(first)} and {len(second)}")
    measure = MEASURES[metric]
    if metric in BSS_EVAL:
        scored = ~np.isnan(first) & ~np.isnan(second)
        first, second = first[scored], second[scored]
        if not len(first):
            raise UsageError(f"there is nothing to compare: no item has a {metric} for both {' and '.join(names)}")
    for name, scores in zip(names, (first, second), strict=True):
        _finite(f"scores of {name}", scores)
    bootstrap = paired_bootstrap(first, second, measure.direction)
    p_wilcoxon, effect = signed_rank(first - second)
    gains = second - first if measure.direction == "minimize" else first - second
    means = (float(first.mean()), float(second.mean()))
    wins = int(np.count_nonzero(gains > 0))
    return SystemComparison(names, metric, len(first), means, bootstrap, p_wilcoxon, effect, wins)


@dataclass(frozen=True)
class RankTest:
    """Mann-Whitney U test of a system against the reference system.

    Attributes:
        u: number of pairs of an item of the system and an item of the reference in which the system's score is greater;
            ties count one half.
        effect: ``u`` over the number of pairs, 0.5 where neither is greater (common language effect size).
        p: two-sided p-value.
        p_holm: p-value after Holm's correction for all systems that are tested by this measure and source.
    """

    u: float
    effect: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class ScoreSummary:
    """A system's score by one measure, for one source or the mean over sources.

    Attributes:
        mean: mean over items and seeds.
        low: lower end of the mean's 95% bootstrap interval over items.
        high: upper end of that interval.
        seed_sd: sample standard deviation of the seeds' means; None for fewer than two seeds.
        test: test against the reference system; None for the reference itself and for systems that are not tested.
    """

    mean: float
    low: float
    high: float
    seed_sd: float | None
    test: RankTest | None = None


def summarise_seeds(scores: Values) -> ScoreSummary:
    """Return mean and interval of ``[seed, item]``.

    Raises:
        UsageError: a score is NaN or infinite.
        ValueError: there is no item.
    """
    mean, low, high = confidence_interval(scores.mean(0))
    sd = float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else None
    return ScoreSummary(mean, low, high, sd)


def with_rank_tests(
    summaries: Mapping[str, ScoreSummary], scores: Mapping[str, Values], reference: str
) -> dict[str, ScoreSummary]:
    """Return the summaries, with the test of every system in ``scores`` against the reference added.

    Args:
        summaries: summary of each system's scores, by the system's name.
        scores: ``[seed, item]`` of the systems to be tested, the reference among them.
        reference: name of the reference system.
    """
    base = scores[reference].mean(0)
    tests = {name: mann_whitney(values.mean(0), base) for name, values in scores.items() if name != reference}
    corrected = holm({name: test.p for name, test in tests.items()})
    tested = {name: replace(test, p_holm=corrected[name]) for name, test in tests.items()}
    return {name: replace(old, test=tested.get(name, old.test)) for name, old in summaries.items()}


def mann_whitney(system: Values, reference: Values) -> RankTest:
    """Return the two-sided test of ``[item]`` against ``[item]``, uncorrected: ``p_holm`` equals ``p``."""
    from scipy.stats import mannwhitneyu  # takes 1.7 s to import

    pairs = len(system) * len(reference)
    if np.ptp(np.concatenate((system, reference))) == 0:
        return RankTest(pairs / 2, 0.5, 1.0, 1.0)  # all tied: the normal approximation would divide by zero
    result = mannwhitneyu(system, reference, alternative="two-sided")
    u, p = float(result.statistic), float(result.pvalue)
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


def _finite(name: str, values: Values) -> Values:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be [item], of at least one, not {list(values.shape)}")
    if wrong := np.count_nonzero(~np.isfinite(values)):
        raise UsageError(f"{wrong} of {len(values)} {name} are not finite: some estimates are NaN or infinite")
    return values


def _bootstrap(
    values: Values, level: float, seed: int, method: str, statistic: Callable[..., Any] = np.mean
) -> tuple[Values, float, float]:
    """Return the statistic of each resample of at least two values, and the ends of its interval."""
    if np.ptp(values) == 0:
        return np.full(_RESAMPLES, values[0]), float(values[0]), float(values[0])
    from scipy.stats import bootstrap  # takes 1.7 s to import

    result = bootstrap(
        (values,),
        statistic,
        n_resamples=_RESAMPLES,
        batch=max(1, 2_000_000 // len(values)),
        confidence_level=level,
        method=method,
        rng=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return result.bootstrap_distribution, float(interval.low), float(interval.high)

"""Statistics of a table of many systems against a reference: intervals, paired tests and rank tests.

A table (``studies/compare_separators.py``) has Wilcoxon's signed-rank test over the units that all systems share, with
Holm's correction and its effect size. Beside it stands the two-sided Mann-Whitney U test of the field's papers (SSGAN,
section 3.2). The latter treats the two sets of scores as independent although they are of the same recordings, so it is
conservative: it may miss a difference that a paired test finds.

A difference between methods has to be larger than what seeds make too. So where a row has several seeds, its p-value is
the larger one of two: Wilcoxon's over units, and Student's over units and seeds. Student's squared standard error is
that over units plus that over the seeds of both methods. ``tests/scoring/test_first_kind_errors.py`` shows by
simulation that of tables of eight equal methods no more than Holm promises have a significant difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .intervals import combined_error, error_terms, seed_terms
from .statistics import confidence_interval, signed_rank, too_few
from .units import Units, Values


@dataclass(frozen=True)
class PairedTest:
    """Test of a system against the reference system on the units that both have.

    Attributes:
        p: two-sided p-value of Wilcoxon's signed-rank test over units; where there are several seeds, the larger one of
            that and the p-value of Student's test over units and seeds.
        p_holm: the same after Holm's correction for all systems that are tested by this measure and source.
        effect: matched-pairs rank-biserial correlation of system minus reference over units, -1 to 1 (Kerby 2014).
    """

    p: float
    p_holm: float
    effect: float


@dataclass(frozen=True)
class RankTest:
    """Mann-Whitney U test of a system against the reference system.

    Attributes:
        u: number of pairs of a unit of the system and a unit of the reference in which the system's score is greater;
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
        mean: mean over items and seeds; of BSS Eval the median over items.
        low: lower end of the mean's 95% interval over units and seeds.
        high: upper end of that interval.
        seed_sd: sample standard deviation of the seeds' means; None for fewer than two seeds.
        test: rank test against the reference system; None for the reference itself and for systems that are not tested.
        paired: paired test against the reference system; None as above, and where units are too few for any claim.
    """

    mean: float
    low: float
    high: float
    seed_sd: float | None
    test: RankTest | None = None
    paired: PairedTest | None = None


def summarise_seeds(scores: Values, units: Units | None = None, centre: str = "mean") -> ScoreSummary:
    """Return mean and interval of ``[seed, item]`` over units and seeds.

    With ``centre`` ``"median"`` they are those of the median over items.

    Raises:
        UsageError: a score is NaN or infinite.
        ValueError: there is no item.
    """
    mean, low, high = confidence_interval(scores, centre=centre, units=units)
    sd = float(scores.mean(1).std(ddof=1)) if len(scores) > 1 else None
    return ScoreSummary(mean, low, high, sd)


def with_tests(
    summaries: Mapping[str, ScoreSummary], scores: Mapping[str, Values], reference: str, units: Units | None = None
) -> dict[str, ScoreSummary]:
    """Return the summaries, with the tests of every system in ``scores`` against the reference added.

    Args:
        summaries: summary of each system's scores, by the system's name.
        scores: ``[seed, item]`` of the systems to be tested, the reference among them.
        reference: name of the reference system.
        units: what the items were cut from; None: each item is a unit.
    """
    base = scores[reference]
    others = {name: values for name, values in scores.items() if name != reference}
    units = units or Units.each(base.shape[1])
    own = units.of(base.mean(0))
    ranks = {name: mann_whitney(units.of(values.mean(0)), own) for name, values in others.items()}
    corrected = holm({name: test.p for name, test in ranks.items()})
    pairs: dict[str, PairedTest] = {}
    if not too_few(units, len(others)):
        pairs = {name: paired_test(values, base, units) for name, values in others.items()}
    together = holm({name: test.p for name, test in pairs.items()})
    found = {}
    for name, old in summaries.items():
        rank = replace(ranks[name], p_holm=corrected[name]) if name in ranks else old.test
        pair = replace(pairs[name], p_holm=together[name]) if name in pairs else old.paired
        found[name] = replace(old, test=rank, paired=pair)
    return found


def paired_test(system: Values, reference: Values, units: Units) -> PairedTest:
    """Return the two-sided test of ``[seed, item]`` against ``[seed, item]``, uncorrected: ``p_holm`` equals ``p``."""
    from scipy.stats import t  # takes 1.7 s to import

    difference = system.mean(0) - reference.mean(0)
    p, effect = signed_rank(units.of(difference))
    if seeds := [*seed_terms(system), *seed_terms(reference)]:
        error, freedom = combined_error([*error_terms(difference[None], units), *seeds])
        if error > 0:
            p = max(p, float(2 * t.sf(abs(difference.mean()) / error, freedom)))
    return PairedTest(p, p, effect)


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

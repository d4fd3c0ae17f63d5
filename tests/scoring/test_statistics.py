"""Intervals, paired comparisons and rank tests against values that were worked out by hand or by scipy directly."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats

from sepray.errors import UsageError
from sepray.scoring.many_systems import holm, mann_whitney, paired_test, summarise_seeds, with_tests
from sepray.scoring.paired_statistics import sign_flips
from sepray.scoring.statistics import (
    PairedDifference,
    SystemComparison,
    compare_systems,
    confidence_interval,
    paired_difference,
    signed_rank,
)
from sepray.scoring.units import Units


def test_confidence_interval_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    mean, low, high = confidence_interval(values)
    half = 1.96 * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.05 * half), pytest.approx(mean + half, abs=0.05 * half))
    assert confidence_interval(values) == (mean, low, high)
    assert confidence_interval(values, seed=1)[1] != low
    narrow = confidence_interval(values, level=0.5)
    assert narrow[2] - narrow[1] == pytest.approx(2 * 0.6745 * values.std() / 20, rel=0.05)


def test_confidence_interval_follows_a_skew() -> None:
    mean, low, high = confidence_interval(np.random.default_rng(1).exponential(size=30) ** 2)
    assert high - mean > 1.2 * (mean - low)


def test_confidence_interval_of_equal_values_and_of_one() -> None:
    assert confidence_interval(np.full(5, 0.25)) == (0.25, 0.25, 0.25)
    assert confidence_interval(np.array([0.25])) == (0.25, -math.inf, math.inf)


def test_confidence_interval_of_a_few_values_is_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.5])
    mean, low, high = confidence_interval(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 3, mean, stats.sem(values)))
    assert confidence_interval(np.array([1.0, 2.0, 4.0]), centre="median") == (2.0, -math.inf, math.inf)


def test_paired_difference_sees_a_small_gain_under_a_large_spread() -> None:
    random = np.random.default_rng(0)
    incumbent = random.uniform(0, 1, 200)
    challenger = incumbent - 0.01 + random.normal(0, 0.02, 200)
    found = paired_difference(challenger, incumbent)
    difference = challenger - incumbent
    half = 1.96 * difference.std() / math.sqrt(200)
    assert found.difference == pytest.approx(difference.mean())
    assert found.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert found.p_value < 0.001
    reverse = paired_difference(incumbent, challenger)
    assert reverse.difference == pytest.approx(-found.difference)
    assert reverse.p_value == found.p_value


def test_paired_difference_of_equals() -> None:
    scores = np.random.default_rng(0).uniform(0, 1, 50)
    same = paired_difference(scores, scores)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    back_and_forth = paired_difference(scores + np.tile([0.1, -0.1], 25), scores)
    assert back_and_forth.p_value > 0.9


def test_p_values_of_no_difference_are_uniform() -> None:
    p_values = sign_flips(np.random.default_rng(3).normal(size=(60, 1000)), 999)
    assert 0.03 < np.mean(p_values < 0.05) < 0.07
    assert 0.45 < np.mean(p_values) < 0.55


def test_one_item_decides_nothing() -> None:
    found = paired_difference(np.array([0.1]), np.array([0.9]))
    assert (found.low, found.high, found.p_value) == (-math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confidence_interval(np.array([])), r"must be \[item\], of at least one, not \[0\]"),
        (lambda: confidence_interval(np.ones((2, 2, 2))), r"not \[2, 2, 2\]"),
        (lambda: confidence_interval(np.array([1, math.nan, math.inf])), "2 of 3 values are not finite"),
        (lambda: paired_difference(np.ones(3), np.ones(4)), "same items, not 3 and 4"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("system", "reference", "u", "p"),
    [
        ([1, 2, 3], [4, 5, 6], 0, 2 * 1 / 20),  # of the 20 ways to share out six ranks, one has U = 0
        ([4, 5, 6], [1, 2, 3], 9, 2 * 1 / 20),
        ([1, 2, 4], [3, 5, 6], 1, 2 * 2 / 20),
        ([1, 4, 5], [2, 3, 6], 4, 1.0),
        # Tied: mean 4.5, variance 9 / 12 (7 - 3 (2^3 - 2) / 30) = 4.8, with the correction for continuity.
        ([1, 1, 2], [2, 3, 3], 0.5, math.erfc((4 - 0.5) / math.sqrt(4.8) / math.sqrt(2))),
        ([2, 2], [2, 2], 2, 1.0),
    ],
)
def test_mann_whitney_by_hand(system, reference, u, p):
    found = mann_whitney(np.array(system, float), np.array(reference, float))
    assert found.u == u
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found.effect == pytest.approx(u / (len(system) * len(reference)))


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    # d 4 x 0.005, a 3 x 0.01, c 2 x 0.03, b 1 x 0.04, which may not be below c's
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.5}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


def test_cell_is_over_units_and_seeds():
    scores = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    found = summarise_seeds(scores)
    assert found.mean == 3
    assert found.seed_sd == pytest.approx(math.sqrt(2))  # of the means 2 and 4
    # Squared standard errors: of the items' means 2, 3, 4 it is 1 / 3, of the seeds' 2 / 2; Welch and Satterthwaite.
    freedom = (1 / 3 + 1) ** 2 / ((1 / 3) ** 2 / 2 + 1 / 1)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(1 / 3 + 1)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert summarise_seeds(scores[:1]).seed_sd is None
    with pytest.raises(ValueError, match="not finite"):
        summarise_seeds(np.array([[1.0, math.nan]]))


def test_tests_are_against_the_reference_and_corrected_together():
    scores = {"ref": np.array([[4.0, 5, 6]]), "a": np.array([[1.0, 2, 3]]), "b": np.array([[4.5, 5.5, 3.5]])}
    cells = {name: summarise_seeds(values) for name, values in scores.items()}
    found = with_tests({**cells, "oracle": cells["a"]}, scores, "ref")
    assert all(cell.paired is None for cell in found.values())  # three items are too few
    assert found["ref"].test is None
    assert found["oracle"].test is None
    assert found["a"].test.p == pytest.approx(0.1)
    assert found["a"].test.p_holm == pytest.approx(0.2)
    # U = 3: of the 20 ways 1 + 1 + 2 + 3 have as few, and it is the larger of the two p-values
    assert found["b"].test.p_holm == found["b"].test.p == pytest.approx(2 * 7 / 20)


def test_confidence_interval_of_a_median_is_the_percentile_interval_of_medians() -> None:
    values = np.random.default_rng(2).exponential(size=101)
    middle, low, high = confidence_interval(values, centre="median")
    assert middle == np.median(values)
    random = np.random.default_rng(99)
    medians = np.median(random.choice(values, (4000, 101)), axis=1)
    # Each resampled median is one of the values, so two ways of drawing agree to a neighbouring value or so.
    order = np.sort(values)
    for end, share in ((low, 0.025), (high, 0.975)):
        assert abs(np.searchsorted(order, end) - np.searchsorted(order, np.quantile(medians, share))) <= 2
    assert high < confidence_interval(values)[2]  # the mean of a skewed sample lies above its median


def test_p_value_of_the_sign_flips_by_hand() -> None:
    # Of the 4 patterns of signs of 3 and -1, those with a mean of 1 or more and of -1 or less: all of them.
    assert paired_difference(np.array([3.0, -1.0]), np.zeros(2)).p_value == 1
    # Of the 32 patterns of five gains, all plus and all minus; of six, two of 64, which is enough.
    for gains in (np.arange(1.0, 6.0), np.arange(1.0, 7.0)):
        found = paired_difference(gains, np.zeros(len(gains)))
        assert found.p_value == 2 / 2 ** len(gains)
        assert found.low < gains.mean() < found.high


def test_paired_test_against_seeds_by_hand():
    """Twelve units agree; the seeds of both methods differ by more than the methods do."""
    units = Units.each(12)
    items = np.linspace(0.5, 1.5, 12)
    reference = np.stack([items, items + 2])
    system = reference + 0.1 + np.linspace(0, 0.01, 12)
    found = paired_test(system, reference, units)
    assert found.effect == 1
    over_units = float(np.var(np.linspace(0, 0.01, 12), ddof=1)) / 12
    over_seeds = 2.0 / 2  # of either method: the seeds' means are 2 apart
    total = over_units + 2 * over_seeds
    freedom = total**2 / (over_units**2 / 11 + 2 * over_seeds**2)
    assert found.p == pytest.approx(2 * stats.t.sf(0.105 / math.sqrt(total), freedom))
    assert found.p > 0.9
    alone = paired_test(system[:1], reference[:1], units)
    assert alone.p == 2 / 2**12


def test_seed_of_the_resampling_arrives() -> None:
    random = np.random.default_rng(4)
    first, second = random.normal(size=30), random.normal(size=30)
    found = [paired_difference(first, second, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0].low != found[2].low
    assert found[0].low == pytest.approx(found[2].low, abs=0.05)


def test_signed_rank_by_hand() -> None:
    p, effect = signed_rank(np.array([1.0, -2.0, 3.0, 0.0]))  # ranks 1, 2, 3 of those that differ
    assert effect == pytest.approx((1 - 2 + 3) / 6)
    assert p == pytest.approx(0.75)  # of 8 patterns of signs, 6 have a rank sum as far from 3
    assert signed_rank(np.zeros(5)) == (1.0, 0.0)
    assert signed_rank(np.array([2.0, 5.0, 1.0]))[1] == 1
    assert signed_rank(np.array([-2.0, -5.0]))[1] == -1


def test_signed_rank_counts_all_patterns_of_signs() -> None:
    differences = np.random.default_rng(7).normal(0.4, 1, 9)
    ranks = stats.rankdata(np.abs(differences))
    sums = np.array([ranks[np.array(signs)].sum() for signs in product((False, True), repeat=9)])
    observed, middle = ranks[differences > 0].sum(), ranks.sum() / 2
    p, effect = signed_rank(differences)
    assert p == pytest.approx(np.mean(np.abs(sums - middle) >= abs(observed - middle)))
    assert effect == pytest.approx(2 * observed / ranks.sum() - 1)


def test_systems_are_compared_in_the_direction_of_the_measure() -> None:
    random = np.random.default_rng(5)
    second = random.uniform(1, 2, 40)
    first = second - np.where(np.arange(40) < 34, 0.1, -0.02)
    by_error = compare_systems(("a", "b"), first, second, "relative_l2")
    assert (by_error.items, by_error.wins, by_error.better) == (40, 34, "a")
    assert by_error.means == (pytest.approx(first.mean()), pytest.approx(second.mean()))
    assert by_error.paired == paired_difference(first, second)
    assert by_error.p_wilcoxon == pytest.approx(float(stats.wilcoxon(first - second).pvalue))
    # The 6 smallest of 40 ranks are gains of the second, so 21 of 820.
    assert by_error.rank_biserial == pytest.approx(-(820 - 2 * 21) / 820)
    by_ratio = compare_systems(("a", "b"), first, second, "si_sdr")
    assert (by_ratio.wins, by_ratio.better) == (6, "b")
    assert by_ratio.paired.difference == by_error.paired.difference


def test_items_that_bss_eval_has_no_score_for_are_left_out_for_both() -> None:
    first, second = np.array([1.0, math.nan, 3.0, 5.0]), np.array([0.5, 2.0, math.nan, 4.0])
    found = compare_systems(("a", "b"), first, second, "sdr")
    assert (found.items, found.means, found.wins) == (2, (3.0, 2.25), 2)
    with pytest.raises(UsageError, match="no item has a sdr for both a and b"):
        compare_systems(("a", "b"), first[1:3], second[1:3], "sdr")


def test_a_model_whose_estimates_are_not_finite_is_named() -> None:
    scores = np.array([1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="1 of 3 scores of worse are not finite: some estimates are NaN or infinite"):
        compare_systems(("better", "worse"), scores, np.array([1.0, math.nan, 3.0]), "si_sdr")
    with pytest.raises(ValueError, match="same items, not 3 and 2"):
        compare_systems(("a", "b"), scores, scores[:2], "si_sdr")


@pytest.mark.parametrize(
    ("difference", "p", "changes", "sentence"),
    [
        (1.0, 0.01, {}, "a separates better than b by SI-SDR, a medium effect."),
        (-1.0, 0.01, {"rank_biserial": -0.9}, "b separates better than a by SI-SDR, a large effect."),
        (
            -1.0,
            0.01,
            {"rank_biserial": -0.1, "metric": "relative_l2"},
            "a separates better than b by relative L2 error, a small",
        ),
        (1.0, 0.2, {}, "by SI-SDR, these 9 items do not show that either model is better."),
        (1.0, 0.01, {"p_wilcoxon": 0.3}, "by SI-SDR, these 9 items do not show that either"),
        # At the edges: 0.5 is a large effect, 0.3 a medium one, and p = 0.05 shows nothing.
        (1.0, 0.01, {"rank_biserial": 0.5}, "a separates better than b by SI-SDR, a large effect."),
        (1.0, 0.01, {"rank_biserial": 0.4999}, "a separates better than b by SI-SDR, a medium effect."),
        (1.0, 0.01, {"rank_biserial": 0.3}, "a separates better than b by SI-SDR, a medium effect."),
        (1.0, 0.01, {"rank_biserial": 0.2999}, "a separates better than b by SI-SDR, a small effect."),
        (1.0, 0.0499, {}, "a separates better than b by SI-SDR, a medium effect."),
        (1.0, 0.05, {}, "by SI-SDR, these 9 items do not show that either model is better."),
        (1.0, 0.01, {"p_wilcoxon": 0.05}, "by SI-SDR, these 9 items do not show that either"),
        # The signs of the mean and of the ranks differ.
        (1.0, 0.01, {"rank_biserial": -0.4}, "by SI-SDR, these 9 items do not show that either"),
    ],
)
def test_conclusion_claims_no_more_than_both_tests_show(difference, p, changes, sentence):
    paired = PairedDifference(difference, difference - 0.5, difference + 0.5, p)
    fields = {"metric": "si_sdr", "p_wilcoxon": 0.01, "rank_biserial": 0.4} | changes
    found = SystemComparison(
        names=("a", "b"), items=9, means=(2.0, 1.0), paired=paired, wins=7, units=Units.each(9), **fields
    )
    assert found.conclusion.startswith(f"Conclusion: {sentence}")
    assert found.better == (sentence[0] if "separates" in sentence else None)


def test_conclusion_of_equal_scores() -> None:
    scores = np.array([1.0, 2.0, 4.0])
    found = compare_systems(("a", "b"), scores, scores, "relative_l2")
    assert found.conclusion == "Conclusion: a and b do the same by relative L2 error."
    assert (found.wins, found.better) == (0, None)


def test_difference_of_the_same_size_on_every_item_is_one() -> None:
    scores = np.array([1.0, 2.0, 4.0, 3.0, 2.5, 7.0])
    found = compare_systems(("a", "b"), scores - 0.5, scores, "relative_l2")
    assert found.paired == PairedDifference(-0.5, -0.5, -0.5, 2 / 2**6)
    assert found.conclusion == "Conclusion: a separates better than b by relative L2 error, a large effect."


def test_level_of_a_median_arrives() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 50.0, 2.5, 3.5])
    wide, narrow = (confidence_interval(values, level, centre="median") for level in (0.95, 0.5))
    assert wide[0] == narrow[0] == 3
    assert (wide[1], wide[2]) == (1, 50)
    assert 2 <= narrow[1] <= 3 <= narrow[2] <= 4


def test_two_pieces_are_too_few_to_say_anything() -> None:
    """Eighty crops, all of them better: of two pieces nothing follows for others."""
    units = Units(tuple((f"piece {k % 2}",) for k in range(80)), ("pieces",))
    second = np.random.default_rng(0).uniform(1, 2, 80)
    found = compare_systems(("a", "b"), second - 0.1 - second / 100, second, "relative_l2", units)
    assert found.conclusion == "Conclusion: too few pieces to say anything (2)."
    assert (found.better, found.cut_from, found.wins) == (None, "80 items of 2 pieces", 80)

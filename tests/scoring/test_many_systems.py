"""A table of many systems: its corrections and its tests, by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from sepray.scoring.many_systems import ScoreSummary, holm, mann_whitney, paired_test, summarise_seeds, with_tests
from sepray.scoring.units import Units

BASE = np.array([[0.5, 0.9, 0.1, 0.7, 0.3, 0.8, 0.2, 0.6]])
SHIFTS = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, -0.08])


def test_holm_multiplies_by_the_tests_that_are_left_rises_and_ends_at_one():
    adjusted = holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.6})
    assert adjusted == pytest.approx({"b": 0.04, "c": 0.09, "a": 0.09, "d": 0.6})
    assert holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_rank_test_counts_the_pairs_in_which_the_system_is_greater():
    found = mann_whitney(np.array([3.0, 5.0, 2.0]), np.array([2.0, 4.0]))
    assert (found.u, found.effect) == (3.5, pytest.approx(3.5 / 6))  # one pair of 2 and 2 is a half
    apart = mann_whitney(np.arange(5.0), np.arange(5.0) + 10)
    assert (apart.u, apart.effect) == (0.0, 0.0)
    assert apart.p == apart.p_holm == pytest.approx(2 / 252)  # of 10 choose 5 orders
    assert mann_whitney(np.ones(3), np.ones(4)).u == 6.0
    assert mann_whitney(np.ones(3), np.ones(4)).p == 1.0


def test_paired_test_of_one_seed_is_wilcoxons_and_says_the_direction():
    found = paired_test(BASE + SHIFTS, BASE, Units.each(8))
    assert found.effect == pytest.approx((36 - 2 * 8) / 36)
    assert found.p == pytest.approx(stats.wilcoxon(SHIFTS).pvalue)
    assert found.p_holm == found.p
    assert paired_test(BASE, BASE + SHIFTS, Units.each(8)).effect == pytest.approx(-found.effect)


def test_seeds_that_differ_more_than_systems_take_a_difference_away():
    shift = np.abs(SHIFTS)
    alike = paired_test(np.concatenate([BASE + shift] * 2), np.concatenate([BASE] * 2), Units.each(8))
    apart = np.concatenate([BASE + shift + 0.5, BASE + shift - 0.5])
    assert alike.p < 0.05 < paired_test(apart, np.concatenate([BASE] * 2), Units.each(8)).p


def test_tests_are_added_to_those_in_the_scores_and_corrected_for_all_but_the_reference():
    empty = ScoreSummary(0.0, 0.0, 0.0, None)
    scores = {"base": BASE, "a": BASE + np.abs(SHIFTS), "b": BASE + SHIFTS}
    found = with_tests(dict.fromkeys([*scores, "oracle"], empty), scores, "base")
    assert found["base"] == found["oracle"] == empty
    assert found["a"].paired.p_holm == pytest.approx(2 * found["a"].paired.p)
    assert found["b"].paired.p_holm == pytest.approx(found["b"].paired.p)
    assert found["a"].test.p_holm >= found["a"].test.p


@pytest.mark.parametrize(("items", "tested"), [(5, False), (6, True)])
def test_of_too_few_units_there_is_no_paired_test(items, tested):
    scores = {"base": BASE[:, :items], "a": BASE[:, :items] + np.abs(SHIFTS[:items])}
    found = with_tests(dict.fromkeys(scores, ScoreSummary(0.0, 0.0, 0.0, None)), scores, "base")["a"]
    assert (found.paired is not None) is tested
    assert found.test is not None


def test_summary_has_the_deviation_of_seeds_where_there_are_two():
    one, two = summarise_seeds(BASE), summarise_seeds(np.concatenate([BASE, BASE + 0.2]))
    assert one.seed_sd is None
    assert two.seed_sd == pytest.approx(0.2 / math.sqrt(2))
    assert (one.mean, two.mean) == (pytest.approx(BASE.mean()), pytest.approx(BASE.mean() + 0.1))
    assert summarise_seeds(BASE, centre="median").mean == pytest.approx(0.55)

"""Intervals over units and seeds, against values worked out by hand and by scipy directly."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from sepray.scoring import intervals
from sepray.scoring.intervals import combined_error, error_terms, fewest, interval, seed_terms, student_interval
from sepray.scoring.units import Units

TEN = np.array([0.3, 1.2, -0.4, 2.2, 0.9, 1.1, 3.5, 0.0, 0.7, 1.6])


def grid(rows: int, columns: int) -> Units:
    """Units of a table of pairs, row by row."""
    return Units(tuple((f"r{i}", f"c{j}") for i in range(rows) for j in range(columns)), ("rows", "columns"))


@pytest.mark.parametrize(("tests", "units"), [(1, 6), (2, 7), (3, 7), (4, 8), (10, 9)])
def test_fewest_is_the_first_number_whose_least_p_value_is_below_a_twentieth(tests, units):
    assert fewest(tests) == units
    assert fewest() == 6
    assert tests * 2 / 2**units < 0.05 <= tests * 2 / 2 ** (units - 1)


def test_error_terms_by_hand():
    table = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])  # over seeds 2, 3, 5.5; over units 2 and 5
    over_units, over_seeds = error_terms(table, Units.each(3))
    assert over_units == (pytest.approx((1.5**2 + 0.5**2 + 2**2) / 2 / 3), 2)
    assert over_seeds == (pytest.approx(4.5 / 2), 1)
    assert seed_terms(table) == [over_seeds]
    assert seed_terms(table[:1]) == []
    assert error_terms(table[:1], Units.each(3)) == [(pytest.approx(1 / 3), 2)]


def test_combined_error_is_that_of_welch_and_satterthwaite():
    error, freedom = combined_error([(0.04, 9), (0.01, 4)])
    assert error == pytest.approx(math.sqrt(0.05))
    assert freedom == pytest.approx(0.0025 / (0.0016 / 9 + 0.0001 / 4))
    assert combined_error([(0.0, 3)]) == (0.0, math.inf)


def test_students_interval_has_the_freedom_of_units_and_seeds():
    table = np.stack([TEN, TEN + 0.5, TEN - 0.1])
    error, freedom = combined_error(error_terms(table, Units.each(10)))
    half = scipy.stats.t.ppf(0.95, freedom) * error
    low, high = student_interval(table, Units.each(10), alpha=0.1)
    assert (low, high) == (pytest.approx(table.mean() - half), pytest.approx(table.mean() + half))


@pytest.mark.parametrize("seeds", [2, 5])
def test_fewer_seeds_than_can_show_anything_have_students_interval(seeds):
    table = TEN + np.linspace(0, 1, seeds)[:, None]
    assert interval(table) == student_interval(table, Units.each(10))
    six = TEN + np.linspace(0, 1, 6)[:, None]
    assert interval(six) != student_interval(six, Units.each(10))


def test_fewer_units_than_can_show_anything_have_students_interval_by_their_level():
    assert interval(TEN[:5]) == student_interval(TEN[None, :5], Units.each(5))
    assert interval(TEN[:6]) != student_interval(TEN[None, :6], Units.each(6))
    assert interval(TEN[:3], alpha=0.5) != student_interval(TEN[None, :3], Units.each(3), 0.5)
    assert interval(TEN[:2], alpha=0.5) == student_interval(TEN[None, :2], Units.each(2), 0.5)


def test_one_unit_has_no_interval_and_equal_values_have_one_of_width_zero():
    one = Units((("a",),) * 10, ("tracks",))
    assert interval(TEN, one) == (-math.inf, math.inf)
    assert interval(np.array([2.0])) == (-math.inf, math.inf)
    assert interval(np.array([[2.0], [3.0]])) == (-math.inf, math.inf)
    assert interval(np.full((2, 3), 2.5)) == (2.5, 2.5)
    assert interval(np.full(10, 2.5), one) == (2.5, 2.5)


def test_equal_seeds_have_the_interval_of_one_training():
    assert interval(np.stack([TEN] * 3)) == interval(TEN)


def test_a_median_is_over_the_mean_of_the_seeds():
    table = np.stack([TEN, TEN[::-1]] * 3)
    assert interval(table, centre="median") == interval(table.mean(0), centre="median")
    assert interval(TEN[:5], centre="median") == (-math.inf, math.inf)


@pytest.mark.parametrize(("centre", "method"), [("mean", "BCa"), ("median", "percentile")])
def test_interval_is_scipys_with_the_level_raised(centre, method):
    tail = scipy.stats.norm.sf(math.sqrt(10 / 9) * scipy.stats.t.isf(0.05, 9))
    found = scipy.stats.bootstrap(
        (TEN,),
        np.mean if centre == "mean" else np.median,
        n_resamples=999,
        confidence_level=1 - 2 * tail,
        method=method,
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert interval(TEN, alpha=0.1, centre=centre, seed=3, resamples=999) == pytest.approx((found.low, found.high))
    low, high = interval(TEN, alpha=0.1, centre=centre)
    assert low < getattr(np, centre)(TEN) < high


def test_items_of_a_unit_are_drawn_together():
    pairs = np.repeat(TEN, 2) + np.tile([-0.2, 0.2], 10)
    twice = Units(tuple((str(k // 2),) for k in range(20)), ("tracks",))
    assert interval(pairs, twice) == pytest.approx(interval(TEN))


def test_units_are_drawn_in_the_order_of_their_names_whatever_that_of_the_items():
    backwards = Units(tuple((str(9 - k),) for k in range(10)), ("tracks",))
    assert interval(TEN[::-1], backwards) == interval(TEN)


def test_statistic_weighs_rows_columns_and_seeds_by_how_often_each_is_drawn():
    table = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])  # 2 rows, 3 columns
    mean = intervals._statistic(table, grid(2, 3).parts, "mean")
    rows, columns = np.array([[0, 0], [0, 1]]), np.array([[2, 2, 1], [0, 1, 2]])
    np.testing.assert_allclose(mean(rows, columns), [(3 + 3 + 2) / 3, 3.5])
    seeds = np.array([[10.0, 20.0], [0.0, 100.0]])
    several = intervals._statistic(seeds, Units.each(2).parts, "mean")
    np.testing.assert_allclose(several(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 0]])), [32.5, 0])
    median = intervals._statistic(np.array([[5.0, 1.0, 3.0]]), Units.each(3).parts, "median")
    np.testing.assert_allclose(median(np.array([[0, 0, 1], [2, 1, 0], [1, 1, 2]])), [5, 3, 1])


def test_counts_of_what_was_drawn():
    drawn = np.array([[[0, 0, 2], [1, 1, 1]]])
    np.testing.assert_array_equal(intervals._how_often(drawn, 4), [[[2, 0, 1, 0], [0, 3, 0, 0]]])


@pytest.mark.parametrize(
    ("weights", "median"),
    [([1, 1, 1, 1], 2.5), ([0, 0, 1, 2], 10), ([2, 0, 1, 0], 1), ([1, 0, 0, 1], 5.5), ([0, 3, 0, 0], 2)],
)
def test_weighted_median_by_hand(weights, median):
    assert intervals._weighted_median(np.array([1.0, 2.0, 3.0, 10.0]), np.array(weights, dtype=float)) == median


@pytest.fixture
def asked(monkeypatch):
    """Return the arguments of each call of scipy's bootstrap; BCa has no answer."""
    calls = []

    def bootstrap(factors, statistic, **options):
        calls.append({"factors": [len(factor) for factor in factors], **options})
        low = math.nan if options["method"] == "BCa" else -1.0
        return SimpleNamespace(confidence_interval=SimpleNamespace(low=low, high=1.0))

    monkeypatch.setattr(scipy.stats, "bootstrap", bootstrap)
    return calls


def test_where_bca_is_not_defined_the_interval_is_the_percentile_one(asked):
    assert interval(TEN) == (-1.0, 1.0)
    assert [call["method"] for call in asked] == ["BCa", "percentile"]
    assert asked[0]["confidence_level"] == asked[1]["confidence_level"] > 0.95
    assert {call["vectorized"] for call in asked} == {True}
    assert {call["n_resamples"] for call in asked} == {9999}


def test_the_same_resamples_are_drawn_each_time_by_their_seed():
    assert interval(TEN) == interval(TEN, seed=0) != interval(TEN, seed=1)


@pytest.mark.parametrize(
    ("items", "resamples", "drawn", "batch"),
    [(10, 9999, 9999, 200_000), (10, 99, 99, 200_000), (4000, 9999, 5000, 500), (20_000, 9999, 1999, 100)],
)
def test_long_tables_have_fewer_resamples_and_shorter_batches(asked, items, resamples, drawn, batch):
    interval(np.random.default_rng(0).normal(size=items), centre="median", resamples=resamples)
    assert [(call["n_resamples"], call["batch"]) for call in asked] == [(drawn, batch)]


def test_seeds_and_the_parts_of_a_mixture_are_each_drawn_on_their_own(asked):
    table = np.random.default_rng(0).normal(size=(8, 42))
    interval(table, grid(7, 6))
    assert asked[0]["factors"] == [8, 7, 6]
    assert asked[0]["batch"] == 2_000_000 // 42
    tail = scipy.stats.norm.sf(math.sqrt(6 / 5) * scipy.stats.t.isf(0.025, 5))  # of the fewest
    assert asked[0]["confidence_level"] == pytest.approx(1 - 2 * tail)

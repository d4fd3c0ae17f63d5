"""Epochs of a search by the scheduler's own rule, and how long trainings take in so many slots."""

import pytest

from sepray.dry_run import schedule
from sepray.dry_run.schedule import EstimateRange, early_stopping, makespan, mean


def search(spec, scheduler="asha", **changes):
    return spec.changed(scheduler=scheduler, max_epochs=9, grace_period=1, reduction_factor=3.0, seed=0, **changes)


@pytest.mark.parametrize(
    ("slots", "seconds", "expected"),
    [
        (1, [3, 1, 2], 6),
        (2, [3, 1, 2], 3),  # the third begins after the second
        (2, [1, 1, 5], 6),
        (4, [3, 1, 2], 3),
        (2, [], 0),
    ],
)
def test_trainings_start_in_order_as_slots_become_free(slots, seconds, expected):
    assert makespan(seconds, slots) == expected


def test_ranges_add_up():
    assert EstimateRange(1, 2, 3) + EstimateRange(10, 20, 30) == EstimateRange(11, 22, 33)
    assert EstimateRange(1, None, 3) + EstimateRange(10, 20, 30) == EstimateRange(11, 23, 33)
    assert EstimateRange(1, None, 3) + EstimateRange(10, None, 30) == EstimateRange(11, None, 33)
    assert (EstimateRange(1, 2, 3).expected, EstimateRange(1, None, 3).expected) == (2, 3)
    assert mean([1.0, 2.0, 6.0]) == 3.0


def test_asha_stops_at_the_first_rung_all_that_are_worse_than_the_first(spec):
    stopping = early_stopping(search(spec), 0, 5)
    assert stopping.least == (9, 1, 1, 1, 1)
    assert stopping.most == (9, 9, 9, 9, 9)


def test_reference_points_run_their_whole_budget_and_the_others_are_compared_with_them(spec):
    stopping = early_stopping(search(spec), 2, 3)
    assert stopping.least == (9, 9, 1, 1, 1)
    assert all(epochs[:2] == (9, 9) for epochs in stopping.likely)


def test_grace_period_is_the_least(spec):
    assert early_stopping(search(spec).changed(grace_period=4), 1, 2).least == (9, 4, 4)


def test_random_orders_lie_between_and_are_the_same_every_time(spec):
    stopping = early_stopping(search(spec), 1, 30)
    assert len(stopping.likely) == 25
    totals = [sum(epochs) for epochs in stopping.likely]
    assert sum(stopping.least) == 9 + 30 < min(totals)
    assert max(totals) < sum(stopping.most) == 9 * 31
    # Of those in random order one in three passes the first rung (1 epoch) and a ninth the second (3 epochs), and more
    # of those that come first: 9 + 30 (1 + 2/3 + 6/9) = 79 epochs at least.
    assert 79 < mean(totals) < 130
    assert early_stopping(search(spec), 1, 30) == stopping
    assert early_stopping(search(spec).changed(seed=1), 1, 30).likely != stopping.likely
    assert {n for epochs in stopping.likely for n in epochs} == {1, 3, 9}


def test_large_searches_are_simulated_in_fewer_orders(spec, monkeypatch):
    monkeypatch.setattr(schedule, "_RESULTS_AT_MOST", 200)
    assert len(early_stopping(search(spec), 0, 10).likely) == 2
    assert len(early_stopping(search(spec), 0, 200).likely) == 1


def test_median_rule_compares_once_three_others_have_reported(spec):
    assert early_stopping(search(spec, "median"), 1, 5).least == (9, 9, 9, 1, 1, 1)


@pytest.mark.parametrize("scheduler", ["none", "pbt"])
def test_schedulers_that_stop_none_leave_no_doubt(spec, scheduler):
    stopping = early_stopping(search(spec, scheduler), 1, 3)
    assert stopping.least == stopping.most == (9, 9, 9, 9)
    assert stopping.likely == ((9, 9, 9, 9),)


def test_without_sampled_trials_none_is_stopped(spec):
    assert early_stopping(search(spec), 3, 0).least == (9, 9, 9)
    assert early_stopping(search(spec), 3, 0).likely == ((9, 9, 9),)


def test_hyperband_tells_the_first_comparison_of_each_bracket(spec):
    """Ray's brackets for 9 epochs and a factor of 3: 3 trials of 9 epochs, 5 from 3 epochs, 9 from 1, and anew."""
    stopping = early_stopping(search(spec, "hyperband"), 1, 20)
    assert stopping.least == (9, *[9] * 3, *[3] * 5, *[1] * 9, *[9] * 3)
    assert stopping.likely == ()
    assert stopping.most == (9,) * 21


def test_budget_of_one_epoch_cannot_be_cut(spec):
    one = spec.changed(scheduler="asha", max_epochs=1, grace_period=1)
    assert early_stopping(one, 0, 3).least == (1, 1, 1)

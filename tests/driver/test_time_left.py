"""The time that the whole command still takes, from the epochs that have been trained."""

from types import SimpleNamespace

import pytest

from sepray.driver.prepared import prepare
from sepray.driver.time_left import END_SECONDS, TimeLeft

from .conftest import DATA


def epoch(number: int, seconds: float) -> dict[str, float]:
    return {"epoch": number, "epoch_seconds": seconds}


@pytest.fixture
def left(spec):
    """Time left of a study of 4 trials of up to 3 epochs and then 6 retrainings, two at once."""
    return TimeLeft(prepare(spec, DATA), slots=2)


def test_time_is_unknown_before_an_epoch_has_been_trained(left):
    left.begin("search", 4, 1, [])
    left.handed_out(0)
    assert left.seconds() is None


def test_search_and_retrainings_and_the_end_are_counted(left):
    left.begin("search", 4, 1, [])
    left.handed_out(0)
    left.handed_out(1)
    left.epoch(0, epoch(1, 10.0))
    left.epoch(1, epoch(1, 30.0))
    # 20 s an epoch; two trials with 2 epochs left and two with 3, then 6 retrainings of 3, two at once
    assert left.seconds() == pytest.approx(20 * ((2 * 2 + 2 * 3) + 6 * 3) / 2 + END_SECONDS)


def test_trials_that_were_stopped_early_make_the_next_ones_shorter(left):
    ended = [SimpleNamespace(number=0, last_step=1), SimpleNamespace(number=1, last_step=None)]
    left.begin("search", 4, 1, ended)
    left.handed_out(2)
    left.epoch(2, epoch(1, 20.0))
    left.finished(2)
    # four trials have a mean of (3 + 1 + 0 + 1) / 4 epochs, with one of the whole budget among them
    assert left.seconds() == pytest.approx(20 * (1.25 + 6 * 3) / 2 + END_SECONDS)


def test_trial_may_begin_while_the_terminals_thread_asks(left):
    class Budget(float):
        def __sub__(self, epochs):
            left.handed_out(2)  # as the driver's thread does meanwhile
            return float(self) - epochs

    left.begin("finals", 2, 1, [], Budget(3))
    left.handed_out(0)
    left.handed_out(1)
    left.epoch(0, epoch(1, 20.0))
    assert left.seconds() == pytest.approx(20 * 3 + END_SECONDS)


def test_the_longest_trial_keeps_its_slot_busy_where_another_has_nothing_to_do(left):
    left.begin("finals", 2, 1, [])
    left.handed_out(0)
    left.handed_out(1)
    left.epoch(0, epoch(1, 5.0))
    left.epoch(0, epoch(2, 5.0))
    # one epoch is left of the first and three of the second: half the sum would be two
    assert left.seconds() == pytest.approx(5 * 3 + END_SECONDS)


def test_one_trial_that_is_left_keeps_one_slot_busy(left):
    left.begin("finals", 1, 1, [])
    left.handed_out(0)
    left.epoch(0, epoch(1, 5.0))
    assert left.seconds() == pytest.approx(5 * 2 + END_SECONDS)
    left.finished(0)
    assert left.seconds() == END_SECONDS


def test_retrainings_train_one_separator_where_trials_of_the_search_train_several(left):
    left.begin("search", 4, 3, [SimpleNamespace(number=k, last_step=3) for k in range(3)])
    left.handed_out(3)
    left.epoch(3, epoch(1, 60.0))  # 20 s for each of the three
    assert left.seconds() == pytest.approx(20 * (2 * 3 + 6 * 3 / 2) + END_SECONDS)


def test_more_trials_than_were_asked_for_take_no_negative_time(left):
    left.begin("search", 1, 1, [SimpleNamespace(number=0, last_step=3)])
    left.handed_out(1)
    left.epoch(1, epoch(3, 1.0))
    assert left.seconds() == pytest.approx(1 + 6 * 3 / 2 + END_SECONDS)  # its outcome is still to come


def test_retrainings_have_budgets_of_their_own(spec):
    """Published settings that their paper trains for 30 epochs: two seeds of them beside 4 retrainings of 3 epochs."""
    own = spec.changed(reference_budget="published", reference_epochs={"published": 30})
    made = prepare(own, DATA)
    left = TimeLeft(made, slots=2)
    left.begin("search", 1, 1, [])
    left.handed_out(0)
    left.epoch(0, epoch(1, 10.0))
    assert left.seconds() == pytest.approx(10 * (2 + (4 * 3 + 2 * 30) / 2) + END_SECONDS)
    left.begin("finals", 6, 1, [], (4 * 3 + 2 * 30) / 6)
    assert left.seconds() == pytest.approx(10 * 6 * 12 / 2 + END_SECONDS)


def test_ablation_path_has_further_steps_and_no_end(spec):
    left = TimeLeft(prepare(spec, DATA), slots=2, after=6, end=0.0)
    left.begin("explain", 2, 1, [])
    left.handed_out(0)
    left.epoch(0, epoch(1, 10.0))
    # 10 s an epoch; one training has 2 epochs left, another one 3, and 6 more follow; two at once
    assert left.seconds() == pytest.approx(10 * ((2 + 3) / 2 + 6 * 3 / 2))
    assert TimeLeft(prepare(spec, DATA), slots=2, end=0.0).seconds() is None

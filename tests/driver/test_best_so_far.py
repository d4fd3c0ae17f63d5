"""The trials that count for the best so far, and the time of each step."""

import datetime

import pytest
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.driver.best_so_far import BestSoFar, compared, history, metric, milliseconds

MEASURE = Objective("validation/l2", "minimize")


def trial(number, value=None, second=None, state=TrialState.COMPLETE, violated=None):
    made = create_trial(
        state=state if value is not None else TrialState.FAIL,
        value=value,
        system_attrs={} if violated is None else {"constraints:collapsed": violated},
    )
    made.number = number
    made.datetime_complete = None if second is None else datetime.datetime.fromtimestamp(second)  # as Optuna keeps it
    return made


def test_step_has_the_time_of_the_last_trial_that_it_waited_for():
    running = trial(4, 0.125, 50)
    running.state = TrialState.RUNNING
    trials = [trial(1, 0.5, 10.25), trial(0, 0.75, 20.5), trial(2, second=15), trial(3, 0.25, 30), running]
    rows = [(row, metrics["best so far/l2"], time) for (row, metrics), time in history(BestSoFar([MEASURE]), trials)]
    assert rows == [(0, 0.75, 20500), (1, 0.5, 20500), (2, 0.5, 20500), (3, 0.25, 30000)]


@pytest.mark.parametrize(("violated", "counts"), [(None, True), (-1.0, True), (0.0, True), (0.5, False)])
def test_trial_that_violates_a_constraint_is_not_compared(violated, counts):
    assert compared(trial(0, 0.5, violated=violated)) == ([0.5] if counts else None)
    assert compared(trial(0)) is None


def test_trial_that_was_stopped_early_makes_no_step_although_optuna_gives_it_a_value():
    stopped = trial(0, 0.125, 10, TrialState.PRUNED)
    assert stopped.values == [0.125]
    assert history(BestSoFar([MEASURE]), [stopped]) == []
    assert history(BestSoFar([MEASURE]), [stopped, trial(1, 0.5, 20)]) == [((1, {"best so far/l2": 0.5}), 20_000)]


def test_names_and_times():
    assert metric(Objective("validation/fetal/l2", "minimize")) == "best so far/fetal l2"
    assert milliseconds(None) == 0
    assert milliseconds(datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)) == 86_400_000


def test_trial_without_a_value_before_any_other_makes_no_step():
    best = BestSoFar([MEASURE])
    assert best.ended(1, (0.5,)) == []
    assert best.ended(0, None) == [(1, {"best so far/l2": 0.5})]
    assert best.ended(2, (0.75,)) == [(2, {"best so far/l2": 0.5})]

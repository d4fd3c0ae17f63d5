"""The number of workers that a trial may lose."""

from types import SimpleNamespace

import pytest

from sepray.fault import LOSSES_OF_THE_EXECUTOR, LOSSES_WITHOUT_PROGRESS, Whose, WorkerLoss
from sepray.search.live_trial import LiveTrial

PROCESS = WorkerLoss(Whose.TRIAL, "its process has ended")
NODE = WorkerLoss(Whose.EXECUTOR, "its node has died")


@pytest.fixture
def live():
    return LiveTrial(SimpleNamespace(number=7))


def test_process_that_ends_without_progress_is_given_up_at_the_third_time(live):
    for count in range(1, LOSSES_WITHOUT_PROGRESS + 1):
        live.count(PROCESS)
        assert live.is_given_up is (count == 3)
    assert live.too_often(PROCESS) is None


def test_executor_that_loses_it_without_progress_stops_the_study_at_the_tenth_time(live):
    for count in range(1, LOSSES_OF_THE_EXECUTOR + 1):
        assert live.too_often(NODE) is None
        live.count(NODE)
        assert live.losses_of_executor == count
    assert live.losses_of_executor == 10
    assert not live.is_given_up
    told = str(live.too_often(NODE))
    assert told.startswith(
        "trial 7 has lost its worker 10 times in a row without an epoch of progress: its node has died."
    )
    assert "the same command goes on" in told


def test_an_epoch_of_progress_forgets_both_kinds_of_losses(live):
    for loss in (PROCESS, PROCESS, NODE):
        live.count(loss)
    live.last_epoch = 1
    live.count(PROCESS)
    assert (live.losses, live.losses_of_executor, live.last_loss) == (1, 0, 1)
    live.count(NODE)  # no epoch since
    assert (live.losses, live.losses_of_executor) == (1, 1)

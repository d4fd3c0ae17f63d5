"""What happens to a trial reaches MLflow, the terminal and the checkpoints, as the table of outcomes says."""

import pytest
from optuna.trial import TrialState

from sepray.driver.events import StageEvents
from sepray.search.outcomes import Outcome

from .conftest import FakeTracker


class Recorder(FakeTracker):
    """Stands in for the view in the terminal."""


@pytest.fixture
def heard():
    discarded: list[int] = []
    tracker, progress = FakeTracker(), Recorder()
    return StageEvents("finals", tracker, progress, discarded.append), tracker, progress, discarded


def test_trial_that_is_handed_out_begins_its_run(heard):
    events, tracker, progress, _ = heard
    events.asked(3, 77, {"beta": 0.123, "adversarial": 1}, None, resumed=True, arm="CASS")
    [((label, name, params, tags), kwargs)] = tracker.named("trial_started")
    assert (label, name) == ("final-3", "final 003 · beta=0.12 adversarial=1")
    assert params == {"beta": 0.123, "adversarial": 1, "seed": 77, "arm": "CASS"}
    assert tags == {"stage": "finals", "trial": 3, "label": ""}
    assert kwargs == {"stage": "finals"}
    assert progress.named("asked") == [((3, 77, {"beta": 0.123, "adversarial": 1}, None, True), {"arm": "CASS"})]


def test_epoch_logs_measures_and_nothing_else_at_the_time_of_the_epoch(heard):
    events, tracker, progress, _ = heard
    result = {"epoch": 2, "objective": 0.5, "epoch_seconds": 1.5, "train/mse": 0.1, "validation/si_sdr": 3.0}
    extra = {"timestamp_ms": 4711, "outcome": "", "pid": 12, "time_total_s": 3.0, "validation/note": "text"}
    events.epoch(1, result | extra)
    [((label, metrics, epoch, stamp), _)] = tracker.named("trial_epoch")
    assert (label, epoch, stamp) == ("final-1", 2, 4711)
    assert metrics == {"objective": 0.5, "epoch_seconds": 1.5, "train/mse": 0.1, "validation/si_sdr": 3.0}
    assert progress.named("epoch") == [((1, result | extra), {})]


@pytest.mark.parametrize(
    ("state", "tag", "status", "kept"),
    [
        (TrialState.COMPLETE, "complete", "FINISHED", True),
        (TrialState.PRUNED, "pruned", "FINISHED", False),
        (TrialState.COMPLETE, "collapsed", "FINISHED", False),
        (TrialState.FAIL, "diverged", "FAILED", False),
        (TrialState.FAIL, "error", "FAILED", False),
        (TrialState.FAIL, "out_of_memory", "FAILED", False),
        (TrialState.FAIL, "lost", "FAILED", False),
    ],
)
def test_end_of_a_trial_ends_its_run_and_only_a_complete_one_keeps_its_checkpoints(heard, state, tag, status, kept):
    events, tracker, progress, discarded = heard
    outcome = Outcome(state, None, "" if tag == "complete" else "why", tag)
    events.finished(5, outcome, {"epoch": 4})
    tags = {"outcome": tag, "epochs": 4} | ({} if tag == "complete" else {"reason": "why"})
    assert tracker.named("trial_finished") == [(("final-5", status, tags), {"artifacts": {}})]
    assert progress.named("finished") == [((5, outcome, {"epoch": 4}), {})]
    assert discarded == events.discarded == ([] if kept else [5])


def test_traceback_is_an_artifact_of_the_run(heard):
    events, tracker, _, _ = heard
    events.finished(0, Outcome(TrialState.FAIL, None, "KeyError", "error"), {"traceback": "Traceback ..."})
    [(_, kwargs)] = tracker.named("trial_finished")
    assert kwargs == {"artifacts": {"traceback.txt": "Traceback ..."}}

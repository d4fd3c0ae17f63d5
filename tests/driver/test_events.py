"""Events of a trial reach MLflow, the terminal and the checkpoints, as the table of outcomes says."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sepray.choices import Objective
from sepray.driver.events import StageEvents
from sepray.search.outcomes import Outcome

from .conftest import FakeTracker

OBJECTIVES = (Objective("validation/relative_l2", "minimize"),)


class Recorder(FakeTracker):
    """Stands in for the view in the terminal."""


@pytest.fixture
def heard():
    discarded: list[int] = []
    tracker, progress = FakeTracker(), Recorder()
    return StageEvents("finals", tracker, progress, discarded.append, OBJECTIVES), tracker, progress, discarded


def test_trial_that_is_handed_out_begins_its_run(heard):
    events, tracker, progress, _ = heard
    events.handed_out(3, 77, {"beta": 0.123, "adversarial": 1}, None, resumed=True, arm="CASS")
    [((label, name, params, tags), kwargs)] = tracker.named("trial_started")
    assert (label, name) == ("final-3", "final 003 · beta=0.12 adversarial=1")
    assert params == {"beta": 0.123, "adversarial": 1, "seed": 77, "arm": "CASS"}
    assert tags == {"stage": "finals", "trial": 3, "label": ""}
    assert kwargs == {"stage": "finals"}
    assert progress.named("handed_out") == [((3, 77, {"beta": 0.123, "adversarial": 1}, None, True), {"arm": "CASS"})]


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
    ("state", "tag", "status", "told"),
    [
        (TrialState.COMPLETE, "complete", "FINISHED", "0.2500"),
        (TrialState.PRUNED, "pruned", "FINISHED", "stopped early"),
        (TrialState.COMPLETE, "collapsed", "FINISHED", "collapsed"),
        (TrialState.FAIL, "diverged", "FAILED", "failed: diverged"),
        (TrialState.FAIL, "error", "FAILED", "failed: error"),
        (TrialState.FAIL, "out_of_memory", "FAILED", "failed: out of memory"),
        (TrialState.FAIL, "lost", "FAILED", "failed: lost"),
    ],
)
def test_end_of_a_trial_ends_its_run_and_only_a_complete_one_keeps_its_checkpoints(heard, state, tag, status, told):
    events, tracker, progress, discarded = heard
    events.handed_out(5, 77, {"beta": 0.123}, "trial 3 seed 1", resumed=False, arm="cross")
    outcome = Outcome(state, (0.25,) if tag == "complete" else None, "" if tag == "complete" else "why", tag)
    events.finished(5, outcome, {"epoch": 4})
    note = f"Arm cross. {told[0].upper()}{told[1:]} after 4 epochs{'' if tag == 'pruned' else ': why'}."
    if tag == "complete":
        note = "Arm cross. Relative L2 error 0.25 on validation after 4 epochs, the whole budget."
    tags = {"outcome": tag, "epochs": 4, "mlflow.note.content": note} | ({} if tag == "complete" else {"reason": "why"})
    name = f"f005 · {told} · trial 3 seed 1"
    assert tracker.named("trial_finished") == [(("final-5", status, tags), {"artifacts": {}, "name": name})]
    assert progress.named("finished") == [((5, outcome, {"epoch": 4}), {})]
    assert discarded == events.discarded == ([] if tag == "complete" else [5])


def test_mlflow_is_told_before_checkpoints_are_cleared():
    order: list[str] = []

    class Tells(FakeTracker):
        def trial_finished(self, *_args, **_named):
            order.append("MLflow")

    events = StageEvents("finals", Tells(), Recorder(), lambda number: order.append("cleared"), OBJECTIVES)
    events.finished(5, Outcome(TrialState.PRUNED, None, "", "pruned"), {"epoch": 4})
    assert order == ["MLflow", "cleared"]


def test_checkpoints_that_cannot_be_written_are_told_of_once(heard, screen):
    events, *_ = heard
    for epoch in (1, 2):
        trouble = f"checkpoints in p cannot be written: full {epoch}"
        events.epoch(1, {"epoch": epoch, "checkpoint_trouble": trouble})
    told = "warning: checkpoints in p cannot be written: full 1; training goes on, and the next one is tried again\n"
    assert screen.getvalue() == told


def test_traceback_is_an_artifact_of_the_run(heard):
    events, tracker, _, _ = heard
    events.finished(0, Outcome(TrialState.FAIL, None, "KeyError", "error"), {"traceback": "Traceback ..."})
    [(_, kwargs)] = tracker.named("trial_finished")
    assert kwargs["artifacts"] == {"traceback.txt": "Traceback ..."}


def ended(events, number, tag="complete", value=0.5, **result):
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(tag, TrialState.FAIL)
    events.finished(number, Outcome(state, (value,) if tag == "complete" else None, "", tag), result)


def test_search_charts_the_best_so_far_at_each_trial_once_all_before_it_have_ended():
    tracker = FakeTracker()
    study = optuna.create_study()
    study.add_trial(create_trial(value=0.75, state=TrialState.COMPLETE))  # of an earlier driver
    [before] = study.trials
    events = StageEvents("search", tracker, Recorder(), print, OBJECTIVES, [before])
    ended(events, 3, value=0.125)
    ended(events, 2, "diverged")
    ended(events, 1, value=0.5, timestamp_ms=9)
    name = "best so far/relative_l2"
    time_ms = round(before.datetime_complete.timestamp() * 1000)
    assert tracker.named("study_metrics") == [
        (({name: 0.75}, 0, time_ms), {"known": True}),
        (({name: 0.5}, 1, 9), {}),
        (({name: 0.5}, 2, 9), {}),
        (({name: 0.125}, 3, 9), {}),
    ]


def test_retrainings_are_not_charted(heard):
    events, tracker, _, _ = heard
    ended(events, 0)
    assert tracker.named("study_metrics") == []


def test_time_left_hears_of_starts_epochs_and_ends():
    left = FakeTracker()
    events = StageEvents("search", FakeTracker(), Recorder(), lambda number: None, OBJECTIVES, time_left=left)
    events.handed_out(3, 77, {}, None, resumed=False)
    events.epoch(3, {"epoch": 1, "objective": 0.5})
    events.finished(3, Outcome(TrialState.COMPLETE, None, "", "complete"), {"epoch": 1})
    told = [("handed_out", (3,), {}), ("epoch", (3, {"epoch": 1, "objective": 0.5}), {}), ("finished", (3,), {})]
    assert left.calls == told


def test_lost_worker_is_told_in_one_line(heard, screen):
    events, *_ = heard
    events.lost(3, "its node has died")
    assert screen.getvalue() == "  final 3 has lost its worker (its node has died), and goes on with another one\n"

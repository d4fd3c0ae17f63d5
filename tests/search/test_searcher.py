"""The searcher on simulated trials and a real SQLite storage: every outcome, and every restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from sepray.errors import UsageError
from sepray.execution.schedulers import make_scheduler
from sepray.fault import UNPREPARED, UNSAVED, CheckpointError, ExecutorError, NodeError, Whose, WorkerLoss
from sepray.search.searcher import StudySearcher
from sepray.search.storage import open_study

from ..simulation import Controller, Killed, kill
from .studies import (
    EPOCHS,
    KEY,
    PAIR,
    SPACE,
    Recorder,
    fail_at,
    report,
    result_of,
    searcher_of,
    states,
    study_at,
    take,
    value,
)

LOST = "the worker was lost 3 times in a row without an epoch of progress"


def test_every_row_reaches_the_storage(url):
    ends = {
        0: lambda n, e: result_of(n, e),
        1: lambda n, e: result_of(n, e, outcome="stop" if e == 2 else ""),
        2: lambda n, e: result_of(n, e, **({"outcome": "diverged", "reason": "loss is nan"} if e == 2 else {})),
        3: lambda n, e: result_of(n, e, **({"outcome": "collapsed", "reason": "fetal is silent"} if e == 2 else {})),
        4: lambda n, e: {"outcome": "error", "reason": "KeyError: 'x'", "traceback": "T" * 5000},
        5: lambda n, e: result_of(n, e, **({"outcome": "out_of_memory", "reason": "no room"} if e == 2 else {})),
        6: lambda n, e: None if e == 2 else result_of(n, e),
    }

    class StopsTrialOne(type(make_scheduler("none", EPOCHS))):
        def on_trial_result(self, controller, trial, result):
            return "STOP" if trial.config["number"] == 1 and result["epoch"] == 2 else "CONTINUE"

    def rows(trial):
        result = ends[trial.config["number"]](trial.config["number"], trial.epoch + 1)
        return result if result is None or result["outcome"] != "stop" else result | {"outcome": ""}

    study = study_at(url)
    searcher = searcher_of(study, trials=7)
    Controller(searcher, rows, StopsTrialOne(), slots=3).run()
    searcher.close()
    trials = study.get_trials()
    assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]
    curve = [value(0, e) for e in (1, 2, 3, 4)]
    assert trials[0].values == [curve[3]]
    assert trials[0].intermediate_values == dict(enumerate(curve, start=1))
    assert trials[1].intermediate_values == {1: value(1, 1), 2: value(1, 2)}
    assert trials[3].values == [value(3, 2)]
    assert [t.constraints for t in trials] == [{"collapsed": -1.0}, {}, {}, {"collapsed": 1.0}, {}, {}, {}]
    assert [t.user_attrs.get("reason") for t in trials] == [
        None,
        "stopped by the scheduler at epoch 2",
        "loss is nan",
        "fetal is silent",
        "KeyError: 'x'",
        "no room",
        LOST,
    ]
    assert [t.user_attrs["outcome"]["tag"] for t in trials] == [
        "complete",
        "pruned",
        "diverged",
        "collapsed",
        "error",
        "out_of_memory",
        "lost",
    ]
    assert trials[4].user_attrs["traceback"] == "T" * 4000
    assert study.best_trial.number == 0  # 3 is infeasible


def test_a_worker_lost_before_the_first_report_is_not_the_trials_fault(url):
    """Tune gives up a trial whose actor dies while it is being reused; it is handed out again, last or not."""
    heard, lost = Recorder(), Counter({0: 2, 2: 1, 3: 99})

    def report(trial):
        number = trial.config["number"]
        lost[number] -= 1
        return None if lost[number] >= 0 else result_of(number, trial.epoch + 1)

    study = study_at(url)
    searcher = searcher_of(study, trials=4, listener=heard)
    controller = Controller(searcher, report, slots=1)
    controller.run()
    searcher.close()
    trials = study.get_trials()
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    assert Counter(t.config["number"] for t in controller.trials) == {0: 3, 1: 1, 2: 2, 3: 3}
    assert trials[3].user_attrs["reason"] == LOST
    assert [e for e in heard.events if e[0] == "finished"] == [
        ("finished", n, "lost" if n == 3 else "complete") for n in range(4)
    ]


def test_a_paused_trial_that_is_stopped_is_pruned_where_it_stood(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1)
    number = take(searcher)["number"]
    searcher.on_trial_result("t", result_of(number, 1))
    searcher.on_trial_complete("t")
    searcher.close()
    trial = study.get_trials()[0]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: value(0, 1)})
    assert trial.user_attrs["reason"] == "stopped by the scheduler at epoch 1"


# -- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill_after", [0, 1, 6, 9])
def test_after_a_kill_the_same_trials_go_on(url, kill_after):
    searcher = searcher_of(study_at(url), trials=5)
    first = Controller(searcher, report, kill_after=kill_after)
    with pytest.raises(Killed):
        first.run()
    kill(searcher)
    study = study_at(url)
    before = {t.number: t for t in study.get_trials()}
    listener = Recorder()
    searcher = searcher_of(study, trials=5, listener=listener)
    second = Controller(searcher, report, name="again")
    second.run()
    searcher.close()
    going = [n for n, t in before.items() if t.state == TrialState.RUNNING and "outcome" not in t.user_attrs]
    running = sorted(going)
    resumed = [t.config for t in second.trials if t.config["resume"]]
    assert [c["number"] for c in resumed] == running
    assert [c["hyperparameters"] for c in resumed] == [before[n].params for n in running]
    seeds = {t.config["number"]: t.config["seed"] for t in first.trials}
    assert all(c["seed"] == seeds.get(c["number"], c["seed"]) for c in resumed)
    trials = study.get_trials()
    assert [t.number for t in trials] == [0, 1, 2, 3, 4]
    assert states(study) == {"COMPLETE": 5}
    for trial in trials:
        assert trial.intermediate_values == {e: value(trial.number, e) for e in (1, 2, 3, 4)}
        assert trial.user_attrs["checkpoint"] == f"trial-{trial.number:05d}"
    finished = Counter(n for kind, n, *_ in listener.events if kind == "finished")
    assert set(finished.values()) == {1}


def drive_until_killed(url, writer):
    searcher = searcher_of(study_at(url), trials=12, reference_points={"paper": {"alpha": 0.1}})
    Controller(searcher, lambda trial: report(trial) if os.write(writer, b".") else None).run()


def test_sigkill_at_any_moment_costs_no_trial_and_repeats_none(url):
    """The driver is killed, for real, four times: while it asks, reports and tells. 48 epochs are to be trained."""
    for epochs in (0, 3, 7, 13):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                drive_until_killed(url, writer)
            finally:
                os._exit(1)
        for _ in range(epochs):
            os.read(reader, 1)
        time.sleep(0 if epochs else 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    study = study_at(url)
    before = states(study)
    ended = {t.number for t in study.get_trials() if t.state.is_finished()}
    searcher = searcher_of(study, trials=12, reference_points={"paper": {"alpha": 0.1}})
    last = Controller(searcher, report)
    last.run()
    searcher.close()
    assert before["RUNNING"] > 0  # it was in the middle
    assert not ended & {t.config["number"] for t in last.trials}
    assert states(study) == {"COMPLETE": 12}
    assert sum(t.user_attrs.get("label") == "paper" for t in study.get_trials()) == 1
    for trial in study.get_trials():
        assert trial.params.keys() == SPACE.keys()
        assert trial.values == [value(trial.number, EPOCHS)]
        assert trial.user_attrs.keys() >= {"seed", "checkpoint", "outcome"}


def test_a_study_is_extended_and_never_shrunk(url):
    def run(trials):
        study = study_at(url)
        searcher = searcher_of(study, trials=trials)
        controller = Controller(searcher, report)
        controller.run()
        searcher.close()
        return study, [t.config["number"] for t in controller.trials]

    assert run(4)[1] == [0, 1, 2, 3]
    study, asked = run(10)
    assert asked == [4, 5, 6, 7, 8, 9]
    assert states(study) == {"COMPLETE": 10}
    assert run(4)[1] == []
    alphas = [t.params["alpha"] for t in study.get_trials()]
    assert len(set(alphas)) == 10  # the continued sampler does not draw its first points again


def test_trials_asked_ahead_and_never_started_are_the_next_starts_first(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=3, ahead=3)
    assert take(searcher)["number"] == 0
    searcher._background.wait(lambda: len(searcher._ready) == 2, 10)
    kill(searcher)
    assert states(study) == {"RUNNING": 3}
    searcher = searcher_of(study_at(url), trials=3)
    again = [take(searcher, str(i)) for i in range(3)]
    assert [(c["number"], c["resume"]) for c in again] == [(0, True), (1, True), (2, True)]
    assert searcher.suggest("no") is None  # there are no more, but one in hand may have to be handed out again
    kill(searcher)


def test_an_outcome_decided_before_the_kill_stands(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=2)
    number = take(searcher)["number"]
    searcher.on_trial_result("t", result_of(number, 1))
    searcher.flush()
    study.tell = _raise_system_exit  # the driver dies when it has written the outcome, and not yet the state
    searcher.on_trial_complete("t", result_of(number, 2))
    searcher._background._thread.join()
    left = study_at(url).get_trials()[0]
    assert (left.state, left.user_attrs["outcome"]["tag"]) == (TrialState.RUNNING, "pruned")
    listener = Recorder()
    study = study_at(url)
    searcher = searcher_of(study, trials=2, listener=listener)
    assert take(searcher)["number"] == 1
    kill(searcher)
    assert study.get_trials()[0].state == TrialState.PRUNED
    assert study.get_trials()[0].intermediate_values == {1: value(0, 1), 2: value(0, 2)}
    assert listener.events[:3] == [
        ("handed_out", 0, None, True),
        ("finished", 0, "pruned"),
        ("handed_out", 1, None, True),
    ]


def _raise_system_exit(*_args, **_kwargs):
    raise SystemExit


def test_history_after_a_resume_is_merged_once(url):
    study = study_at(url)
    listener = Recorder()
    searcher = searcher_of(study, trials=1, listener=listener)
    take(searcher)
    searcher.on_trial_result("t", result_of(0, 1))
    past = [result_of(0, 1, **{KEY: 9.0}), result_of(0, 2), result_of(0, 3)]
    searcher.on_trial_complete("t", result_of(0, 4, history=past))
    searcher.on_trial_result("t", result_of(0, 5))
    searcher.close()
    assert study.get_trials()[0].intermediate_values == {e: value(0, e) for e in (1, 2, 3, 4)}
    assert listener.events == [
        ("handed_out", 0, None, False),
        ("epoch", 0, 1),
        ("epoch", 0, 2),
        ("epoch", 0, 3),
        ("epoch", 0, 4),
        ("finished", 0, "complete"),
    ]


# -- whose fault it is, and what is told when --------------------------------------------------------------------------


def test_lost_workers_with_progress_in_between_are_forgotten(url):
    """The worker of trial 0 is lost after every epoch, that of trial 1 after its second, always."""
    reached = Counter()

    def report(trial):
        number = trial.config["number"]
        if number == 1:
            return None if trial.epoch == 2 else result_of(number, trial.epoch + 1)
        if trial.epoch == 1:
            return None
        reached[0] += 1
        return result_of(0, reached[0], history=[result_of(0, e) for e in range(1, reached[0])])

    study, heard = study_at(url), Recorder()
    searcher = searcher_of(study, trials=2, listener=heard)
    controller = OneEpochWorkers(searcher, report, slots=1)
    controller.run()
    searcher.close()
    trials = study.get_trials()
    assert [t.state.name for t in trials] == ["COMPLETE", "FAIL"]
    assert Counter(t.config["number"] for t in controller.trials) == {0: EPOCHS, 1: 3}
    assert [e for e in heard.events if e[0] == "epoch" and e[1] == 0] == [("epoch", 0, e) for e in range(1, EPOCHS + 1)]
    assert trials[1].intermediate_values == {1: value(1, 1), 2: value(1, 2)}


def test_conditions_are_stored_of_every_start_also_of_one_whose_first_epoch_was_trained_before(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1)
    take(searcher)
    searcher.on_trial_result("t", result_of(0, 1, conditions=[{"processor": "A"}]))
    searcher.on_trial_result("t", result_of(0, 2))
    searcher.flush()
    kill(searcher)
    searcher = searcher_of(study_at(url), trials=1)
    take(searcher)
    searcher.on_trial_result("t", result_of(0, 2, history=[result_of(0, 1)], conditions=[{"processor": "B"}]))
    searcher.flush()
    kill(searcher)
    told = study.get_trials()[0].user_attrs
    assert (told["conditions"], told["conditions.2"]) == ({"processor": "A"}, {"processor": "B"})


NODE = WorkerLoss(Whose.EXECUTOR, "its node has died")


def test_lost_workers_of_nodes_neither_fail_a_trial_nor_count(url):
    """Trial 0 loses two workers to itself, nine to the executor, before it trains an epoch; trial 1 loses three."""
    heard, lost, why = Recorder(), Counter({0: 11, 1: 3}), []
    own = WorkerLoss(Whose.TRIAL, "its process has ended")

    def report(trial):
        number = trial.config["number"]
        lost[number] -= 1
        why.append(NODE if number == 0 and lost[0] < 9 else own)
        return None if lost[number] >= 0 else result_of(number, trial.epoch + 1)

    study = study_at(url)
    searcher = searcher_of(study, trials=2, listener=heard, loss_of=lambda trial_id: why[-1])
    Controller(searcher, report, slots=1).run()
    searcher.close()
    assert [t.user_attrs["outcome"]["tag"] for t in study.get_trials()] == ["complete", "lost"]
    assert Counter(e for e in heard.events if e[0] == "lost") == {
        ("lost", 0, own.why): 2,
        ("lost", 0, NODE.why): 9,
        ("lost", 1, own.why): 2,
    }


def test_executor_that_loses_a_trial_for_ever_stops_the_study(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1, loss_of=lambda trial_id: NODE)
    controller = Controller(searcher, lambda trial: None, slots=1)
    with pytest.raises(ExecutorError, match=r"^trial 0 has lost its worker 10 times in a row .*: its node has died\."):
        controller.run()
    assert len(controller.trials) == 10
    assert states(study) == {"RUNNING": 1}
    with pytest.raises(ExecutorError):
        searcher.close()


class OneEpochWorkers(Controller):
    """The epoch of a simulated trial is the number of results of its worker."""

    def _advance(self, trial):
        before = trial.epoch
        super()._advance(trial)
        trial.epoch = before + 1


def test_outcome_is_in_optuna_before_anybody_hears_of_it_and_the_state_comes_last(url):
    study, seen = study_at(url), []

    class Looks(Recorder):
        def finished(self, number, outcome, result):
            trial = study_at(url).get_trials()[number]
            seen.append((trial.user_attrs["outcome"]["tag"], trial.state))

    searcher = searcher_of(study, trials=1, listener=Looks())
    Controller(searcher, report).run()
    searcher.close()
    assert seen == [("complete", TrialState.RUNNING)]
    assert states(study) == {"COMPLETE": 1}


def test_driver_killed_before_optuna_has_the_outcome_tells_nobody(url, monkeypatch):
    """The storage is locked when the trial is stopped, and the driver is killed meanwhile: the trial goes on."""
    study, heard = study_at(url), Recorder()
    searcher = searcher_of(study, trials=1, listener=heard, patience=0.1)
    take(searcher)
    fail_at(study, monkeypatch, "set_trial_user_attr", range(1, 10**6))
    searcher.on_trial_result("t", result_of(0, 1))
    searcher.on_trial_complete("t", result_of(0, 2))
    searcher._background._thread.join()
    assert heard.events == [("handed_out", 0, None, False), ("epoch", 0, 1), ("epoch", 0, 2)]


def test_driver_killed_while_it_tells_tells_again(url):
    """The event in the middle of which a driver was killed is told by the next; the trial is not trained again."""

    class Killing(Recorder):
        def finished(self, number, outcome, result):
            raise SystemExit

    searcher = searcher_of(study_at(url), trials=1, listener=Killing())
    take(searcher)
    searcher.on_trial_complete("t", result_of(0, EPOCHS))
    searcher._background._thread.join()
    study, heard = study_at(url), Recorder()
    searcher = searcher_of(study, trials=1, listener=heard)
    controller = Controller(searcher, report)
    controller.run()
    searcher.close()
    assert heard.events == [("handed_out", 0, None, True), ("finished", 0, "complete")]
    assert (controller.trials, states(study)) == ([], {"COMPLETE": 1})


def test_listener_that_raises_ends_no_trial_and_is_heard_of_in_the_end(url):
    class Broken(Recorder):
        def epoch(self, number, result):
            raise OSError("disk full")

        def finished(self, number, outcome, result):
            raise OSError("disk still full")

    study = study_at(url)
    searcher = searcher_of(study, trials=3, listener=Broken())
    Controller(searcher, report).run()
    with pytest.raises(OSError, match="disk full"):
        searcher.close()
    assert states(study) == {"COMPLETE": 3}


@pytest.mark.parametrize("epoch", [0, EPOCHS])
def test_trial_whose_checkpoints_fail_stops_the_study_and_stays_unfinished(url, epoch):
    unsaved = {"outcome": UNSAVED, "reason": "checkpoints in p cannot be written: OSError: full", "objective": 0.5}

    def report(trial):
        number = trial.config["number"]
        return result_of(number, trial.epoch + 1) if trial.epoch + 1 < epoch else {**unsaved, "epoch": epoch, KEY: 0.5}

    study, heard = study_at(url), Recorder()
    searcher = searcher_of(study, trials=3, listener=heard)
    with pytest.raises(CheckpointError, match=r"p cannot be written: OSError: full\. So the study stops"):
        Controller(searcher, report, slots=1).run()
    with pytest.raises(CheckpointError):
        searcher.close()
    assert "finished" not in {kind for kind, *_ in heard.events}
    assert states(study).keys() == {"RUNNING"}
    searcher = searcher_of(study_at(url), trials=3)
    Controller(searcher, lambda trial: result_of(trial.config["number"], trial.epoch + 1)).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 3}


def test_node_that_cannot_train_stops_the_study_at_its_first_trial(url):
    unprepared = {"outcome": UNPREPARED, "reason": "node gpu7 (192.0.2.7) cannot run trials: RuntimeError: no GPU"}
    study, heard, told = study_at(url), Recorder(), []

    def report(trial):
        told.append(trial.config["number"])
        return {**unprepared, "epoch": 0, "objective": float("nan")}

    searcher = searcher_of(study, trials=3, listener=heard)
    message = (
        r"^node gpu7 \(192.0.2.7\) cannot run trials: RuntimeError: no GPU\. So the study stops, and no trial is lost: "
    )
    with pytest.raises(NodeError, match=message):
        Controller(searcher, report, slots=1).run()
    with pytest.raises(NodeError):
        searcher.close()
    assert told == [0]
    assert "finished" not in {kind for kind, *_ in heard.events}
    assert states(study).keys() == {"RUNNING"}


def test_worker_that_cannot_begin_stops_the_study_at_once_and_fails_no_trial(url):
    loss = WorkerLoss(Whose.EXECUTOR, "node 192.0.2.7 cannot begin it: ModuleNotFoundError: soxr", ends_study=True)
    study, heard, told = study_at(url), Recorder(), []
    searcher = searcher_of(study, trials=3, listener=heard, loss_of=lambda trial_id: loss)
    with pytest.raises(NodeError, match=r"^trial 0 was not begun: node 192.0.2.7 cannot begin it: Mod.* soxr\. So the"):
        Controller(searcher, lambda trial: told.append(trial.config["number"]), slots=1).run()
    with pytest.raises(NodeError):
        searcher.close()
    assert told == [0]
    assert {"lost", "finished"}.isdisjoint({kind for kind, *_ in heard.events})
    assert states(study).keys() == {"RUNNING"}


DISK = {
    "outcome": "error",
    "reason": "OSError: [Errno 28] No space left on device",
    "traceback": 'File "/x/sepray/execution/trainable.py", line 3\n File "/x/sepray/execution/checkpoint.py", line 7\n',
}


def test_trials_that_failed_by_their_environment_are_run_again_where_that_is_asked_for(url):
    """Trial 0 loses its worker, an older version took the full disk for the fault of 1; 2 has a bug of its own."""
    ends = {1: DISK, 2: {"outcome": "error", "reason": "KeyError: 1", "traceback": 'File "/x/mine.py", line 3'}}

    def first(trial):
        number = trial.config["number"]
        return None if number == 0 else ends.get(number) or result_of(number, trial.epoch + 1)

    def run(report, **more):
        study, heard = study_at(url), Recorder()
        searcher = searcher_of(study, trials=4, reference_points={"paper": {"alpha": 0.1}}, listener=heard, **more)
        controller = Controller(searcher, report)
        controller.run()
        searcher.close()
        return study.get_trials(), [t.config for t in controller.trials]

    before, _ = run(first)
    assert [t.state.name for t in before] == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert run(report)[1] == []
    after, again = run(report, retry_failed=True)
    assert [c["number"] for c in again] == [4, 5]
    assert [t.user_attrs.get("retry_of") for t in after[4:]] == [0, 1]
    assert [(t.params, t.user_attrs["seed"]) for t in after[4:]] == [
        (t.params, t.user_attrs["seed"]) for t in before[:2]
    ]
    assert (after[4].user_attrs["label"], after[4].state, again[0]["protected"]) == ("paper", TrialState.COMPLETE, True)
    assert run(report, retry_failed=True)[1] == []
    extended = searcher_of(study_at(url), trials=5)
    assert take(extended)["number"] == 6
    kill(extended)


def test_retry_that_fails_again_is_not_repeated_in_the_same_run(url):
    def lost(trial):
        return None

    for numbers in ({0: 3}, {1: 3}, {2: 3}):
        searcher = searcher_of(study_at(url), trials=1, retry_failed=True)
        controller = Controller(searcher, lost)
        controller.run()
        searcher.close()
        assert Counter(t.config["number"] for t in controller.trials) == numbers


# -- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"beta": 1.0}, "reference point 'p' sets 'beta', which the search space does not have"),
        (
            {"alpha": 2.0},
            "reference point 'p' sets alpha to 2.0, which is outside "
            "FloatDistribution(high=1.0, log=True, low=0.0001, step=None)",
        ),
        (
            {"kind": "z"},
            "reference point 'p' sets kind to 'z', which is outside CategoricalDistribution(choices=('x', 'y'))",
        ),
    ],
)
def test_reference_points_outside_the_space_are_refused(url, point, message):
    with pytest.raises(UsageError, match="reference point") as refusal:
        searcher_of(study_at(url), reference_points={"p": point})
    assert str(refusal.value) == message


def test_perturbed_settings_are_kept_and_gone_on_with(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=2)
    take(searcher, "0")
    asked = take(searcher, "1")["hyperparameters"]
    searcher.perturbed(1, parent=0, epoch=2, hyperparameters={**asked, "alpha": 0.125})
    searcher.flush()
    kill(searcher)
    searcher = searcher_of(study_at(url), trials=2)
    assert [take(searcher, str(i))["hyperparameters"].get("alpha") for i in range(2)][1] == 0.125
    kill(searcher)
    trial = study.get_trials()[1]
    assert trial.params == asked
    assert trial.user_attrs["perturbations"] == [
        {"epoch": 2, "parent": 0, "hyperparameters": {**asked, "alpha": 0.125}}
    ]


def test_annotations_reach_running_trials_and_ended_ones(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1)
    take(searcher)
    other = threading.Thread(target=searcher.annotate, args=(0, "mlflow_run_id", "abc"))
    other.start()
    other.join()
    searcher.on_trial_complete("t", result_of(0, EPOCHS))
    searcher.annotate(0, "late", [1, 2])
    searcher.close()
    assert study.get_trials()[0].user_attrs["mlflow_run_id"] == "abc"
    assert study.user_attrs["trial-00000.late"] == [1, 2]


# -- time and trouble ------------------------------------------------------------------------------------------------


class GatedSampler(optuna.samplers.RandomSampler):
    """Draws while its gate is open."""

    gate, entered = threading.Event(), threading.Event()

    def before_trial(self, study, trial):
        self.entered.set()
        assert self.gate.wait(30)


def test_a_slow_sampler_holds_nobody_up(url):
    """While the sampler broods, reports are taken and suggest() says that there is nothing yet."""
    sampler = GatedSampler(seed=0)
    sampler.gate.set()
    study = open_study(url, "slow", ["minimize"], {}, sampler)
    searcher = searcher_of(study, trials=6, ahead=2)
    assert take(searcher, "0")["number"] == 0
    searcher._background.wait(lambda: len(searcher._ready) == 2, 10)
    sampler.gate.clear()
    sampler.entered.clear()
    assert [searcher.suggest(i)["number"] for i in "12"] == [1, 2]
    assert sampler.entered.wait(10)
    for epoch in (1, 2, 3):
        searcher.on_trial_result("0", result_of(0, epoch))
        assert searcher.suggest("3") is None
    assert not searcher.flush(0.01)  # the reports wait behind the sampler, and Tune does not
    sampler.gate.set()
    assert searcher.flush(10)
    assert study.get_trials()[0].intermediate_values == {e: value(0, e) for e in (1, 2, 3)}
    assert take(searcher, "3")["number"] == 3
    kill(searcher)


def test_the_searcher_loads_neither_torch_nor_mlflow():
    code = (
        "import sys, sepray.search.searcher, sepray.execution.schedulers; "
        "print(sorted({'torch', 'mlflow'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "[]"


def test_settings_reach_the_trials_the_thread_and_the_ledger(url):
    study = study_at(url)
    searcher = StudySearcher(study, SPACE, [KEY], 9, 5, ahead=4, folder="f{number}", patience=7.0)
    first = take(searcher)
    assert searcher._background.wait(lambda: len(searcher._ready) == 4, 30)
    assert (searcher._background._patience, first["folder"]) == (7.0, "f0")
    assert first["seed"] == int(np.random.SeedSequence([5, 0]).generate_state(1)[0])
    searcher.flush()
    kill(searcher)
    assert len(study.get_trials()) == 5


def test_as_many_objectives_as_directions(url):
    with pytest.raises(ValueError, match="2 objectives for a study with 1 directions") as refusal:
        StudySearcher(study_at(url), SPACE, PAIR, 4, 0)
    assert not isinstance(refusal.value, UsageError)


def test_intermediate_value_is_the_objective_or_the_mean_of_several(url):
    for name, objectives, expected in (("one", [KEY], 3.0), ("two", list(PAIR), -1.5)):
        study = study_at(url, name=name, directions=["maximize"] * len(objectives))
        searcher = StudySearcher(study, SPACE, objectives, 1, 0)
        take(searcher)
        searcher.on_trial_result("t", {"epoch": 1, "objective": -1.5, KEY: 3.0, PAIR[0]: 1.0, PAIR[1]: 2.0})
        searcher.flush()
        kill(searcher)
        assert study.get_trials()[0].intermediate_values == {1: expected}

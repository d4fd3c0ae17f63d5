"""The searcher on simulated trials and a real SQLite storage: every row of the table of outcomes, and every restart."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import sqlalchemy.exc
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sepray.execution.schedulers import make_scheduler
from sepray.search.bulk_read import Database
from sepray.search.ledger import FixedTrial, history
from sepray.search.outcomes import Outcome, decide
from sepray.search.samplers import capacity, make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import FingerprintMismatchError, StorageError, open_study

from ..simulation import Controller, Killed, kill

EPOCHS = 4
KEY = "validation/relative_l2"
PAIR = ("validation/maternal/relative_l2", "validation/fetal/relative_l2")
SPACE = {
    "alpha": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(1, 9),
    "kind": CategoricalDistribution(["x", "y"]),
}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("optuna") / "empty.db"
    open_study(f"sqlite:///{path}", "none", ["minimize"], {}, make_sampler("random", 0, {}))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def url(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "optuna.db")
    return f"sqlite:///{tmp_path}/optuna.db"


def study_at(url, sampler="random", directions=("minimize",), name="s", seed=3, fingerprint=None):
    return open_study(
        url, name, directions, fingerprint or {}, lambda existing: make_sampler(sampler, seed, SPACE, existing=existing)
    )


def value(number, epoch):
    """A made-up learning curve: better with epochs, and different for every trial."""
    return 1.0 / epoch + 0.01 * number


def result_of(number, epoch, **more):
    outcome = "complete" if epoch == EPOCHS else ""
    return {"epoch": epoch, "objective": value(number, epoch), KEY: value(number, epoch), "outcome": outcome} | more


def report(trial):
    return result_of(trial.config["number"], trial.epoch + 1)


def searcher_of(study, trials=4, **more):
    return StudySearcher(study, SPACE, [KEY], trials, seed=11, **more)


def take(searcher, trial_id="t"):
    """The next suggestion, once it is ready."""
    deadline = time.monotonic() + 10
    while (config := searcher.suggest(trial_id)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return config


def states(study):
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


class Recorder:
    """A listener that remembers."""

    def __init__(self):
        self.events = []

    def asked(self, number, seed, hyperparameters, label, resumed):
        self.events.append(("asked", number, label, resumed))

    def epoch(self, number, result):
        self.events.append(("epoch", number, result["epoch"]))

    def finished(self, number, outcome, result):
        self.events.append(("finished", number, outcome.tag))


# -- the table of outcomes -------------------------------------------------------------------------------------------

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
LOST = "the worker was lost more often than it is started again"


@pytest.mark.parametrize(
    ("result", "error", "expected"),
    [
        ({"epoch": 4, KEY: 0.5, "outcome": "complete"}, False, Outcome(COMPLETE, (0.5,), "", "complete", -1.0)),
        (
            {"epoch": 2, KEY: 0.5, "outcome": ""},
            False,
            Outcome(PRUNED, None, "stopped by the scheduler at epoch 2", "pruned"),
        ),
        (None, False, Outcome(PRUNED, None, "stopped by the scheduler", "pruned")),
        (
            {"epoch": 2, KEY: 0.5, "outcome": "diverged", "reason": "loss is nan"},
            False,
            Outcome(FAIL, None, "loss is nan", "diverged"),
        ),
        (
            {"epoch": 4, KEY: float("nan"), "outcome": "complete"},
            False,
            Outcome(FAIL, None, f"{KEY} is nan at epoch 4", "diverged"),
        ),
        (
            {"epoch": 2, KEY: float("inf"), "outcome": ""},
            False,
            Outcome(FAIL, None, f"{KEY} is inf at epoch 2", "diverged"),
        ),
        (
            {"epoch": 3, KEY: 0.9, "outcome": "collapsed", "reason": "fetal is silent"},
            False,
            Outcome(COMPLETE, (0.9,), "fetal is silent", "collapsed", 1.0),
        ),
        (
            {"outcome": "error", "reason": "KeyError: 'x'"},
            False,
            Outcome(FAIL, None, "KeyError: 'x'", "error"),
        ),
        ({"outcome": "out_of_memory"}, False, Outcome(FAIL, None, "out of memory", "out_of_memory")),
        ({"epoch": 4, "outcome": "complete"}, False, Outcome(FAIL, None, f"the last result has no {KEY}", "error")),
        ({"epoch": 4, KEY: 1.0, "outcome": "odd"}, False, Outcome(FAIL, None, "unknown outcome 'odd'", "error")),
        (None, True, Outcome(FAIL, None, LOST, "lost")),
        ({"epoch": 2, KEY: 0.5, "outcome": ""}, True, Outcome(FAIL, None, LOST, "lost")),
    ],
)
def test_decide_is_the_table_of_outcomes(result, error, expected):
    assert decide(result, error, [KEY]) == expected


def test_several_objectives_give_several_values():
    result = {"epoch": 4, PAIR[0]: 0.2, PAIR[1]: 0.6, "outcome": "complete"}
    assert decide(result, False, PAIR).values == (0.2, 0.6)


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
    running = sorted(n for n, t in before.items() if t.state == TrialState.RUNNING)
    resumed = [t.config for t in second.trials if t.config["resume"]]
    assert [c["number"] for c in resumed] == running
    assert [c["hyperparameters"] for c in resumed] == [before[n].params for n in running]
    given = {t.config["number"]: t.config["seed"] for t in first.trials}
    assert all(c["seed"] == given.get(c["number"], c["seed"]) for c in resumed)
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
    assert listener.events[:3] == [("asked", 0, None, True), ("finished", 0, "pruned"), ("asked", 1, None, True)]


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
        ("asked", 0, None, False),
        ("epoch", 0, 1),
        ("epoch", 0, 2),
        ("epoch", 0, 3),
        ("epoch", 0, 4),
        ("finished", 0, "complete"),
    ]


# -- what is asked for -----------------------------------------------------------------------------------------------


def test_reference_points_come_first_once_and_are_protected(url):
    points = {"paper 1": {"alpha": 0.5, "width": 2, "kind": "y"}, "paper 2": {"alpha": 0.25}}
    searcher = searcher_of(study_at(url), trials=4, reference_points=points)
    first = Controller(searcher, report, kill_after=1)
    with pytest.raises(Killed):
        first.run()
    kill(searcher)
    assert first.trials[0].config["hyperparameters"] == points["paper 1"]
    study = study_at(url)
    searcher = searcher_of(study, trials=4, reference_points=points)
    second = Controller(searcher, report)
    second.run()
    searcher.close()
    assert [(c["number"], c["protected"]) for c in (t.config for t in second.trials)] == [
        (0, True),
        (1, True),
        (2, False),
        (3, False),
    ]
    assert [t.user_attrs.get("label") for t in study.get_trials()] == ["paper 1", "paper 2", None, None]
    assert study.get_trials()[1].params["alpha"] == 0.25


def test_reference_points_do_not_exceed_the_trials(url):
    study = study_at(url)
    searcher = searcher_of(study, trials=1, reference_points={"a": {"width": 1}, "b": {"width": 2}})
    Controller(searcher, report).run()
    searcher.close()
    assert [t.params["width"] for t in study.get_trials()] == [1]


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
    with pytest.raises(ValueError, match="reference point") as refusal:
        searcher_of(study_at(url), reference_points={"p": point})
    assert str(refusal.value) == message


def test_fixed_points_are_all_that_there_is(url):
    fixed = [
        FixedTrial("best", {"alpha": 0.1, "width": 3, "depth": 4}, seed=7, attributes={"role": "finalist"}),
        FixedTrial("best", {"alpha": 0.1, "width": 3, "depth": 4}, seed=8),
        FixedTrial("outside", {"alpha": 5.0}, seed=7),
    ]
    searcher = searcher_of(study_at(url, name="s/finals"), fixed=fixed, folder="final-{number:05d}")
    with pytest.raises(Killed):
        Controller(searcher, report, kill_after=2).run()
    kill(searcher)
    study = study_at(url, name="s/finals")
    searcher = searcher_of(study, fixed=fixed, folder="final-{number:05d}")
    controller = Controller(searcher, report)
    controller.run()
    searcher.close()
    configs = {t.config["number"]: t.config for t in controller.trials}
    assert [configs[i]["hyperparameters"] for i in range(3)] == [f.hyperparameters for f in fixed]
    assert [configs[i]["seed"] for i in range(3)] == [7, 8, 7]
    assert all(c["protected"] for c in configs.values())
    trials = study.get_trials()
    assert [t.params for t in trials] == [{"alpha": 0.1, "width": 3}, {"alpha": 0.1, "width": 3}, {}]
    assert [t.user_attrs["point"] for t in trials] == [f.point for f in fixed]
    assert trials[0].user_attrs["role"] == "finalist"
    assert trials[0].user_attrs["checkpoint"] == "final-00000"
    assert states(study) == {"COMPLETE": 3}


def test_fixed_points_that_are_still_wanted_are_not_trained_again(url):
    old = [FixedTrial("a", {"alpha": 0.1}, 1), FixedTrial("b", {"alpha": 0.2}, 1)]
    study = study_at(url)
    searcher = searcher_of(study, fixed=old)
    take(searcher, "0")
    take(searcher, "1")
    searcher.on_trial_complete("0", result_of(0, EPOCHS))
    searcher.flush()
    kill(searcher)
    searcher = searcher_of(study_at(url), fixed=[old[0], FixedTrial("c", {"alpha": 0.3}, 1)])
    controller = Controller(searcher, report)
    controller.run()
    searcher.close()
    assert [t.config["number"] for t in controller.trials] == [2]
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.get_trials()[1].user_attrs["reason"] == "no longer one of the points of this study"


def test_a_finite_grid_ends_the_study_early(url):
    study = study_at(url)
    space = {"kind": SPACE["kind"], "width": IntDistribution(1, 3)}
    for sampler in ("grid", "bruteforce"):
        study = open_study(url, sampler, ["minimize"], {}, make_sampler(sampler, 0, space))
        assert capacity(study.sampler, space) == 6
        searcher = StudySearcher(study, space, [KEY], 50, 0)
        Controller(searcher, report, slots=1).run()
        searcher.close()
        assert {(t.params["kind"], t.params["width"]) for t in study.get_trials()} == {
            (kind, width) for kind in "xy" for width in (1, 2, 3)
        }
        assert len(study.get_trials()) == 6


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


def fail_at(study, monkeypatch, method, calls, after=False):
    """Make a method of the storage fail at the given calls (1-based), before or after it has done its work."""
    real, count = getattr(study._storage, method), [0]

    def unreliable(*args, **kwargs):
        count[0] += 1
        failing = count[0] in calls
        if failing and not after:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("database is locked"))
        answer = real(*args, **kwargs)
        if failing:
            raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("connection lost"))
        return answer

    monkeypatch.setattr(study._storage, method, unreliable)


@pytest.mark.parametrize("after", [False, True])
def test_a_storage_that_fails_now_and_then_loses_nothing(url, monkeypatch, after):
    study = study_at(url)
    fail_at(study, monkeypatch, "create_new_trial", {1, 3}, after)
    fail_at(study, monkeypatch, "set_trial_param", {2, 5, 6}, after)
    fail_at(study, monkeypatch, "set_trial_intermediate_value", {1, 2, 9}, after)
    fail_at(study, monkeypatch, "set_trial_user_attr", {1, 4, 7}, after)
    fail_at(study, monkeypatch, "set_trial_state_values", {1, 3}, after)
    searcher = searcher_of(study, trials=4)
    Controller(searcher, report).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 4}
    for trial in study.get_trials():
        assert trial.intermediate_values == {e: value(trial.number, e) for e in (1, 2, 3, 4)}
        assert trial.params.keys() == SPACE.keys()


def test_a_storage_that_stays_away_ends_the_study_in_one_line(url, monkeypatch):
    study = study_at(url)
    searcher = searcher_of(study, trials=4, patience=0.2)
    take(searcher, "0")
    fail_at(study, monkeypatch, "set_trial_intermediate_value", range(1, 1000))
    searcher.on_trial_result("0", result_of(0, 1))
    searcher._background._thread.join(10)
    expected = (
        "the storage has failed for 0.2 s, so the study stops: database is locked; "
        "the same command goes on once it works again"
    )
    for call in (lambda: searcher.suggest("1"), searcher.close, searcher.flush):
        with pytest.raises(StorageError) as failure:
            call()
        assert str(failure.value) == expected
    searcher.on_trial_complete("0", result_of(0, 2))  # Tune must be able to clean up


def test_readers_are_not_held_up_by_a_write(url, tmp_path):
    study = study_at(url)
    writer = sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    other = optuna.load_study(study_name="s", storage=url)
    assert other.user_attrs == {"fingerprint": {}}
    assert time.monotonic() - started < 2
    writer.execute("ROLLBACK")
    assert study._storage._backend.engine.connect().exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


# -- opening ---------------------------------------------------------------------------------------------------------


def test_another_fingerprint_is_refused_saying_what_differs(url):
    old = {"space": SPACE, "task": {"seconds": 15, "noise": 0.1}}
    study_at(url, fingerprint=old)
    study_at(url, fingerprint={"task": {"noise": 0.1, "seconds": 15}, "space": dict(SPACE)})
    new = {"space": SPACE | {"alpha": FloatDistribution(1e-4, 0.5, log=True)}, "task": {"seconds": 16, "snr": 3}}
    with pytest.raises(FingerprintMismatchError) as refusal:
        study_at(url, fingerprint=new, directions=("maximize",))
    assert str(refusal.value) == (
        f"study 's' exists in {url} with other settings; choose another name, or go back to:\n"
        '  directions[0]: "minimize" -> "maximize"\n'
        "  space.alpha.attributes.high: 1.0 -> 0.5\n"
        "  task.noise: 0.1 -> (absent)\n"
        "  task.seconds: 15 -> 16\n"
        "  task.snr: (absent) -> 3"
    )


def test_a_study_of_somebody_elses_is_refused(url):
    theirs = optuna.create_study(storage=url, study_name="theirs")
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(FingerprintMismatchError, match="the study there was not made by sepray"):
        study_at(url, name="theirs")


@pytest.mark.parametrize(
    ("storage", "error", "message"),
    [
        ("optuna.db", ValueError, "storage 'optuna.db' is not a URL: give sqlite:///file.db"),
        ("oracel://x", ValueError, "storage oracel://x cannot be used: Can't load plugin: sqlalchemy.dialects:oracel"),
        ("sqlite:////proc/no/optuna.db", StorageError, "storage sqlite:////proc/no/optuna.db cannot be opened: "),
    ],
)
def test_a_storage_that_cannot_be_opened_is_said_in_one_line(storage, error, message):
    with pytest.raises(error) as failure:
        study_at(storage)
    assert str(failure.value).startswith(message)
    assert "\n" not in str(failure.value)


def test_passwords_are_not_shown():
    with pytest.raises((ValueError, StorageError)) as failure:
        study_at("postgresql://anna:secret@127.0.0.1:1/db")
    assert "anna" in str(failure.value)
    assert "secret" not in str(failure.value)


def test_a_journal_file_is_a_storage_too(tmp_path):
    storage = f"journal://{tmp_path}/deep/study.log"
    searcher = searcher_of(study_at(storage), trials=3)
    with pytest.raises(Killed):
        Controller(searcher, report, kill_after=3).run()
    kill(searcher)
    study = study_at(storage)
    searcher = searcher_of(study, trials=3)
    Controller(searcher, report).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 3}
    assert study.get_trials()[2].intermediate_values == {e: value(2, e) for e in (1, 2, 3, 4)}


def test_the_fast_read_gives_what_optunas_own_gives(url):
    for name, directions in (("one", ["minimize"]), ("two", ["minimize", "maximize"])):
        study = open_study(url, name, directions, {}, make_sampler("random", 0, SPACE))
        for number in range(6):
            trial = study.ask(SPACE)
            trial.set_user_attr("nested", {"a": [number, None]})
            for step, seen in enumerate((0.5, float("inf"), float("-inf"), float("nan"))):
                study._storage.set_trial_intermediate_value(trial._trial_id, 3 - step, seen)
            trial.set_constraint("collapsed", -1.0)
            values = None if number == 1 else [float("inf"), 1.0 * number][: len(directions)]
            if number < 4:
                study.tell(trial, values, state=TrialState.COMPLETE if values else TrialState.FAIL)
        study.enqueue_trial({"alpha": 0.1})
    theirs = optuna.storages.RDBStorage(url)
    for name in ("one", "two"):
        study_id = theirs.get_study_id_from_name(name)
        ours = Database(url).get_all_trials(study_id)
        expected = theirs.get_all_trials(study_id)
        for trial in (*ours, *expected):
            trial.intermediate_values = dict(sorted(trial.intermediate_values.items()))
        assert repr(ours) == repr(expected)  # as text, for nan is not equal to itself
        assert [t.distributions for t in ours] == [t.distributions for t in expected]
        assert len(ours) == 7


def test_the_searcher_loads_neither_torch_nor_mlflow():
    code = "import sys, sepray.searcher, sepray.scheduling; print(sorted({'torch', 'mlflow'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert answer.stdout.strip() == "[]"


# -- samplers --------------------------------------------------------------------------------------------------------


def pair_report(trial):
    epoch, number = trial.epoch + 1, trial.config["number"]
    alpha = trial.config["hyperparameters"]["alpha"]
    values = {PAIR[0]: alpha + 1 / epoch, PAIR[1]: 1 - alpha + 1 / epoch}
    outcome = "complete" if epoch == EPOCHS else ""
    if number % 5 == 4 and epoch == 2:
        outcome = "collapsed"
    return {"epoch": epoch, "objective": sum(values.values()) / 2 + number, "outcome": outcome} | values


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_several_objectives_keep_the_curves_of_pruned_trials(url, sampler):
    study = study_at(url, sampler, ("minimize", "minimize"))
    searcher = StudySearcher(study, SPACE, PAIR, 24, 0)
    # each trial is worse than those before it, so that the scheduler stops many, and TPE has to rank them
    controller = Controller(searcher, pair_report, make_scheduler("asha", EPOCHS, grace_period=1), slots=1)
    controller.run()
    searcher.close()
    trials = study.get_trials()
    stopped = [t for t in trials if t.state == TrialState.PRUNED]
    assert len(trials) == 24
    assert len(stopped) > 10
    assert all(t.state.is_finished() for t in trials)
    for trial in stopped:
        assert trial.values is None
        assert trial.intermediate_values == {1: 1.5 + trial.number}
    complete = [t for t in trials if t.state == TrialState.COMPLETE and not t.user_attrs.get("reason")]
    assert complete
    for trial in complete:
        assert trial.values == pytest.approx([trial.params["alpha"] + 0.25, 1.25 - trial.params["alpha"]])


@pytest.mark.parametrize(
    ("sampler", "count"),  # enough to get past the random start of those that have one
    [
        ("tpe", 14),
        ("gp", 14),
        ("nsgaii", 4),
        ("nsgaiii", 4),
        ("qmc", 4),
        ("bruteforce", 4),
        ("RandomSampler", 4),
        ("optuna.samplers:RandomSampler", 4),
    ],
)
def test_samplers_by_name_work_with_all_outcomes(url, sampler, count):
    space = {"alpha": FloatDistribution(0.0, 1.0, step=0.01), "kind": SPACE["kind"]}
    study = open_study(url, sampler, ["maximize"], {}, make_sampler(sampler, 1, space))

    def outcomes(trial):
        number, epoch = trial.config["number"], trial.epoch + 1
        outcome = {0: "diverged", 1: "collapsed"}.get(number % 3, "") if epoch == 2 else ""
        outcome = "complete" if epoch == EPOCHS else outcome
        score = trial.config["hyperparameters"]["alpha"]
        return {"epoch": epoch, "objective": -score, KEY: score, "outcome": outcome}

    searcher = StudySearcher(study, space, [KEY], count, 0)
    Controller(searcher, outcomes, slots=1).run()
    searcher.close()
    assert len(study.get_trials()) == count
    assert all(t.state.is_finished() for t in study.get_trials())
    assert all(contained(t, space) for t in study.get_trials())


def contained(trial, space):
    return all(d._contains(d.to_internal_repr(trial.params[name])) for name, d in space.items())


def test_tpe_finds_the_optimum_and_keeps_off_collapsed_points(url):
    """Values are best at alpha = 0.2, but the trials below 0.5 collapse: the sampler must look above."""
    space = {"alpha": FloatDistribution(0.0, 1.0)}
    study = open_study(url, "c", ["minimize"], {}, make_sampler("tpe", 0, space))

    def collapsing(trial):
        alpha = trial.config["hyperparameters"]["alpha"]
        outcome = "collapsed" if alpha < 0.5 else "complete"
        return {"epoch": 1, "objective": abs(alpha - 0.2), KEY: abs(alpha - 0.2), "outcome": outcome}

    searcher = StudySearcher(study, space, [KEY], 40, 0)
    Controller(searcher, collapsing, slots=1).run()
    searcher.close()
    late = [t.params["alpha"] for t in study.get_trials()[20:]]
    assert sum(alpha >= 0.5 for alpha in late) >= 10  # without the constraint it is none
    assert 0.5 <= study.best_params["alpha"] < 0.55


def test_unknown_and_unusable_samplers_are_refused_in_one_line():
    with pytest.raises(ValueError, match="unknown sampler 'tpee'; there are: tpe, random, gp, cmaes, nsgaii, nsgaiii"):
        make_sampler("tpee", 0, SPACE)
    with pytest.raises(ValueError, match="no sampler 'nowhere:Sampler' can be imported: No module named 'nowhere'"):
        make_sampler("nowhere:Sampler", 0, SPACE)
    with pytest.raises(ValueError, match=r"sampler 'tpe' cannot be made with \{'candidates': 3\}"):
        make_sampler("tpe", 0, SPACE, {"candidates": 3})


def test_a_sampler_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="sampler 'cmaes' needs a package that is not installed: pip install cmaes"):
        make_sampler("cmaes", 0, SPACE)


def test_cmaes_with_several_objectives_is_refused(url):
    with pytest.raises(ValueError, match="sampler 'cmaes' takes one objective"):
        open_study(url, "c", ["minimize"] * 2, {}, optuna.samplers.CmaEsSampler())


def test_the_sampler_is_seeded_and_goes_on_with_other_draws(url):
    def draws(existing):
        sampler = make_sampler("random", 5, SPACE, existing=existing)
        study = optuna.create_study(sampler=sampler)
        return [study.ask(SPACE).params["alpha"] for _ in range(3)]

    assert draws(0) == draws(0)
    assert not set(draws(0)) & set(draws(10))


def test_grid_values_cover_the_space():
    sampler = make_sampler("grid", 0, SPACE | {"step": FloatDistribution(0.0, 1.0, step=0.5)}, {"points": 3})
    assert sampler._search_space == {
        "alpha": pytest.approx([1e-4, 1e-2, 1.0]),
        "width": list(range(1, 10)),
        "kind": ["x", "y"],
        "step": [0.0, 0.5, 1.0],
    }


def test_the_history_is_of_an_objective_to_be_minimised(url):
    study = open_study(url, "up", ["maximize"], {}, make_sampler("random", 0, SPACE))
    searcher = searcher_of(study, trials=1)
    take(searcher)
    searcher.on_trial_result("t", {"epoch": 1, "objective": -3.0, KEY: 3.0, "outcome": ""})
    searcher.on_trial_result("t", {"epoch": 2, "objective": float("nan"), KEY: float("nan"), "outcome": ""})
    searcher.flush()
    assert history(study) == [(0, [(1, -3.0)])]
    kill(searcher)

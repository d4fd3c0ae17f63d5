"""The campaign's rows in short: on simulated trials in one process; ``short.py`` says which test is for which row."""

import ast
import json
import random
import re
import signal
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sepray.console.interruption import Interrupted
from sepray.driver import driver, packaged_champion, registration, study_report
from sepray.driver.registration import Registration
from sepray.errors import StorageError
from sepray.execution import cluster

from ..driver.conftest import DATA, Simulation, screen, simulation, spec, tracker  # noqa: F401 - fixtures
from ..simulation import Killed
from .rows import ROWS
from .short import SHORT

TRIALS, FINALS = 4, 1
_TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def study(monkeypatch, tracker, simulation, screen) -> Simulation:  # noqa: F811
    """A study whose data are at hand, and whose model is neither packaged nor registered."""
    monkeypatch.setattr(driver, "load_task", lambda config, cache: DATA)
    monkeypatch.setattr(
        registration, "register", lambda given, *_: Registration(given.model_name, "1", True, "Registered.")
    )
    monkeypatch.setattr(packaged_champion, "package", lambda *_: None)
    monkeypatch.setattr(study_report, "make_report", lambda *_: None)
    return simulation


def interrupted_at(study, monkeypatch, epoch, error):
    """Let the executor raise an error in the place of the n-th result of the whole command."""
    run, left = study.__call__, [epoch]

    def run_trials(*given, **settings):
        study.kill_after = left[0]
        before = len(study.trained)
        try:
            run(*given, **settings)
        except Killed:
            raise error from None
        left[0] -= len(study.trained) - before

    monkeypatch.setattr(cluster, "run_trials", run_trials)


def found(spec, complete=True):  # noqa: F811
    """Values of all trials by stage, and the champion."""
    values = {}
    for stage in ("small", "small/finals"):
        trials = optuna.load_study(study_name=stage, storage=spec.stores.storage).get_trials()
        ends = {t.state for t in trials}
        assert ends <= ({TrialState.COMPLETE} if complete else {TrialState.COMPLETE, TrialState.PRUNED})
        epochs = [sorted(t.intermediate_values) for t in trials]
        assert epochs == [
            list(range(1, 4 if t.state is TrialState.COMPLETE else len(e) + 1))
            for t, e in zip(trials, epochs, strict=True)
        ]
        values[stage] = [(t.state.name, *t.intermediate_values.values()) for t in trials]
    assert (len(values["small"]), len(values["small/finals"])) == (TRIALS, FINALS)
    [result] = Path(spec.stores.storage_path).glob("small/*/result.json")
    told = json.loads(result.read_text())
    return values, told["role"], told["hyperparameters"]


ERRORS = {
    **{number.name: Interrupted(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)},
    "storage": StorageError("the storage has failed"),
    "Ray died": cluster.ClusterError("Ray has died"),
    "bug": ValueError("a bug"),
}


@pytest.fixture
def small(spec):  # noqa: F811
    """A study whose trials are all given, so that every run has the same."""
    points = {f"point {k}": {"beta": k / 4, "cross.{i}_to_{j}": 0.25} for k in range(TRIALS)}
    return spec.changed(first_settings=points, reference_points={}, controls={}, final_seeds=1)


_clean: list[tuple] = []


@pytest.fixture
def clean(small, study):
    """Return the findings of an undisturbed study, which are always the same."""
    if not _clean:
        assert driver.run(small) == 0
        _clean.append(found(small))
    return _clean[0]


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=pytest.mark.slow if f in ("SIGINT", "SIGHUP", "bug") else ()) for f in ERRORS],
)
def test_study_that_is_ended_at_random_epochs_comes_to_the_same_end(
    study,
    small,
    clean,
    tracker,  # noqa: F811
    monkeypatch,
    tmp_path,
    fault,
):
    drawn = random.Random(fault)
    other = small.changed(storage=f"sqlite:///{tmp_path}/other.db", storage_path=str(tmp_path / "other"))
    error, statuses = ERRORS[fault], []
    tracker.calls.clear()
    while not statuses or statuses[-1]:
        assert len(statuses) < 20
        interrupted_at(study, monkeypatch, drawn.randint(3, 9), error)
        try:
            statuses.append(driver.run(other))
        except type(error):
            statuses.append(2)
        if statuses[-1]:
            assert statuses[-1] == (error.status if isinstance(error, Interrupted) else 2)
            assert [name for name, _, _ in tracker.calls[-2:]] == ["interrupted", "close"]
    assert len(statuses) > 1
    assert found(other) == clean
    ended = [given[0] for given, _ in tracker.named("trial_finished")]
    assert len(ended) == len(set(ended)) == TRIALS + FINALS


# -- ended at a step of a start ---------------------------------------------------------------------------------------


STEPS = {
    "startup": (cluster, "connect"),
    "search": (cluster, "run_trials"),
    "packaging": (packaged_champion, "package"),
    "registration": (registration, "register"),
    "report": (study_report, "make_report"),
}


_QUICK = {("startup", False), ("search", True), ("packaging", False), ("registration", True), ("report", False)}


@pytest.mark.parametrize(
    ("step", "after"),
    [
        pytest.param(step, after, id=f"{step}-{kind}", marks=() if (step, after) in _QUICK else pytest.mark.slow)
        for step in STEPS
        for after, kind in ((False, "before"), (True, "after"))
    ],
)
def test_study_that_is_ended_at_any_step_comes_to_the_same_end(
    study,
    small,
    clean,
    tracker,  # noqa: F811
    monkeypatch,
    tmp_path,
    step,
    after,
):
    """Signals, or kills, end the study at the first call of a step: before its effect, and after it."""
    other = small.changed(storage=f"sqlite:///{tmp_path}/other.db", storage_path=str(tmp_path / "other"))
    module, name = STEPS[step]
    done = getattr(module, name)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    left: list[BaseException] = [Killed(), Interrupted(numbers[list(STEPS).index(step) % 3])]

    def ended(*given, **settings):
        if after or not left:
            result = done(*given, **settings)
        if left:
            raise left.pop()
        return result

    monkeypatch.setattr(module, name, ended)
    tracker.calls.clear()
    while left:
        error = left[-1]
        if isinstance(error, Interrupted):
            assert driver.run(other) == error.status
        else:
            with pytest.raises(Killed):
                driver.run(other)
    assert driver.run(other) == 0
    assert found(other) == clean
    told = [given[0] for given, _ in tracker.named("trial_finished")]
    assert len(told) == len(set(told)) == TRIALS + FINALS


def test_workers_that_are_lost_cost_nothing(study, small, clean, tracker, tmp_path):  # noqa: F811
    """Workers are lost in both stages, before the first epoch and between others, with progress in between."""
    other = small.changed(storage=f"sqlite:///{tmp_path}/other.db", storage_path=str(tmp_path / "other"))
    study.losses = {("search", 0, 1), ("search", 0, 2), ("search", 2, 3), ("finals", 0, 2), ("finals", 0, 3)}
    tracker.calls.clear()
    assert driver.run(other) == 0
    assert study.losses == set()
    assert found(other) == clean
    assert len(tracker.named("trial_finished")) == TRIALS + FINALS


@pytest.mark.parametrize("shift", [-86_400, 86_400])
def test_clock_that_is_set_in_between_changes_nothing(study, small, clean, tracker, monkeypatch, tmp_path, shift):  # noqa: F811
    other = small.changed(storage=f"sqlite:///{tmp_path}/other.db", storage_path=str(tmp_path / "other"))
    interrupted_at(study, monkeypatch, 5, Interrupted(signal.SIGTERM))
    assert driver.run(other) == 143
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + shift)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + shift * 10**9)
    study.kill_after = None
    monkeypatch.setattr(cluster, "run_trials", study)
    assert driver.run(other) == 0
    assert found(other) == clean


def test_study_that_stops_trials_early_comes_to_the_same_end(
    study,
    small,
    tracker,  # noqa: F811
    monkeypatch,
    tmp_path,
):
    """However often it is interrupted, a deterministic study with ASHA prunes the same trials at the same epochs."""
    stopped = small.changed(first_settings={}, scheduler="asha", grace_period=1, deterministic=True)
    assert driver.run(stopped) == 0
    undisturbed = found(stopped, complete=False)
    assert {state for state, *_ in undisturbed[0]["small"]} == {"COMPLETE", "PRUNED"}
    other = stopped.changed(storage=f"sqlite:///{tmp_path}/other.db", storage_path=str(tmp_path / "other"))
    drawn, statuses = random.Random(0), [143]
    tracker.calls.clear()
    while statuses[-1] == 143:
        assert len(statuses) < 20
        interrupted_at(study, monkeypatch, drawn.randint(5, 9), Interrupted(signal.SIGTERM))
        statuses.append(driver.run(other))
    assert len(statuses) > 2
    assert statuses[-1] == 0
    assert found(other, complete=False) == undisturbed
    told = [given[0] for given, _ in tracker.named("trial_finished")]
    assert len(told) == len(set(told)) == TRIALS + FINALS


# -- the table of short forms -----------------------------------------------------------------------------------------


def test_every_row_of_the_campaign_has_a_short_form():
    assert [row.name for row in ROWS if not any(re.fullmatch(pattern, row.name) for pattern in SHORT)] == []
    assert [pattern for pattern in SHORT if not any(re.fullmatch(pattern, row.name) for row in ROWS)] == []


@pytest.mark.parametrize("test", sorted({test for tests in SHORT.values() for test in tests}))
def test_short_form_exists_and_is_not_slow(test):
    file, _, name = test.partition("::")
    functions = {f.name: f for f in ast.parse((_TESTS / file).read_text()).body if isinstance(f, ast.FunctionDef)}
    assert name in functions
    assert "pytest.mark.slow" not in {ast.unparse(decorator) for decorator in functions[name].decorator_list}


def test_names_of_rows_are_theirs_alone():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))

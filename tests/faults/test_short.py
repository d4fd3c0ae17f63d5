"""The campaign's rows about the driver and its signals, in short: on simulated trials in one process."""

import json
import random
import signal
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from sepray.console.interruption import Interrupted
from sepray.driver import driver, finish
from sepray.driver.champion import Registration
from sepray.errors import StorageError
from sepray.execution import cluster

from ..driver.conftest import DATA, Simulation, screen, simulation, spec, tracker  # noqa: F401 - fixtures
from ..simulation import Killed

TRIALS, FINALS = 4, 1


@pytest.fixture
def study(monkeypatch, tracker, simulation, screen) -> Simulation:  # noqa: F811
    """A study whose data are at hand, and whose model is neither packaged nor registered."""
    monkeypatch.setattr(driver, "load_task", lambda config, cache: DATA)
    monkeypatch.setattr(finish, "register", lambda given, *_: Registration(given.model_name, "1", True, "Registered."))
    monkeypatch.setattr(finish, "package", lambda *_: None)
    monkeypatch.setattr(finish, "make_report", lambda *_: None)
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


def found(spec):  # noqa: F811
    """Values of all trials by stage, and the champion."""
    values = {}
    for stage in ("small", "small/finals"):
        trials = optuna.load_study(study_name=stage, storage=spec.stores.storage).get_trials()
        assert [t.state for t in trials] == [TrialState.COMPLETE] * len(trials)
        assert all(sorted(t.intermediate_values) == [1, 2, 3] for t in trials)
        values[stage] = [t.value for t in trials]
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
    return spec.changed(reference_points=points, controls={}, final_seeds=1)


_clean: list[tuple] = []


@pytest.fixture
def clean(small, study):
    """What the study finds undisturbed, always the same."""
    if not _clean:
        assert driver.run(small) == 0
        _clean.append(found(small))
    return _clean[0]


@pytest.mark.parametrize("fault", ERRORS)
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

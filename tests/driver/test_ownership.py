"""Two drivers of one study in every combination: one owns it, the other writes nothing. Trials are simulated."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from sepray.driver import driver
from sepray.driver import stores as stores_module
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores
from sepray.errors import UsageError
from sepray.execution import checkpoint
from sepray.search import holding
from sepray.search.holding import ENDED_SECONDS, HeldError
from sepray.search.lease import LostError
from sepray.search.owner import Surroundings
from sepray.spec.permissions import Permissions

from .conftest import DATA

FORCE = Permissions(take_over=True, move_here=True)
OWN = Surroundings.here()


@pytest.fixture
def at(monkeypatch):
    """Return a function that moves this process to another host, as another process; its pauses take no time."""

    def move(host: str, process: int = OWN.process, started: str = OWN.started) -> list[float]:
        slept: list[float] = []
        there = replace(OWN, user="alice", host=host, machine=host, process=process, started=started)
        there = replace(there, monotonic=lambda: sum(slept), sleep=slept.append)
        monkeypatch.setattr(Surroundings, "here", lambda: there)
        return slept

    move("host-a")
    return move


@pytest.fixture
def study(tracker, simulation, screen, monkeypatch):
    monkeypatch.setattr(driver, "load_task", lambda config, cache: DATA)
    monkeypatch.setattr(driver.Finish, "run", lambda *_: 0)
    return simulation


def die(stores):
    """Let a driver end as by a kill: its lock is gone with it, its record in the storage stays."""
    stores.lease._ending.set()
    stores.lease._thread.join()
    stores._lock.close()


def contents(spec):
    """All rows of the storage, and all files of the study."""
    with sqlite3.connect(spec.stores.storage.removeprefix("sqlite:///")) as connection:
        return list(connection.iterdump()), sorted(Path(spec.stores.storage_path).rglob("*"))


def trials(spec, name="small"):
    return optuna.load_study(study_name=name, storage=spec.stores.storage).get_trials()


def elsewhere(spec, tmp_path):
    """The same study, whose files go to another folder."""
    return spec.changed(storage_path=str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("host", ["host-a", "host-b"])
@pytest.mark.parametrize("folder", ["the same", "another"])
def test_second_driver_writes_nothing(spec, tmp_path, at, stores, tracker, monkeypatch, host, folder):
    second = spec if folder == "the same" else elsewhere(spec, tmp_path)
    second = prepare(second.changed(trials=9), DATA)
    at(host, process=7, started="7")
    if host == "host-b":  # whose processes this one cannot see: it waits for a heartbeat
        here = Surroundings.here()
        monkeypatch.setattr(Surroundings, "here", lambda: replace(here, sleep=lambda _: stores.lease.beat()))
    before, told = contents(spec), list(tracker.calls)
    with pytest.raises(HeldError, match=r"^small is held by .* \(heartbeat \d+ s ago\); --take-over takes it from"):
        StudyStores(second)
    after = contents(spec)
    assert [line for line in after[0] if "heartbeat" not in line] == [
        line for line in before[0] if "heartbeat" not in line
    ]
    assert after[1] == before[1]
    assert tracker.calls == told
    assert not (tmp_path / "elsewhere").exists()
    stores.lease.check()


def test_dead_driver_of_this_host_is_followed_at_once(spec, prepared, tracker, at):
    at("host-a", process=2**22 + 1, started="gone")
    first = StudyStores(prepared)
    die(first)
    slept = at("host-a")
    second = StudyStores(prepared)
    assert (second.uid, slept) == (first.uid, [])
    second.close()


def test_dead_driver_of_another_host_is_followed_when_its_heartbeat_has_ended(prepared, tracker, at):
    at("host-b")
    die(StudyStores(prepared))
    slept = at("host-a")
    StudyStores(prepared).close()
    assert ENDED_SECONDS <= sum(slept) < ENDED_SECONDS + 2


def test_driver_from_which_the_study_was_taken_stops_and_writes_nothing(spec, tmp_path, study, tracker, at, screen):
    other, taken = elsewhere(spec, tmp_path), []

    def take_over(stage, number, epoch):
        if len(study.trained) == 5:
            at("host-b")
            taken.append(StudyStores(prepare(other, DATA), permitted=FORCE))
            taken.append((contents(spec)[0], len(tracker.calls)))

    study.after_epoch = take_over
    with pytest.raises(LostError, match=r"^alice on host-b, process \d+ has taken the study over at \d\d:\d\d; this"):
        driver.run(spec)
    second, (rows, told) = taken
    assert contents(spec)[0] == rows
    assert {name for name, *_ in tracker.calls[told:]} & {"interrupted", "close", "study_finished"} == set()
    assert tracker.calls[-1][0] == "abandon"
    assert study.connections[-1] == "end"
    unfinished = [t.number for t in trials(spec) if not t.state.is_finished()]
    assert unfinished
    second.lease.check()
    second.close()

    study.after_epoch = lambda *_: None
    study.trained.clear()
    at("host-b")
    assert driver.run(other) == 0
    assert [t.state.name for t in trials(spec)] == ["COMPLETE"] * 4
    assert set(unfinished) <= {number for stage, number, _ in study.trained if stage == "search"}
    assert [t.number for t in trials(spec)] == [0, 1, 2, 3]


def test_taking_over_from_another_folder_leaves_the_driver_alone(spec, tmp_path, at, stores):
    stores.search.ask()
    with pytest.raises(UsageError, match=r"not here but in .*: run the same .*; --move-here goes on"):
        StudyStores(prepare(elsewhere(spec, tmp_path), DATA), permitted=Permissions(take_over=True))
    stores.lease.check()
    with pytest.raises(HeldError, match="--take-over takes it from there"):
        StudyStores(prepare(elsewhere(spec, tmp_path), DATA), permitted=Permissions(move_here=True))
    stores.lease.check()


def test_driver_of_the_same_folder_waits_until_the_other_has_stopped(spec, study, tracker, at, monkeypatch):
    opened, errors = [], []

    def second():
        try:
            opened.append(StudyStores(prepare(spec, DATA), permitted=FORCE))
        except BaseException as error:
            errors.append(error)

    def owner():
        entries = holding.entries(stores_module.lease.connect(spec.stores.storage), "small")
        return entries[max(entries)].owner if entries else None

    thread = threading.Thread(target=second)

    def take_over(stage, number, epoch):
        if len(study.trained) == 5:
            at("host-a", process=7, started="7")
            first = owner()
            thread.start()
            while owner() == first:
                pass

    study.after_epoch = take_over
    with pytest.raises(LostError):
        driver.run(spec)
    thread.join(60)
    assert errors == []
    opened[0].lease.check()
    opened[0].close()


def test_checkpoints_of_a_study_that_was_lost_are_not_deleted(spec, prepared, tracker, at, tmp_path):
    first = StudyStores(prepared)
    folder = first.trial_folder("search", 1)
    checkpoint.save(folder, 1, {}, {})
    second = StudyStores(prepare(elsewhere(spec, tmp_path), DATA), permitted=FORCE)
    with pytest.raises(LostError):
        first.lease.check()
    first.remove(folder)
    first.close()
    assert list(Path(folder).iterdir())
    second.close()


def test_run_ids_that_arrive_late_are_left_to_the_new_owner(spec, prepared, tracker, at, tmp_path):
    first = StudyStores(prepared)
    second = StudyStores(prepare(elsewhere(spec, tmp_path), DATA), permitted=FORCE)
    [(_, settings), _] = tracker.named("Tracker")
    settings["on_run_id"]("3", "bb", "7")
    assert "trial-00003.mlflow_run_id" not in second.search.user_attrs
    first.close()
    second.close()


def test_study_is_free_again_however_a_start_ends(spec, prepared, tracker, at, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no tracker")

    with monkeypatch.context() as patch:
        patch.setattr(stores_module, "Tracker", broken)
        with pytest.raises(RuntimeError, match="no tracker"):
            StudyStores(prepared)
    names = optuna.get_all_study_names(spec.stores.storage)
    assert names == ["small"]


def test_lease_is_gone_at_the_end_of_a_study(spec, study, at):
    assert driver.run(spec) == 0
    assert optuna.get_all_study_names(spec.stores.storage) == ["small", "small/finals"]
    assert driver.run(spec) == 0
    assert optuna.load_study(study_name="small", storage=spec.stores.storage).user_attrs["owner"]["generation"] == 2

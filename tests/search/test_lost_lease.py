"""Heartbeats of an owner, and what becomes of one that has lost its study."""

from __future__ import annotations

import signal
import threading

import optuna
import pytest
from optuna.storages import InMemoryStorage

from sepray.search import holding
from sepray.search import lease as lease_module
from sepray.search.guard import guard
from sepray.search.lease import LostError

from .world import names


def test_owner_that_comes_back_after_its_follower_has_ended_has_lost_too(connection, world):
    first = world.take(connection(), process=1)
    world.take(connection(), process=2, force=True).release()
    third = world.take(connection(), process=3)  # with the same generation, and perhaps the same row, as the first
    with pytest.raises(LostError, match=r"alice on host-a, process 3|another driver has taken"):
        first.check()
    third.check()


def test_writes_of_a_driver_that_lost_the_study_are_refused(connection, world):
    storage = connection()
    if storage is connection():
        pytest.skip("one object in memory: the drivers cannot be told apart")
    first = world.take(connection(), process=1)
    guard(storage, first.check)
    study = optuna.create_study(storage=storage, study_name="small")
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    world.take(connection(), process=2, force=True)
    for write in (
        lambda: study.tell(trial, 1.0),
        lambda: study.ask(),
        lambda: study.set_user_attr("spec", "other"),
        lambda: trial.report(1.0, 1),
        lambda: trial.set_user_attr("outcome", "complete"),
        lambda: study.enqueue_trial({"x": 0.5}),
        lambda: optuna.create_study(storage=storage, study_name="small/finals"),
        lambda: optuna.delete_study(study_name="small", storage=storage),
    ):
        with pytest.raises(LostError):
            write()
    [kept] = optuna.load_study(study_name="small", storage=connection()).get_trials()
    assert (kept.state.name, kept.values, kept.user_attrs, kept.intermediate_values) == ("RUNNING", None, {}, {})
    assert "small/finals" not in names(connection())


def test_loss_interrupts_the_main_thread_and_is_what_ends_it(connection, world, monkeypatch, request):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.01)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run with Ctrl-C ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    first = world.take(connection(), process=1)

    def drive():
        with first.interrupt_when_lost():
            world.take(connection(), process=2, host="host-b", force=True)
            threading.Event().wait(30)

    with pytest.raises(LostError, match="bob on host-b"):
        drive()
    first._thread.join(10)
    assert not first._thread.is_alive()
    assert not first._interrupts  # what follows the block is not interrupted


def test_heartbeats_are_written_by_a_thread_until_the_end(connection, world, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.001)
    first, storage, seen = world.take(connection()), connection(), set()
    while len(seen) < 4:
        seen |= {entry.beat[0] for entry in holding.entries(storage, "small").values()}
    first.release()
    assert not holding.entries(storage, "small")


def test_storage_that_fails_for_a_while_ends_no_heartbeat(world, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.001)
    storage = InMemoryStorage()
    first, fails, again = world.take(storage), threading.Event(), threading.Event()
    whole = storage.set_study_user_attr

    def failing(*args):
        if not again.is_set():
            fails.set()
            raise optuna.exceptions.StorageInternalError("locked")
        whole(*args)

    monkeypatch.setattr(storage, "set_study_user_attr", failing)
    assert fails.wait(10)
    before = first._beats
    again.set()
    while first._beats < before + 3:
        pass
    first.release()

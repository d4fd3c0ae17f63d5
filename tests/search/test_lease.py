"""The lease of a study: one driver takes it, keeps the others out and gives it free, on every kind of storage."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from dataclasses import replace

import optuna
import pytest
from optuna.storages import InMemoryStorage

from sepray.search import holding
from sepray.search import lease as lease_module
from sepray.search.holding import LAST_OWNER, HeldError
from sepray.search.lease import LostError, held, take
from sepray.search.storage import connect

from .world import names


def test_first_owner_holds_until_it_gives_the_study_free(connection, world):
    first = world.take(connection())
    first.check()
    world.passed = 5.0
    first.beat()
    world.passed = 8.0
    with pytest.raises(HeldError, match=r"^small is held by alice on host-a, process 1, since \d\d:\d\d") as held:
        world.take(connection(), process=2)
    assert str(held.value).endswith(" (heartbeat 3 s ago)")
    first.check()
    first.release()
    with pytest.raises(LostError, match=r"^this driver has released the study$"):
        first.check()
    second = world.take(connection(), process=2)
    second.check()
    second.release()
    assert not [name for name in names(connection()) if name.startswith("small")], "nothing of it stays"


def test_studies_do_not_keep_each_other_out(connection, world):
    leases = [world.take(connection(), name, process=1) for name in ("small", "smaller", "small-2")]
    for lease in leases:
        lease.check()


def test_take_over_ends_an_owner_that_is_alive(connection, world):
    first = world.take(connection(), process=1)
    second = world.take(connection(), process=2, host="host-b", force=True)
    second.check()
    for _ in range(2):
        with pytest.raises(LostError, match=r"^bob on host-b, process 2 has taken the study over at \d\d:\d\d; this"):
            first.check()
    with pytest.raises(LostError):
        first.beat()
    assert (first.is_lost, second.is_lost) == (True, False)
    first.release()
    second.check()
    assert [name for name in names(connection()) if "small" in name] == ["small/lease/2"]


def test_take_over_waits_for_writes_under_way_of_an_owner_that_may_be_alive(world):
    storage = InMemoryStorage()
    world.take(storage, process=1)
    world.take(storage, process=2, force=True)
    assert world.passed == 2.0
    del world.alive[2]
    world.take(storage, process=3, force=True)
    assert world.passed == 2.0  # it has ended: nothing can arrive
    world.take(storage, process=4, host="host-b", force=True)
    assert world.passed == 4.0  # nobody can say from there


def test_generations_go_on_where_the_last_owner_that_wrote_has_ended(connection, world):
    storage = connection()
    number = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "small")
    first = world.take(connection())
    storage.set_study_user_attr(number, LAST_OWNER, replace(first.owner, generation=41).plain())
    first.release()
    assert world.take(connection()).owner.generation == 42


def test_heartbeat_that_arrives_while_the_entry_is_made_keeps_the_owner(connection, world, monkeypatch):
    first = world.take(connection(), process=1, host="host-b")
    create = lease_module._create

    def late(*args):
        created = create(*args)
        first.beat()  # a storage that was locked for a minute lets both write
        return created

    monkeypatch.setattr(lease_module, "_create", late)
    with pytest.raises(HeldError, match="held by bob on host-b, process 1"):
        world.take(connection(), process=2)
    first.check()
    assert [name for name in names(connection()) if "small" in name] == ["small/lease/1"]


def test_driver_that_was_slow_gives_way_to_a_greater_generation(connection, world, monkeypatch):
    create, there = lease_module._create, []

    def overtaken(storage, name, generation, here):
        if not there:  # before this one writes, another is taken over by a third, whose generation is greater
            there.append(create(storage, name, generation + 1, world.process(5)))
        return create(storage, name, generation, here)

    monkeypatch.setattr(lease_module, "_create", overtaken)
    with pytest.raises(HeldError, match="held by alice on host-a, process 5"):
        world.take(connection(), process=2)
    there[0].check()


def test_block_that_is_no_driver_owns_the_study_meanwhile(url, world, monkeypatch):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.05)  # after which a driver elsewhere is seen to live
    monkeypatch.setattr(holding, "_POLL_SECONDS", 0.05)
    with held(url, "small"), pytest.raises(HeldError, match="small is held by"):
        take(connect(url), "small")
    driver = world.take(connect(url))
    with pytest.raises(HeldError, match="small is held by alice on host-a, process 1"), held(url, "small"):
        pass
    driver.check()
    said = []
    with pytest.raises(HeldError, match=r" s ago\); ask alice$"):
        lease_module.take_at(url, "small", False, said.append, "; ask alice")
    assert [text.partition(",")[0] for text in said] == ["small: waiting up to 45 s"]
    monkeypatch.setattr(lease_module, "_SETTLE_SECONDS", 0.0)
    lease_module.take_at(url, "small", True, said.append).release()
    with pytest.raises(LostError):
        driver.check()


def _race(storages, rounds, barrier, queue):
    """Take the lease of one study after another, each at the same moment as the other processes do."""
    signal.alarm(120)
    storage = connect(storages)
    won = []
    for number in range(rounds):
        barrier.wait()
        lease = None
        with contextlib.suppress(HeldError):
            lease = take(storage, f"study-{number}")
            lease.check()
            won.append(number)
        barrier.wait()  # all have tried
        if lease is not None and number % 2:
            lease.release()
    queue.put(won)
    os._exit(0)  # the even studies are left held, as by a kill


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_of_processes_that_start_at_once_exactly_one_wins(kind, tmp_path, url):
    address = url if kind == "sqlite" else f"journal://{tmp_path}/journal.log"
    connect(address)
    context, count, rounds = multiprocessing.get_context("fork"), 6, 10
    for attempt in range(2):  # of the second one, half of the studies are held by processes that have died
        barrier, queue = context.Barrier(count), context.SimpleQueue()
        racers = [context.Process(target=_race, args=(address, rounds, barrier, queue)) for _ in range(count)]
        for racer in racers:
            racer.start()
        won = [number for _ in racers for number in queue.get()]
        for racer in racers:
            racer.join()
        assert sorted(won) == list(range(rounds)), attempt
    left = [name for name in names(connect(address)) if "/lease/" in name]
    assert sorted(left) == [f"study-{number}/lease/2" for number in range(0, rounds, 2)]

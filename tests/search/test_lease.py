"""The lease of a study: one driver owns it, on every kind of storage; with clocks and processes that tests command."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field, replace

import grpc
import optuna
import pytest
from optuna.storages import GrpcStorageProxy, InMemoryStorage
from optuna.storages._grpc import servicer
from optuna.storages._grpc.auto_generated import api_pb2_grpc
from optuna.study import StudyDirection

from sepray.errors import StorageError
from sepray.search import holding
from sepray.search import lease as lease_module
from sepray.search.guard import guard
from sepray.search.holding import ENDED_SECONDS, LAST_OWNER, HeldError
from sepray.search.lease import LostError, held, take
from sepray.search.owner import Owner, Surroundings
from sepray.search.storage import connect

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class World:
    """Two machines whose clocks differ, the processes that run on them, and the drivers that were started."""

    alive: dict[int, str] = field(default_factory=lambda: {number: f"start {number}" for number in range(1, 9)})
    passed: float = 0.0
    meanwhile: Callable[[], None] = lambda: None
    taken: list[lease_module.Lease] = field(default_factory=list)

    def process(self, number: int, host: str = "host-a", ahead: float = 0.0) -> Surroundings:
        """Return a process of a host whose clock is some seconds ahead."""
        return Surroundings(
            user="alice" if host == "host-a" else "bob",
            host=host,
            machine=host,
            process=number,
            started=f"start {number}",
            start_of=lambda process: self.alive.get(process, ""),
            now=lambda: 1_800_000_000 + self.passed + ahead,
            monotonic=lambda: self.passed,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.meanwhile()

    def take(self, storage, name="small", process=1, host="host-a", ahead=0.0, **settings) -> lease_module.Lease:
        self.taken.append(take(storage, name, here=self.process(process, host, ahead), **settings))
        return self.taken[-1]


@pytest.fixture
def world():
    world = World()
    yield world
    for lease in world.taken:
        lease._ending.set()


@pytest.fixture(params=["sqlite", "journal", "memory", "grpc"])
def connection(request, tmp_path, url):
    """Return a function that opens the storage anew, as each process does; in memory there is only one."""
    if request.param == "sqlite":
        yield lambda: connect(url)
    elif request.param == "journal":
        yield lambda: connect(f"journal://{tmp_path}/journal.log")
    else:
        memory = InMemoryStorage()
        if request.param == "memory":
            yield lambda: memory
            return
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        api_pb2_grpc.add_StorageServiceServicer_to_server(servicer.OptunaStorageProxyService(memory), server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield lambda: GrpcStorageProxy(host="localhost", port=port)
        server.stop(None)


def names(storage):
    return [study.study_name for study in storage.get_all_studies()]


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
    with pytest.raises(LostError, match=r"^this driver has given the study free$"):
        first.check()
    second = world.take(connection(), process=2)
    second.check()
    second.release()
    assert not [name for name in names(connection()) if name.startswith("small")], "nothing of it stays"


def test_studies_do_not_keep_each_other_out(connection, world):
    leases = [world.take(connection(), name, process=1) for name in ("small", "smaller", "small-2")]
    for lease in leases:
        lease.check()


def test_dead_owner_of_the_same_machine_is_followed_at_once(connection, world):
    world.take(connection(), process=1)
    del world.alive[1]
    later = world.take(connection(), process=2)
    assert (later.owner.generation, world.passed) == (2, 0.0)
    assert [name for name in names(connection()) if "small" in name] == ["small/lease/2"]


def test_process_number_that_was_given_again_is_no_owner(connection, world):
    world.take(connection(), process=1)
    world.alive[1] = "a later start"
    assert world.take(connection(), process=2).owner.generation == 2


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 7200.0])
def test_owner_elsewhere_without_heartbeat_is_followed_after_a_while_whatever_the_clocks_say(connection, world, ahead):
    world.take(connection(), process=1, host="host-b", ahead=ahead)
    said = []
    later = world.take(connection(), process=2, say=said.append)
    assert ENDED_SECONDS <= world.passed < ENDED_SECONDS + 2
    assert later.owner.generation == 2
    until = time.strftime("%H:%M:%S", time.localtime(1_800_000_045))
    assert said == [f"small: waiting up to 45 s, until {until}, for a heartbeat of bob on host-b, process 1"]


def test_driver_that_was_killed_before_it_said_who_it_is_is_told_and_waited_for(connection, world):
    connection().create_new_study([StudyDirection.MINIMIZE], "small/lease/1")
    said, whens = [], []
    later = world.take(connection(), process=2, say=lambda text: (said.append(text), whens.append(world.passed)))
    assert ENDED_SECONDS <= world.passed < ENDED_SECONDS + 2
    assert later.owner.generation == 2
    until = time.strftime("%H:%M:%S", time.localtime(1_800_000_045))
    assert said == [f"small: waiting up to 45 s, until {until}, for a driver that began and has not said which"]
    assert 1.0 <= whens[0] < 1.1


@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
def test_owner_elsewhere_whose_heart_beats_is_waited_for_no_longer_than_a_beat(connection, world, ahead):
    first = world.take(connection(), process=1, host="host-b", ahead=ahead)
    world.meanwhile = lambda: first.beat() if world.passed == 10 else None
    shown = rf"held by bob on host-b, process 1, since .* \(heartbeat {7200 if ahead < 0 else 0} s ago\)$"
    with pytest.raises(HeldError, match=shown):
        world.take(connection(), process=2)
    assert world.passed == 10
    first.check()


def test_owner_elsewhere_that_gives_the_study_free_meanwhile_is_followed_at_once(connection, world):
    first = world.take(connection(), process=1, host="host-b")
    world.meanwhile = lambda: first.release() if world.passed == 3 else None
    world.take(connection(), process=2).check()
    assert world.passed == 3


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


def test_owner_that_comes_back_after_its_follower_has_ended_has_lost_too(connection, world):
    first = world.take(connection(), process=1)
    world.take(connection(), process=2, force=True).release()
    third = world.take(connection(), process=3)  # with the same generation, and perhaps the same row, as the first
    with pytest.raises(LostError, match=r"alice on host-a, process 3|another driver has taken"):
        first.check()
    third.check()


def test_generations_go_on_where_the_last_owner_that_wrote_has_ended(connection, world):
    storage = connection()
    number = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "small")
    first = world.take(connection())
    storage.set_study_user_attr(number, LAST_OWNER, replace(first.owner, generation=41).plain())
    first.release()
    assert world.take(connection()).owner.generation == 42


def test_entry_that_its_driver_has_not_filled_in_is_waited_for(connection, world):
    storage = connection()
    number = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "small/lease/1")
    owner = Owner(1, "ab", "bob", "host-a", "host-a", 2, "start 2", 0.0)
    world.meanwhile = lambda: storage.set_study_user_attr(number, "owner", owner.plain())
    with pytest.raises(HeldError, match="held by bob on host-a, process 2"):
        world.take(connection())
    assert 0 < world.passed < 1


def entry_of_another(storage, number="1", **attributes):
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], f"small/lease/{number}")
    for name, value in attributes.items():
        storage.set_study_user_attr(study_id, name, value)
    return study_id


@pytest.mark.parametrize("beat", ["x", 5, [1], [1, "x"], [1, 1e300], [1, None], {"1": 2}, True])
def test_heartbeat_that_others_have_written_is_passed_over_in_words(world, beat):
    storage = InMemoryStorage()
    entry_of_another(
        storage, owner=Owner(1, "t", "bob", "h", "host-a", 2, "start 2", 1.8e9 - 7).plain(), heartbeat=beat
    )
    with pytest.raises(HeldError, match=r"small is held by bob on h, process 2, since .* \(heartbeat 7 s ago\)"):
        world.take(storage)


@pytest.mark.parametrize("owner", ["x", 5, [1], {"token": "t"}])
def test_entry_whose_owner_others_have_written_is_followed_unless_its_heart_beats(world, owner):
    storage = InMemoryStorage()
    study_id = entry_of_another(storage, owner=owner, heartbeat=[1, 1.0])
    world.meanwhile = lambda: storage.set_study_user_attr(study_id, "heartbeat", [world.passed, 1.0])
    with pytest.raises(HeldError, match="small is being started by another driver"):
        world.take(storage)
    world.meanwhile = lambda: None
    first = world.take(storage)
    storage.set_study_user_attr(first._study_id, "owner", owner)
    with pytest.raises(LostError):
        first.check()


def test_numbers_of_owners_that_cannot_be_are_passed_over_or_refused(world):
    storage = InMemoryStorage()
    for number in ("9" * 480, "\u0663", "0", "01", "-1", "1.5"):
        entry_of_another(storage, number)
    assert world.take(storage).owner.generation == 1
    entry_of_another(storage, "9" * 18)
    with pytest.raises(StorageError, match=r"'small' in its storage has been changed: its number of owners is not as"):
        world.take(storage)


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

"""Signs of life of a study's owner: its process on this machine, its heartbeats from another one."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection

from sepray.errors import StorageError
from sepray.search import holding
from sepray.search.holding import ENDED_SECONDS, LAST_OWNER, HeldError
from sepray.search.lease import LostError
from sepray.search.owner import Owner

from .world import names


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
    assert said == [f"small: waiting up to 45 s, until {until}, for a driver that has not said who it is"]
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


OWNER = Owner(1, "a token", "alice", "host-a", "host-a", 1, "start 1", 1_800_000_000.0)


def test_entries_are_the_studies_whose_names_end_in_a_generation():
    storage = InMemoryStorage()
    for name in ("small/lease/1", "small/lease/12", "small/lease/01", "small/lease/x", "small", "smaller/lease/3"):
        number = storage.create_new_study([StudyDirection.MINIMIZE], name)
    storage.set_study_user_attr(storage.get_study_id_from_name("small/lease/12"), "owner", OWNER.plain())
    storage.set_study_user_attr(storage.get_study_id_from_name("small/lease/12"), "heartbeat", [3, 5.0])
    found = holding.entries(storage, "small")
    assert list(found) == [1, 12]
    assert found[12] == holding.LeaseEntry(12, storage.get_study_id_from_name("small/lease/12"), OWNER, [3, 5.0])
    assert (found[1].owner, found[1].beat) == (None, None)
    assert list(holding.entries(storage, "smaller")) == [3]
    assert number == storage.get_study_id_from_name("smaller/lease/3")


def test_state_changes_with_the_owner_and_with_each_heartbeat():
    entry = holding.LeaseEntry(1, 7, OWNER, [3, 5.0])
    assert entry.state == replace(entry, study_id=8).state
    assert entry.state != replace(entry, beat=[4, 5.0]).state
    assert entry.state != replace(entry, owner=replace(OWNER, token="another")).state


def test_last_owner_is_that_of_the_study_and_none_where_there_is_no_study():
    storage = InMemoryStorage()
    assert holding.last_owner(storage, "small") is None
    study = storage.create_new_study([StudyDirection.MINIMIZE], "small")
    assert holding.last_owner(storage, "small") is None
    storage.set_study_user_attr(study, LAST_OWNER, OWNER.plain())
    assert holding.last_owner(storage, "small") == OWNER


@pytest.mark.parametrize(
    ("host", "process", "started", "ended"),
    [
        ("host-a", 1, "start 1", False),
        ("host-a", 1, "start 5", True),  # another process has its number now
        ("host-a", 99, "start 99", True),
        ("host-b", 1, "start 5", False),  # of another machine nobody knows
    ],
)
def test_process_of_this_machine_alone_is_known_to_have_ended(world, host, process, started, ended):
    owner = replace(OWNER, host=host, machine=host, process=process, started=started)
    assert holding.has_ended(holding.LeaseEntry(1, 7, owner, None), world.process(2)) is ended


def test_entry_without_an_owner_is_not_known_to_have_ended(world):
    assert not holding.has_ended(holding.LeaseEntry(1, 7, None, None), world.process(2))


@pytest.mark.parametrize(
    ("beat", "ago"),
    [([3, 1_800_000_090.0], 10), (None, 100), ([3], 100), ([3, "now"], 100), ([3, 1_800_000_500.0], 0)],
)
def test_heartbeat_in_words_is_as_old_as_it_says_or_the_ownership(world, beat, ago):
    """A clock that is ahead gives no negative age."""
    world.passed = 100
    words = holding.in_words("small", holding.LeaseEntry(1, 7, OWNER, beat), world.process(2))
    assert words.startswith("small is held by alice on host-a, process 1, since ")
    assert words.endswith(f" (heartbeat {ago} s ago)")


def test_driver_that_has_not_said_who_it_is_in_words(world):
    words = holding.in_words("small", holding.LeaseEntry(1, 7, None, None), world.process(2))
    assert words == "small is being started by another driver"


class Failing(InMemoryStorage):
    """A storage whose deletion fails, before or after its effect."""

    def __init__(self, deletes):
        super().__init__()
        self.deletes = deletes

    def delete_study(self, study_id):
        if self.deletes:
            super().delete_study(study_id)
        raise StorageInternalError("the connection broke")


def test_entry_that_is_gone_needs_no_deletion():
    storage = InMemoryStorage()
    study = storage.create_new_study([StudyDirection.MINIMIZE], "small/lease/1")
    for _ in range(2):
        holding.delete(storage, study)
    assert storage.get_all_studies() == []


@pytest.mark.parametrize("deletes", [True, False])
def test_failure_of_a_deletion_counts_where_the_entry_is_still_there(deletes):
    storage = Failing(deletes)
    study = storage.create_new_study([StudyDirection.MINIMIZE], "small/lease/1")
    with contextlib.nullcontext() if deletes else pytest.raises(StorageInternalError):
        holding.delete(storage, study)

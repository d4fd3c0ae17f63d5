"""Who owns a study: how an owner is stored and said, and whether its process still exists."""

import getpass
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sepray.search import owner as owner_module
from sepray.search.owner import Owner, Surroundings, start_of

OWNER = Owner(3, "ab", "alice", "host-a", "host-a boot", 2, "77", 0.0)


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("since", "now", "words"),
    [
        (1_800_000_000, 1_800_000_060, "08:00"),
        (1_800_000_000, 1_800_000_000 + 43_199, "08:00"),
        (1_800_000_000, 1_800_000_000 + 43_200, "2027-01-15 08:00"),
        (1_800_000_000, 1_800_000_000 - 43_200, "2027-01-15 08:00"),  # its clock is ahead
    ],
)
def test_time_of_an_owner_has_its_date_where_that_is_not_near(utc, since, now, words):
    assert replace(OWNER, since=since).since_in_words(now) == words


def surroundings(**changes):
    starts = {2: "77", 3: "88"}
    given = {"user": "bob", "host": "host-a", "machine": "host-a boot", "process": 3, "started": "88"}
    return Surroundings(**given | {"start_of": lambda process: starts.get(process, "")} | changes)


@pytest.mark.parametrize(
    ("changes", "exists"),
    [
        ({}, True),
        ({"started": "76"}, False),  # another process has its number now
        ({"process": 9}, False),
        ({"process": 9, "started": ""}, False),  # nothing is known of either
        ({"machine": "host-b boot"}, None),
    ],
)
def test_process_exists_where_number_start_and_machine_are_the_same(changes, exists):
    assert surroundings().exists(replace(OWNER, **changes)) is exists


def test_surroundings_are_those_of_this_process(monkeypatch):
    here = Surroundings.here()
    assert (here.user, here.host, here.process) == (getpass.getuser(), platform.node(), os.getpid())
    assert here.started == start_of(os.getpid()) != ""
    assert here.start_of(os.getpid()) == here.started
    assert (here.now, here.monotonic, here.sleep) == (time.time, time.monotonic, time.sleep)
    boot, space = Path("/proc/sys/kernel/random/boot_id"), os.readlink("/proc/self/ns/pid")
    assert here.machine == f"{platform.node()} {boot.read_text().strip()} {space}"
    monkeypatch.setattr(getpass, "getuser", lambda: {}["nobody"])  # a number without a name
    assert Surroundings.here().user == ""


def test_machine_without_a_proc_file_system_is_its_host(monkeypatch):
    def missing(*given):
        raise FileNotFoundError(given)

    monkeypatch.setattr(owner_module.Path, "read_text", missing)
    monkeypatch.setattr(os, "readlink", missing)
    assert owner_module._machine() == platform.node()


def test_start_is_the_twenty_second_field_whatever_the_programs_name(monkeypatch):
    others = " ".join(str(number) for number in range(4, 53))
    for state, start in (("S", "22"), ("R", "22"), ("Z", ""), ("X", "")):
        text = f"7 (a b) c) {state} {others}\n"
        monkeypatch.setattr(owner_module.Path, "read_text", lambda path, text=text: text)
        assert start_of(7) == start


def test_start_of_a_process_is_its_own_and_ends_with_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = start_of(child.pid)
    assert began
    assert (began, Surroundings.here().started) == (start_of(child.pid), start_of(os.getpid()))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_of(child.pid) == "", "a process that nobody has waited for yet has ended all the same"
    child.wait()
    assert start_of(child.pid) == ""


def test_without_a_proc_file_system_psutil_is_asked(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(owner_module.Path, "read_text", missing)
    assert start_of(os.getpid()) == f"{psutil.Process().create_time():.0f}"
    assert start_of(2**22 + 1) == ""
    monkeypatch.setattr(psutil.Process, "status", lambda process: psutil.STATUS_ZOMBIE)
    assert start_of(os.getpid()) == ""


def test_description_of_another_kind_is_no_owner():
    assert Owner.restored(None) is None
    assert Owner.restored({"generation": 1}) is None
    owner = Owner(1, "ab", "", "host-a", "m", 2, "s", 0.0)
    assert Owner.restored({**owner.plain(), "outbox": "cd"}) == owner
    assert str(owner) == "somebody on host-a, process 2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("generation", "process")
            for value in ("9", None, 1e300, 2.0, True, -1, 10**30, [1])
        ),
        *(("since", value) for value in ("x", None, 1e300, float("nan"), -1.0, True)),
        *((name, value) for name in ("token", "user", "host", "machine", "started") for value in (5, None, ["a"])),
    ],
)
def test_value_that_sepray_does_not_write_is_no_owners(name, value):
    owner = Owner(1, "ab", "", "host-a", "m", 2, "s", 0.0)
    assert Owner.restored({**owner.plain(), name: value}) is None

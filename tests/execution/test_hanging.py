"""A trial that hangs is told once, with its worker; a worker whose epoch takes too long ends itself."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from sepray.execution import hanging
from sepray.execution.hanging import HangWatch, time_limit


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def watched():
    """A watch with a clock that is set, and what it has told."""
    clock, told = Clock(), []
    watch = HangWatch(told.append, clock)

    def at(seconds, *trials):
        clock.now = seconds
        watch.on_step_end(0, list(trials))
        return [(hang.number, hang.seconds) for hang in told]

    return SimpleNamespace(watch=watch, clock=clock, told=told, at=at)


def trial(number, pid=7, status=Trial.RUNNING):
    state = SimpleNamespace(location=SimpleNamespace(pid=pid, hostname="10.0.0.1" if pid else None), ray_actor=None)
    return SimpleNamespace(trial_id=f"t{number}", config={"number": number}, status=status, temporary_state=state)


def report(watched, seconds, trial, took):
    watched.clock.now = seconds
    watched.watch.on_trial_result(0, [trial], trial, {"epoch_seconds": took})


def test_epoch_is_told_once_after_a_minute(watched):
    first, second = trial(1), trial(2, pid=None)
    for each in (first, second):
        watched.watch.on_trial_start(0, [], each)
        report(watched, 10.0, each, took=2.0)
    report(watched, 40.0, second, took=2.0)
    assert watched.at(70.0, first, second) == []
    assert watched.at(71.0, first, second) == [(1, 61.0)]
    assert watched.at(90.0, first, second) == [(1, 61.0)]
    assert watched.at(101.0, first, second) == [(1, 61.0), (2, 61.0)]
    one, other = watched.told
    assert (one.usual, one.pid, one.node) == (2.0, 7, "10.0.0.1")
    assert (other.pid, other.node) == (None, "")
    report(watched, 110.0, first, took=100.0)  # it goes on, and hangs again
    assert watched.at(171.0, first)[2:] == [(1, 61.0)]


def test_worker_is_the_one_that_ray_knows(monkeypatch):
    known = {"ab": {"Pid": "9", "Address": {"IPAddress": "10.0.0.2"}}}
    monkeypatch.setattr(hanging.ray._private.state, "actors", known.__getitem__)
    one, new = trial(1), trial(2)
    for each, number in ((one, "ab"), (new, "cd")):
        each.temporary_state.ray_actor = SimpleNamespace(_actor_id=SimpleNamespace(hex=lambda number=number: number))
    assert hanging._worker(one) == (9, "10.0.0.2")
    assert hanging._worker(new) == (7, "10.0.0.1")


def test_slow_epochs_are_no_hang(watched):
    slow = trial(1)
    for _ in range(3):
        report(watched, 0.0, slow, took=30.0)
    assert watched.at(300.0, slow) == []
    assert watched.at(302.0, slow) == [(1, 302.0)]


def test_last_fifty_epochs_say_what_is_usual(watched):
    first = trial(1)
    for took in [99.0] * 26 + [1.0] * 25:  # of fifty, half take long
        report(watched, 0.0, first, took)
    assert watched.at(500.0, first) == []
    assert watched.at(500.9, first) == []  # it looks once a second
    assert watched.at(501.0, first) == [(1, 501.0)]
    assert watched.told[0].usual == 50.0


def test_result_without_a_duration_is_heard_and_counts_for_nothing(watched):
    first = trial(1)
    watched.clock.now = 5.0
    watched.watch.on_trial_result(0, [first], first, {})
    assert watched.at(605.0, first) == []
    assert watched.at(606.0, first) == [(1, 601.0)]
    assert watched.told[0].usual is None


def test_nothing_is_kept_for_tune(watched):
    assert watched.watch.__getstate__() == {}


def test_first_epoch_of_all_has_ten_minutes(watched):
    watched.watch.on_trial_start(0, [], first := trial(1))
    assert watched.at(600.0, first) == []
    assert watched.at(602.0, first) == [(1, 602.0)]
    assert watched.told[0].usual is None


def test_trial_that_waits_hangs_not(watched):
    paused = trial(1, status=Trial.PAUSED)
    report(watched, 0.0, paused, took=1.0)
    assert watched.at(100.0, paused) == []
    paused.status = Trial.RUNNING
    assert watched.at(102.0, paused) == []
    assert watched.at(163.0, paused) == [(1, 61.0)]


PROGRAM = """
import ctypes, time
from sepray.execution.hanging import time_limit
with time_limit(5):
    pass
print("went on", flush=True)
with time_limit(0):
    time.sleep(0.1)
with time_limit(0.2):
    ctypes.PyDLL(None).usleep(20_000_000)  # keeps the interpreter's lock
print("never")
"""


def test_worker_ends_itself_even_where_the_interpreter_is_held():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.returncode) == ("went on\n", 1)
    assert "Timeout" in done.stderr
    assert "most recent call first" in done.stderr


def test_no_limit_arms_nothing(monkeypatch):
    import faulthandler

    armed = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *given, **named: armed.append((given, named)))
    with time_limit(0):
        pass
    assert armed == []
    with time_limit(3):
        pass
    assert armed == [((3,), {"exit": True, "file": 2})]  # the worker's own file, whatever Ray puts into sys.stderr

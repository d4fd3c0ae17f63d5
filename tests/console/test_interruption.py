"""Signals end a command with their own status, however it ended; real processes get real signals."""

import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from sepray.console import interruption
from sepray.console.interruption import Interrupted, installed, installed_again, of_status, status_of

COMMAND = """
import signal, sys, time
from sepray.console.exit_status import exit_with_status
{before}
def job(arguments):
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        print("flushed", flush=True)
        {after}
exit_with_status("program", job, [])
"""
PATIENT = "time.sleep(2.5); print('twice', flush=True); time.sleep(30)"


def started(before="", after="pass"):
    """Start a command that waits, and then does ``after`` on its way out."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(before=before, after=after)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", interruption.SIGNALS, ids=lambda number: number.name)
def test_each_signal_unwinds_and_has_its_own_status(number):
    process = started()
    process.send_signal(number)
    assert process.communicate() == ("flushed\n", "program: interrupted\n")
    assert process.returncode == 128 + number


def test_same_signal_twice_within_a_second_is_one():
    """timeout signals its command, and then the group that the command is in."""
    process = started(after="time.sleep(0.5); print('whole')")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "flushed\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("whole\n", "program: interrupted\n")
    assert process.returncode == 143


def test_second_signal_ends_at_once():
    process = started(after=PATIENT)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "flushed\n"
    assert process.stdout.readline() == "twice\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate() == ("", "a second signal: ended at once\n")
    assert process.returncode == 129


SWALLOWS = """
class Dying:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
"""


def test_signal_that_arrives_where_python_ignores_errors_is_raised_after_all():
    command = COMMAND.format(before=SWALLOWS, after="pass").replace("time.sleep(30)", "Dying(); time.sleep(30)")
    process = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (process.stdout, process.stderr, process.returncode) == ("ready\nflushed\n", "program: interrupted\n", 143)


def test_signal_that_is_ignored_stays_ignored():
    """Signals are ignored under nohup, and Ctrl-C in the background of a script."""
    process = started(before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[0] == "flushed\n"
    assert process.returncode == 130


@pytest.fixture
def handlers(monkeypatch):
    """The handlers of this process, which are given back."""
    monkeypatch.setattr(interruption, "_received", [])
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    for number in interruption.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


def test_handlers_of_a_program_are_given_back(handlers):
    with pytest.raises(Interrupted, match="SIGTERM"), installed():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == [signal.SIG_DFL] * 3
    with pytest.raises(Interrupted, match="SIGHUP"), installed():  # counts as the first again
        signal.raise_signal(signal.SIGHUP)


def test_signal_that_was_swallowed_is_sent_again_by_a_thread_that_nothing_waits_for(handlers, monkeypatch):
    timers = []

    class Timer(threading.Timer):
        def start(self):
            timers.append((self.function, self.args, self.daemon))

    monkeypatch.setattr(threading, "Timer", Timer)
    interruption._received.append((0.0, 15))
    interruption._swallowed(SimpleNamespace(exc_value=Interrupted(signal.SIGTERM)))
    assert timers == [(signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM), True)]
    assert interruption._received == []


def terminated():
    signal.raise_signal(signal.SIGTERM)


def test_handler_that_a_library_replaces_is_installed_again(handlers):
    with installed():
        with installed_again():
            signal.signal(signal.SIGTERM, lambda number, frame: None)
        with pytest.raises(Interrupted):
            terminated()


def test_library_whose_handler_exits_is_interrupted(handlers):
    """Ray's own handlers exit with status 1, or 15."""

    def starting():
        with installed_again():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
            terminated()

    with installed():
        with pytest.raises(Interrupted, match="SIGTERM"):
            starting()
        assert signal.getsignal(signal.SIGTERM) is interruption._handle


def test_nothing_is_installed_where_nothing_was(handlers):
    with installed_again():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_other_threads_have_no_handlers(handlers):
    ran = []

    def run():
        with installed(), installed_again():
            ran.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [True]


def test_status_is_that_of_the_signal(handlers):
    assert interruption.STATUSES == {129: "SIGHUP", 130: "SIGINT", 143: "SIGTERM"}
    assert [status_of(of_status(status)) for status in interruption.STATUSES] == list(interruption.STATUSES)
    assert status_of(KeyboardInterrupt()) == 130


def test_plain_interruption_has_the_status_of_the_signal_that_was_received(handlers):
    """While it waits in C++, Ray raises a KeyboardInterrupt of its own."""
    with installed():
        with pytest.raises(Interrupted):
            terminated()
        assert status_of(KeyboardInterrupt()) == 143
    assert status_of(KeyboardInterrupt()) == 130

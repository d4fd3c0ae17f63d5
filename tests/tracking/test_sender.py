"""The process that delivers, without a process: what it is given, how long it waits, and when it ends."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from sepray.tracking import sender
from sepray.tracking.calls import UnavailableError
from sepray.tracking.outbox import RunKey

SETTINGS = {"uri": "http://host", "interval": 5.0, "longest_wait": 30.0}


class Process:
    """Stands in for a process that never answers and never ends by itself."""

    def __init__(self, command, **settings):
        self.command, self.settings, self.killed = command, settings, False
        self.stdin, self.stdout, self.returncode = io.StringIO(), io.StringIO(), None

    def wait(self, timeout=None):
        if not self.killed:
            raise subprocess.TimeoutExpired("sender", timeout)

    def kill(self):
        self.killed = True


def test_settings_reach_the_process_by_its_standard_input_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sender.subprocess, "Popen", Process)
    monkeypatch.setattr(sender.Sender, "_read", lambda self: None)
    monkeypatch.chdir(tmp_path)
    uri = "http://me:hunter2@host"
    started = sender.Sender(
        tmp_path.relative_to(tmp_path) / "box.db",
        uri,
        interval=3.0,
        longest_wait=7.0,
        on_run_id=lambda *ids: None,
        on_trouble=lambda reason: None,
    )
    process = started._process
    started.send("flush")
    settings, command = process.stdin.getvalue().splitlines()
    given = {"outbox": str(tmp_path.resolve() / "box.db"), "uri": uri, "interval": 3.0, "longest_wait": 7.0}
    assert json.loads(settings) == given
    assert command == "flush"
    assert "hunter2" not in str(process.command)
    assert "hunter2" not in str(process.settings)
    assert process.settings["start_new_session"]  # the terminal's Ctrl-C does not reach it
    started.wait(1.0)
    assert process.killed


def test_a_process_that_is_to_end_at_once_is_not_waited_for_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sender.subprocess, "Popen", Process)
    monkeypatch.setattr(sender.Sender, "_read", lambda self: None)
    nothing = {"on_run_id": lambda *ids: None, "on_trouble": lambda reason: None}
    started = sender.Sender(tmp_path / "box.db", "http://host", interval=1.0, longest_wait=1.0, **nothing)
    waited = []

    def wait(self, timeout):
        waited.append((timeout, self._process.killed, self._closing.is_set(), self._expired.is_set()))

    monkeypatch.setattr(sender.Sender, "wait", wait)
    started.kill()
    assert waited == [(5.0, True, True, True)]


def test_standard_error_is_passed_on_for_last_words_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sender.subprocess, "Popen", Process)
    monkeypatch.setattr(sender.Sender, "_read", lambda self: None)
    nothing = {"on_run_id": lambda *ids: None, "on_trouble": lambda reason: None}

    def start(words):
        started = sender.Sender(
            tmp_path / "box.db", "http://host", interval=1.0, longest_wait=1.0, last_words=words, **nothing
        )
        told = json.loads(started._process.stdin.getvalue().splitlines()[0])
        given = started._process.settings["pass_fds"]
        started.kill()
        return told, given

    told, given = start("it has ended")
    assert told["last_words"] == "it has ended"
    assert given == (told["terminal"],)
    assert told["terminal"] > 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(told["terminal"])  # this process keeps no copy
    assert start("")[1] == ()
    monkeypatch.setattr(sender.os, "dup", lambda number: os.fstat(-1))  # standard error has been closed
    assert start("it has ended")[1] == ()


ENDS_WITHOUT_A_WORD = """
import os, sys
from pathlib import Path
from sepray.tracking.tracker import Tracker
Tracker(Path(sys.argv[1]) / "box.db", "s", uri=f"sqlite:///{sys.argv[1]}/mlflow.db", last_words="it has ended")
os._exit(1)
"""


def test_process_that_ends_without_a_word_is_told_of_in_its_terminal(tmp_path):
    command = [sys.executable, "-c", ENDS_WITHOUT_A_WORD, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=55, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (1, "it has ended\n", "")


class Lines(list):
    def close(self):
        pass


class Mortal:
    """Stands in for a process that says some lines and dies, or ends well once it is told to finish."""

    started: ClassVar[list["Mortal"]] = []
    lives: ClassVar[list[tuple[list[str], int]]] = []

    def __init__(self, command, **settings):
        lines, self._code = self.lives.pop(0) if self.lives else ([], 0)
        self.stdin, self.stdout, self.returncode = self, Lines(lines), None
        self.written = []
        self.started.append(self)

    def write(self, text):
        self.written.append(text.strip())

    def flush(self):
        if self.returncode is not None:
            raise BrokenPipeError(32, "Broken pipe")

    close = flush

    def wait(self, timeout=None):
        self.returncode = self._code

    def kill(self):
        self.returncode = -9


@pytest.fixture
def mortal(monkeypatch):
    Mortal.started, Mortal.lives = [], []
    monkeypatch.setattr(sender.subprocess, "Popen", Mortal)
    monkeypatch.setattr(sender, "RESTART_PAUSES_SECONDS", (0.0, 0.001))

    def start(lives, **callbacks):
        Mortal.lives = list(lives)
        given = {"on_run_id": lambda *ids: None, "on_trouble": lambda reason: None, **callbacks}
        return sender.Sender(Path("box.db"), "http://host", interval=1.0, longest_wait=1.0, **given)

    return start


def run_line(number):
    return json.dumps({"study": "s", "label": str(number), "run_id": f"r{number}", "experiment_id": "e"}) + "\n"


def test_process_that_dies_is_started_again_however_often_it_does(mortal):
    troubles = []
    started = mortal([(["Killed\n"], -9)] * 12, on_trouble=troubles.append)
    while len(Mortal.started) < 13:
        time.sleep(0.001)
    started.send("finish")
    started.wait(5.0)
    assert troubles[:12] == ["the sender ended (-9): Killed"] * 12
    assert not started._reader.is_alive()


def test_process_that_died_before_the_end_is_started_once_more_to_finish(mortal, monkeypatch):
    monkeypatch.setattr(sender, "RESTART_PAUSES_SECONDS", (60.0,))
    started = mortal([([], 1)])
    while Mortal.started[0].returncode is None:
        time.sleep(0.001)
    started.send("finish")
    started.wait(5.0)
    assert len(Mortal.started) == 2
    assert Mortal.started[1].written[-1] == "finish"


def test_process_that_dies_again_and_again_at_the_end_is_given_up_in_time(mortal):
    started = mortal([([], 1)] * 1000)
    started.send("finish")
    started.wait(5.0)
    assert 2 <= len(Mortal.started) <= 6


def test_reader_outlives_a_storage_that_fails_and_tells_the_ids_of_runs_again(mortal):
    heard, failing = [], [True, True]

    def on_run_id(key, run_id, experiment_id):
        if failing and failing.pop():
            raise OSError("database is locked")
        heard.append(run_id)

    def on_trouble(reason):
        raise OSError("nobody listens")

    started = mortal(
        [([run_line(0), "Killed\n"], 1), ([run_line(1), run_line(2)], 0)], on_run_id=on_run_id, on_trouble=on_trouble
    )
    while len(Mortal.started) < 2:
        time.sleep(0.001)
    started.send("finish")
    started.wait(5.0)
    assert heard == ["r0", "r1", "r2"]


def test_reader_that_finds_its_pipe_closed_ends_without_a_traceback():
    """The pipe is closed where a storage is locked for so long that the study has stopped meanwhile."""
    pipe = io.StringIO()
    pipe.close()
    process = SimpleNamespace(stdout=pipe, wait=lambda: None, returncode=0)
    assert sender.Sender._pass_on(object.__new__(sender.Sender), process) == "the sender ended (0): "


def test_id_that_is_being_told_is_not_told_by_another_thread_too(mortal):
    """Two threads tell an id where the storage is locked while the study ends, and the reader still waits for it."""
    heard, begun, free = [], threading.Event(), threading.Event()

    def on_run_id(key, run_id, experiment_id):
        begun.set()
        assert free.wait(5.0)
        heard.append(run_id)

    started = mortal([([run_line(0), run_line(1)], 0)], on_run_id=on_run_id, on_trouble=lambda reason: None)
    assert begun.wait(5.0)
    started._tell_run_ids()
    assert heard == []
    free.set()
    started.send("finish")
    started.wait(5.0)
    assert heard == ["r0", "r1"]
    assert started._untold == []


class Commands:
    """Stands in for the parent: gives its commands one by one, and notes how long it was waited for."""

    def __init__(self, *commands):
        self.commands, self.waited = list(commands), []

    def wait(self, seconds):
        self.waited.append(seconds)
        return self.commands.pop(0)


class Delivery:
    """Stands in for the delivery: each round takes so many operations, or is refused, as listed."""

    def __init__(self, outbox, rounds):
        self.outbox, self.rounds = outbox, list(rounds)

    def __call__(self, outbox, uri, on_run_id):
        on_run_id(RunKey("s", "1"), "r1", "e2")
        return self

    def deliver(self, limit):
        assert limit == sender.OPERATIONS_A_ROUND
        this = self.rounds.pop(0)
        if isinstance(this, Exception):
            raise this
        self.outbox.acknowledge(self.outbox.take(this))
        return this, None


def serve(outbox, monkeypatch, rounds, commands, operations=4, **settings):
    """Run the process's loop; return how long it waited for each command, and its events."""
    for i in range(operations):
        outbox.put(RunKey("s", "1"), "log", {"i": i})
    events, parent = io.StringIO(), Commands(*commands)
    monkeypatch.setattr(sender, "Delivery", Delivery(outbox, rounds))
    monkeypatch.setattr(sender.random, "uniform", lambda low, high: high)
    sender._serve(outbox, SETTINGS | settings, parent, events)
    assert parent.commands == []
    first, *others = [json.loads(line) for line in events.getvalue().splitlines()]
    assert first == {"study": "s", "label": "1", "run_id": "r1", "experiment_id": "e2"}
    return parent.waited, [event["trouble"] for event in others]


def down(reason="down"):
    return UnavailableError(reason)


def test_it_waits_longer_and_longer_while_nobody_answers_but_not_endlessly(outbox, monkeypatch):
    rounds = [down(), down(), down(), down("still down"), down("still down"), 1, 3]
    commands = ["", "", "flush", "", "", "", "end"]
    waited, troubles = serve(outbox, monkeypatch, rounds, commands, longest_wait=6.0)
    assert waited == [1.0, 2.0, 4.0, 6.0, 6.0, 5.0, 5.0]
    assert troubles == ["down", "still down", None]  # each once


def test_an_answer_makes_the_next_wait_a_short_one_again(outbox, monkeypatch):
    waited, troubles = serve(outbox, monkeypatch, [down(), down(), 1, down(), 3], ["", "", "", "", "end"])
    assert waited == [1.0, 2.0, 5.0, 1.0, 5.0]
    assert troubles == ["down", None, "down", None]


def test_waits_differ_between_processes(outbox, monkeypatch):
    bounds = []
    uniform = lambda low, high: bounds.append((low, high)) or high  # noqa: E731
    monkeypatch.setattr(sender.random, "uniform", uniform)
    outbox.put(RunKey("s", "1"), "log", {})
    monkeypatch.setattr(sender, "Delivery", Delivery(outbox, [down()]))
    sender._serve(outbox, SETTINGS, Commands("end"), io.StringIO())
    assert bounds == [(0.7, 1.0)]


def test_a_full_round_is_followed_by_the_next_at_once(outbox, monkeypatch):
    monkeypatch.setattr(sender, "OPERATIONS_A_ROUND", 3)
    waited, troubles = serve(outbox, monkeypatch, [3, 1], ["", "end"], interval=2.0)
    assert waited == [0.0, 2.0]
    assert troubles == []


@pytest.mark.parametrize(("commands", "said"), [(["end"], b"it has ended\n"), (["finish", "", "end"], b"")])
def test_last_words_are_said_of_a_parent_that_has_not_told_to_finish(outbox, monkeypatch, commands, said):
    reading, writing = os.pipe()
    rounds = [down()] * len(commands)
    serve(outbox, monkeypatch, rounds, commands, terminal=writing, last_words="it has ended")
    os.close(writing)
    assert os.read(reading, 100) == said
    os.close(reading)


def test_last_words_that_nobody_reads_end_nothing(outbox, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    serve(outbox, monkeypatch, [down()], ["end"], terminal=writing, last_words="it has ended")
    os.close(writing)


def test_finish_delivers_what_is_left_and_ends(outbox, monkeypatch):
    waited, _ = serve(outbox, monkeypatch, [1, 1, 2], ["finish", ""])
    assert waited == [5.0, 0.0]
    assert outbox.pending() == 0


def test_finish_gives_a_server_that_never_answered_three_attempts(outbox, monkeypatch):
    waited, _ = serve(outbox, monkeypatch, [down()] * 5, ["", "finish", "", ""])
    assert len(waited) == 4
    assert outbox.pending() == 4


def test_finish_waits_for_a_server_that_has_answered_before(outbox, monkeypatch):
    waited, _ = serve(outbox, monkeypatch, [1, *[down()] * 6, 3], ["finish", *[""] * 6])
    assert len(waited) == 7
    assert outbox.pending() == 0


def test_a_mistake_of_ours_is_a_trouble_and_no_end(outbox, monkeypatch):
    waited, troubles = serve(outbox, monkeypatch, [KeyError("x"), 4], ["", "end"])
    assert troubles == ["KeyError: 'x'", None]
    assert len(waited) == 2


@pytest.mark.parametrize(
    ("text", "command"), [(b"flush\n", "flush"), (b"flush\nfinish\n", "finish"), (b"", "end"), (None, "")]
)
def test_commands_come_from_standard_input(monkeypatch, text, command):
    monkeypatch.setattr(sender.select, "select", lambda *_: ([0] if text is not None else [], [], []))
    monkeypatch.setattr(sender.os, "read", lambda *_: text)
    monkeypatch.setattr(sender.os, "getppid", lambda: 7)
    assert sender._Commands(7).wait(1.0) == command
    if text is None:
        assert sender._Commands(8).wait(1.0) == "end"  # another process has adopted it: its parent has died


class Parent(Commands):
    """Stands in for the parent's end of standard input."""

    def settings(self):
        return json.dumps(SETTINGS | {"outbox": self.path})


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Runs the process's program in this one; returns what it asked the system for, and where it wrote its events."""
    asked, events = [], io.StringIO()
    system = SimpleNamespace(
        nice=lambda increment: asked.append(("nice", increment)),
        dup=lambda descriptor: asked.append(("dup", descriptor)) or 99,
        dup2=lambda *descriptors: asked.append(("dup2", *descriptors)),
        fdopen=lambda descriptor, mode: events if (descriptor, mode) == (99, "w") else None,
        getppid=os.getppid,
    )
    monkeypatch.setattr(sender, "os", system)

    def run(*commands):
        parent = Parent(*commands)
        parent.path = str(tmp_path / "box.db")
        monkeypatch.setattr(sender, "_Commands", lambda pid: parent if pid == os.getppid() else None)
        sender.main()
        assert parent.commands == []
        return asked, events, parent.waited

    return run


def test_process_gives_way_to_others_and_only_its_events_are_printed(process, monkeypatch):
    served = []
    monkeypatch.setattr(sender, "_serve", lambda outbox, settings, commands, events: served.append((settings, events)))
    asked, events, _ = process()
    assert asked == [("nice", 19), ("dup", 1), ("dup2", 2, 1)]
    [(settings, given)] = served
    assert given is events
    assert settings["uri"] == "http://host"


@pytest.mark.parametrize("last", ["end", "finish"])
def test_process_waits_for_that_of_an_earlier_driver(process, tmp_path, monkeypatch, last):
    timeouts, exclusive = [], sender.Outbox.exclusive
    monkeypatch.setattr(
        sender.Outbox, "exclusive", lambda self, timeout: timeouts.append(timeout) or exclusive(self, timeout=0.0)
    )
    earlier = sender.Outbox(tmp_path / "box.db")
    with exclusive(earlier):
        _, events, waited = process("", "flush", last)
    earlier.close()
    assert timeouts == [1.0, 1.0, 1.0]
    assert waited == [0.0, 0.0, 0.0]
    troubles = [json.loads(line)["trouble"] for line in events.getvalue().splitlines()]
    assert troubles == [f"another process delivers from {tmp_path / 'box.db'}; is the study running?"] * 3


def test_events_that_nobody_reads_any_more_are_no_error():
    class Broken(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    sender._emit(Broken(), {"trouble": None})

"""The tracker: what it puts into the outbox; then its real process, a real server that goes away, and real kills."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sepray.tracking import stored_forms
from sepray.tracking import tracker as module
from sepray.tracking.connection import connect
from sepray.tracking.outbox import Outbox, OutboxError, RunKey
from sepray.tracking.tracker import Tracker

from ..mlflow_server import Server

EPOCHS = 5
NOW = 1_700_000_000_123  # milliseconds since 1970


class Clock:
    """Stands in for the module ``time``: it goes on only where somebody sleeps, and does then what it is told to."""

    def __init__(self):
        self.seconds, self.then = 0.0, lambda: None

    def time_ns(self):
        return NOW * 1_000_000 + 456_789

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds
        self.then()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for each in (module, stored_forms):
        monkeypatch.setattr(each, "time", clock)
    return clock


class Silent:
    """Stands in for the sender: it delivers nothing, and notes what it is told."""

    def __init__(self, outbox, uri, **settings):
        self.outbox, self.uri, self.settings, self.sent = outbox, uri, settings, []

    def send(self, command):
        self.sent.append(command)

    def wait(self, timeout):
        self.sent.append(timeout)


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(module, "Sender", Silent)


@pytest.fixture
def tracker(tmp_path, silent, clock):
    """A tracker of the study ``s`` whose operations stay in its outbox."""
    tracker = Tracker(tmp_path / "box.db", "s", uri="http://host")
    yield tracker
    tracker.close()


def operations(tracker):
    return [(o.key.label, o.kind, o.body) for o in tracker.outbox.take(100)]


def test_settings_reach_the_sender_and_the_first_operation(tmp_path, silent):
    ids, troubles = [], []
    tracker = Tracker(
        tmp_path / "box.db",
        "s",
        uri="http://host",
        experiment="lab",
        interval=3.0,
        longest_wait=7.0,
        on_run_id=lambda *given: ids.append(given),
        on_trouble=troubles.append,
    )
    sender = tracker._sender
    assert (sender.outbox, sender.uri) == (tmp_path / "box.db", "http://host")
    assert (sender.settings["interval"], sender.settings["longest_wait"]) == (3.0, 7.0)
    sender.settings["on_run_id"](SimpleNamespace(label="4"), "r1", "e2")
    sender.settings["on_trouble"]("down")
    assert (ids, troubles) == ([("4", "r1", "e2")], ["down"])
    tracker.open_study("study", {}, {})
    assert operations(tracker)[0][2]["experiment"] == "lab"
    assert tracker.close(11.0) == 1
    assert sender.sent == ["finish", 11.0]
    assert tracker.close(11.0) == 0
    assert sender.sent == ["finish", 11.0]


def test_a_study_is_put_into_the_outbox_as_it_happens_with_the_time_of_now(tracker):
    tracker.open_study("study", {"trials": 2}, {"a": 1}, note="**runs**")
    tracker.trial_started(3, "trial 3", {"beta": 0.5}, {"b": 2})
    tracker.trial_epoch(3, {"loss": 0.25, "gain": math.inf}, 1)
    tracker.trial_tags(3, {"c": 3})
    tracker.trial_finished(3, "FAILED", artifacts={"traceback.txt": "line"})
    tracker.study_finished({"best": 0.25}, {"d": 4}, "**done**")
    (*before, epoch, tags, text, outcome, failed, summary, last, finished) = operations(tracker)
    note, running = "mlflow.note.content", {"outcome": "running"}
    start = {"name": "study", "experiment": "sepray", "start": NOW}
    assert before == [
        ("", "run", start | {"tags": running | {"stage": "study", "a": "1", note: "**runs**"}}),
        ("", "log", {"params": {"trials": "2"}}),
        ("3", "run", {"name": "trial 3", "start": NOW, "tags": running | {"stage": "search", "b": "2"}}),
        ("3", "log", {"params": {"beta": "0.5"}}),
    ]
    (loss, gain) = epoch[2]["metrics"]
    assert (epoch[:2], loss, gain[0], gain[2:]) == (("3", "log"), ["loss", 0.25, 1, NOW], "gain", [1, NOW])
    assert math.isnan(gain[1])
    assert [tags, text, outcome, failed] == [
        ("3", "log", {"tags": {"c": "3"}}),
        ("3", "artifact", {"name": "traceback.txt", "text": "line"}),
        ("3", "log", {"tags": {"outcome": "failed"}}),
        ("3", "status", {"status": "FAILED", "end": NOW}),
    ]
    assert summary == ("", "log", {"metrics": [["best", 0.25, 0, NOW]]})
    assert last == ("", "log", {"tags": {"outcome": "finished", "d": "4", note: "**done**"}})
    assert finished == ("", "status", {"status": "FINISHED", "end": NOW})


def test_times_that_are_given_are_kept(tracker):
    tracker.open_study("study", {}, {}, start_ms=1)
    tracker.trial_started(3, "trial 3", {}, start_ms=2)
    tracker.trial_epoch(3, {"loss": 0.25}, 1, 3)
    tracker.trial_finished(3, "FINISHED", end_ms=4)
    tracker.trial_interrupted(5, end_ms=5)
    tracker.study_finished({"best": 0.25}, end_ms=6)
    bodies = [body for _, _, body in operations(tracker)]
    assert [body["start"] for body in bodies if "start" in body] == [1, 2]
    assert [body["metrics"][0][3] for body in bodies if "metrics" in body] == [3, 6]
    assert [body["end"] for body in bodies if "end" in body] == [4, 5, 6]


def test_trials_have_the_data_the_source_and_the_user_of_their_study(tracker):
    mlflows = {"mlflow.source.name": "x.py", "mlflow.source.git.commit": "ab", "mlflow.user": "me"}
    tracker.open_study("study", {}, {**mlflows, "platform": "Linux"})
    tracker.log_dataset("ecg", "ab" * 32, {"items": 3}, "training")
    for _ in range(2):  # the second time it goes on
        tracker.trial_started(3, "trial 3", {}, {"label": "x"})
    (_, (_, dataset, data), *started) = operations(tracker)
    tags = {"outcome": "running", "stage": "search", **mlflows, "label": "x"}
    begun = ("3", "run", {"name": "trial 3", "start": NOW, "tags": tags})
    assert dataset == "dataset"
    assert started == [begun, ("3", "dataset", data), begun]


def test_a_trial_that_ends_may_get_another_name(tracker):
    tracker.trial_finished(3, "FINISHED", name="003 · 0.25")
    assert operations(tracker)[0] == ("3", "name", {"name": "003 · 0.25"})


def test_a_step_of_the_study_is_told_once_and_by_another_outbox_not_at_all(tracker, tmp_path, silent):
    tracker.study_metrics({"best": 0.5}, 2, 7, known=True)  # of a process whose outbox was lost: its time is not known
    tracker.study_metrics({"best": 0.5}, 2, 8)
    assert operations(tracker) == []
    tracker.study_metrics({"best": 0.25}, 3, 9)
    told = [("", "log", {"metrics": [["best", 0.25, 3, 9]]})]
    assert operations(tracker) == told
    assert tracker.experiment_id() == ""
    tracker.outbox.save_run(RunKey("s"), "r", "e7", "RUNNING")
    tracker.study_metrics({"best": 0.5}, 1, 9, known=True)  # the sender has found the run, which is another outbox's
    assert operations(tracker) == told
    later = Tracker(tmp_path / "box.db", "s", uri="http://host")
    later.study_metrics({"best": 0.25}, 3, 10, known=True)
    assert operations(later) == told
    later.study_metrics({"best": 0.125}, 4, 11, known=True)  # which the earlier process was killed before telling
    assert operations(later)[1:] == [("", "log", {"metrics": [["best", 0.125, 4, 11]]})]
    assert later.experiment_id() == "e7"
    later.close()


def test_now_is_the_time_of_the_real_clock():
    before = time.time() * 1000
    assert before - 1 <= stored_forms.now() <= time.time() * 1000 + 1


def test_an_interruption_ends_the_open_runs_and_no_others(tracker):
    tracker.open_study("study", {}, {})
    for number in (1, 2):
        tracker.trial_started(number, "trial", {})
    tracker.trial_finished(1, "FINISHED")
    before = tracker.pending()
    tracker.interrupted("**stopped**")
    note, *ends = operations(tracker)[before:]
    assert note == ("", "log", {"tags": {"mlflow.note.content": "**stopped**"}})
    assert ends == [
        (label, kind, body)
        for label in ("2", "")
        for kind, body in (
            ("log", {"tags": {"outcome": "interrupted"}}),
            ("status", {"status": "KILLED", "end": NOW}),
        )
    ]
    tracker.interrupted("again")
    assert tracker.pending() == before + 5


def test_no_secret_gets_into_the_outbox(tracker, tmp_path):
    secret = "https://me:hunter2@host/x?token=hunter2"
    tracker.open_study("study", {"where": secret}, {"where": secret})
    tracker.trial_started(1, "trial", {"where": secret}, {"where": secret})
    tracker.trial_tags(1, {"where": secret})
    tracker.log_text(1, "a.txt", f"see {secret}")
    tracker.log_text(1, "long.txt", f"see {secret} " * 10_000)
    tracker.log_dataset("task", "ab" * 32, {"config": {"where": [secret]}}, "training")
    tracker.trial_finished(1, "FAILED", {"where": secret}, artifacts={"traceback.txt": secret})
    tracker.study_finished({}, {"where": secret})
    assert tracker.pending() == 13
    tracker.outbox.checkpoint()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path
    (dataset,) = [body for _, kind, body in operations(tracker) if kind == "dataset"]
    assert (dataset["name"], dataset["digest"], dataset["context"]) == ("task", "ab" * 18, "training")
    assert json.loads(dataset["source"]) == {"task": "task", "fingerprint": "ab" * 32}
    masked = "https://me:***@host/x?token=***"
    assert json.loads(dataset["profile"]) == {"config": {"where": [masked]}, "fingerprint": "ab" * 32}


def test_configuration_of_the_data_may_hold_what_json_does_not_know(tracker, tmp_path):
    tracker.log_dataset("task", "ab", {"folder": tmp_path}, "training")
    [(_, _, dataset)] = operations(tracker)
    assert json.loads(dataset["profile"]) == {"folder": str(tmp_path), "fingerprint": "ab"}


def test_flush_waits_until_everything_is_delivered_and_no_longer(tracker, clock):
    tracker.open_study("study", {}, {})
    tracker.trial_started(1, "trial", {})

    def deliver():
        if clock.seconds > 3:
            tracker.outbox.acknowledge(tracker.outbox.take(1))

    clock.then = deliver
    assert tracker.flush(100.0) == 0
    assert 3 < clock.seconds < 4
    assert tracker._sender.sent == ["flush"]


def test_flush_gives_up_in_time_and_says_how_many_operations_wait(tracker, clock):
    tracker.open_study("study", {}, {})
    tracker.trial_started(1, "trial", {})
    assert tracker.flush(2.0) == 2
    assert 2 <= clock.seconds < 3


def tell(tracker, trials, finish=True):
    """A study of ``trials``, told as a driver tells it; the same each time."""
    tracker.open_study("study", {"trials": trials}, {"where": "postgresql://me:hunter2@host/db"}, start_ms=1)
    for number in trials:
        tracker.trial_started(number, f"trial {number}", {"beta": number / 10}, start_ms=1)
        for step in range(EPOCHS):
            tracker.trial_epoch(number, {"loss": number + step / 8, "other": 1.0}, step, 1000 + step)
        if finish:
            tracker.trial_finished(number, "FINISHED", {"outcome": "complete"}, end_ms=5000, name=f"{number} ended")
            tracker.study_metrics({"best": -number}, number, 2000 + number)


def check(read, trials):
    found = read("study-1")
    assert found.labels == sorted(["", *map(str, trials)])
    for number in trials:
        rows = [(step, number + step / 8, 1000 + step) for step in range(EPOCHS)]
        assert found.history(str(number), "loss") == rows
        assert found.runs[str(number)].info.status == "FINISHED"
        assert found.runs[str(number)].info.run_name == f"{number} ended"
        assert found.runs[str(number)].data.params == {"beta": str(number / 10)}
    assert found.history("", "best") == [(number, -number, 2000 + number) for number in trials]
    return found


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(folder, uri, read, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2-token")
    told = []
    tracker = Tracker(folder / "box.db", "study-1", uri=uri, on_run_id=lambda label, *_: told.append(label))
    first = tracker._sender._process
    first.kill()  # the sender alone: another takes its place
    deadline = time.monotonic() + 10
    while tracker._sender._process is first and time.monotonic() < deadline:
        time.sleep(0.01)
    tell(tracker, [0])
    tracker.trial_started(1, "trial 1", {"beta": 0.1}, start_ms=1)
    tracker.trial_epoch(1, {"loss": 1.0, "other": float("inf")}, 0, 1000)
    tracker.interrupted()
    assert tracker.close(40) == 0
    assert sorted(told) == ["", "0", "1"]
    found = read("study-1")
    outcomes = {label: (run.info.status, run.data.tags["outcome"]) for label, run in found.runs.items()}
    assert outcomes == {
        "": ("KILLED", "interrupted"),
        "0": ("FINISHED", "complete"),
        "1": ("KILLED", "interrupted"),
    }
    ids = {label: run.info.run_id for label, run in found.runs.items()}

    tracker = Tracker(folder / "box.db", "study-1", uri=uri)
    assert tracker.run_ids() == ids
    tell(tracker, [0, 1])
    tracker.study_finished({"summary": 0.5}, end_ms=9000)
    assert tracker.close(40) == 0
    found = check(read, [0, 1])
    assert {label: run.info.run_id for label, run in found.runs.items()} == ids
    assert found.runs[""].info.status == "FINISHED"
    assert found.runs[""].data.metrics == {"summary": 0.5, "best": -1}
    for path in folder.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


DRIVER = """
import pathlib, sys
sys.path.insert(0, sys.argv[3])
from tests.tracking.test_tracker import Tracker, tell
tracker = Tracker(pathlib.Path(sys.argv[1]), "study-1", uri=sys.argv[2], interval=0.01)
print(tracker._sender._process.pid, flush=True)
if int(sys.argv[4]):
    tell(tracker, range(int(sys.argv[4])))
sys.stdin.read()
"""


def drive(folder, uri, trials):
    """Start a driver that tells of ``trials`` trials; return it and the process id of its sender."""
    root = str(Path(__file__).parents[2])
    arguments = [sys.executable, "-c", DRIVER, str(folder / "box.db"), uri, root, str(trials)]
    driver = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return driver, int(driver.stdout.readline())


def test_kill_9_in_the_middle_and_the_same_command_again(folder, uri, read, client):
    driver, sender = drive(folder, uri, 40)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and len(read("study-1").labels) < 8:
        time.sleep(0.02)
    os.kill(sender, signal.SIGKILL)
    driver.kill()
    driver.communicate()
    assert 8 <= len(read("study-1").labels) < 41, "killed too late to test anything"
    tracker = Tracker(folder / "box.db", "study-1", uri=uri)
    tell(tracker, range(40))
    assert tracker.close(40) == 0
    check(read, range(40))


def test_the_sender_ends_with_its_parent(folder, uri):
    driver, sender = drive(folder, uri, 0)
    assert running(sender)
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and running(sender):
        time.sleep(0.05)
    assert not running(sender)


def running(pid):
    """Say whether a process lives (a zombie that nobody has waited for does not)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def server(folder, uri):
    """A server on the folder's database, which is not started yet."""
    server = Server(folder, uri)
    yield server
    server.stop()


def test_a_server_that_comes_late_and_goes_away_costs_nothing_and_gets_everything_once(folder, server, read):
    troubles = []
    where = {"uri": server.uri.replace("//", "//me:hunter2@"), "on_trouble": troubles.append}
    tracker = Tracker(folder / "box.db", "study-1", interval=0.05, longest_wait=0.5, **where)
    tell(tracker, range(20))
    assert tracker.pending() == 2 + 20 * (2 + EPOCHS + 4)  # with nobody there to take them
    server.start()
    while len(read("study-1").labels) < 5:
        time.sleep(0.01)
    server.stop()
    tell(tracker, range(20, 30))
    tracker.log_text(3, "traceback.txt", "line 1")
    waiting = tracker.pending()
    assert waiting > 0
    server.start()
    assert tracker.close(40) == 0
    found = check(read, range(30))
    assert any(troubles)
    assert "hunter2" not in json.dumps(troubles)
    over_http = connect(server.uri)
    run_id = found.runs["3"].info.run_id
    assert [a.path for a in over_http.list_artifacts(run_id)] == ["traceback.txt"]


def test_close_returns_in_time_when_nobody_ever_answers(folder):
    tracker = Tracker(folder / "box.db", "study-1", uri="http://127.0.0.1:9")
    tell(tracker, [0])
    process = tracker._sender._process
    assert tracker.close(1.0) == 2 + EPOCHS + 4 + 2
    assert process.returncode == -signal.SIGKILL


def test_abandoned_tracker_ends_its_process_at_once_and_delivers_nothing_more(tmp_path):
    tracker = Tracker(tmp_path / "box.db", "s", uri=f"sqlite:///{tmp_path}/mlflow.db", interval=0.01)
    process = tracker._sender._process
    tracker.open_study("study", {}, {})
    tracker.abandon()
    assert process.poll() == -signal.SIGKILL
    tracker.abandon()
    assert tracker.close() == 0
    left = Outbox(tmp_path / "box.db")
    assert left.pending() == 1
    left.close()


def test_a_damaged_outbox_knows_no_experiment_and_holds_one_operation_at_least():
    told = Tracker.__new__(Tracker)
    told.study, told._buffer = "s", ["a", "b"]
    run = SimpleNamespace(experiment_id="7")
    told.outbox = SimpleNamespace(run=lambda key: run, pending=lambda: 5)
    assert (told.experiment_id(), told.pending()) == ("7", 7)
    run.experiment_id = None
    assert told.experiment_id() == ""

    def damaged(*_):
        raise OutboxError("damaged")

    told.outbox = SimpleNamespace(run=damaged, pending=damaged)
    assert (told.experiment_id(), told.pending()) == ("", 2)
    told._buffer = []
    assert told.pending() == 1

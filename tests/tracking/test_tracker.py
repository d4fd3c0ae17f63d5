"""The tracker with its real process, a real server that goes away, and real kills."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from sepray.tracking.connection import connect
from sepray.tracking.tracker import Tracker

EPOCHS = 5


def tell(tracker, trials, finish=True):
    """A study of ``trials``, told as a driver tells it; the same each time."""
    tracker.open_study("study", {"trials": trials}, {"where": "postgresql://me:hunter2@host/db"}, start_ms=1)
    for number in trials:
        tracker.trial_started(number, f"trial {number}", {"beta": number / 10}, start_ms=1)
        for step in range(EPOCHS):
            tracker.trial_epoch(number, {"loss": number + step / 8, "other": 1.0}, step, 1000 + step)
        if finish:
            tracker.trial_finished(number, "FINISHED", {"outcome": "complete"}, end_ms=5000)


def check(read, trials):
    found = read("study-1")
    assert found.labels == sorted(["", *map(str, trials)])
    for number in trials:
        rows = [(step, number + step / 8, 1000 + step) for step in range(EPOCHS)]
        assert found.history(str(number), "loss") == rows
        assert found.runs[str(number)].info.status == "FINISHED"
        assert found.runs[str(number)].data.params == {"beta": str(number / 10)}
    return found


def test_ctrl_c_and_the_same_command_again(folder, uri, read, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2-token")
    told = []
    tracker = Tracker(folder / "box.db", "study-1", uri=uri, on_run_id=lambda label, _: told.append(label))
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
    tracker.study_finished({"best": 0.5}, end_ms=9000)
    assert tracker.close(40) == 0
    found = check(read, [0, 1])
    assert {label: run.info.run_id for label, run in found.runs.items()} == ids
    assert found.runs[""].info.status == "FINISHED"
    assert found.runs[""].data.metrics == {"best": 0.5}
    for path in folder.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


DRIVER = """
import pathlib, sys
sys.path.insert(0, sys.argv[3])
from test_tracker import Tracker, tell
tracker = Tracker(pathlib.Path(sys.argv[1]), "study-1", uri=sys.argv[2], interval=0.01)
print(tracker._sender._process.pid, flush=True)
if int(sys.argv[4]):
    tell(tracker, range(int(sys.argv[4])))
sys.stdin.read()
"""


def drive(folder, uri, trials):
    """Start a driver that tells of ``trials`` trials; return it and the process id of its sender."""
    here = os.path.dirname(__file__)
    arguments = [sys.executable, "-c", DRIVER, str(folder / "box.db"), uri, here, str(trials)]
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
    """Whether a process lives (a zombie that nobody has waited for does not)."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


# What `mlflow server` runs, without its supervising processes, whose start takes three times as long.
SERVER = """
import os, sys
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
from mlflow.server import constants
os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = sys.argv[1]
os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = sys.argv[2]
os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
import uvicorn
from mlflow.server.fastapi_app import app
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="error")
"""


@pytest.fixture
def server(folder, uri):
    """Starts a server on the folder's database (call it), at the address of the attribute ``uri``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []

    def start():
        command = [sys.executable, "-c", SERVER, uri, str(folder / "artifacts"), str(port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=folder, **quiet)
        started.append(process)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{start.uri}/health", timeout=1):
                return process
            time.sleep(0.1)
        raise TimeoutError("the server did not start")

    start.uri = f"http://127.0.0.1:{port}"
    yield start
    for process in started:
        stop(process)


def stop(process):
    process.kill()
    process.wait()


def test_a_server_that_comes_late_and_goes_away_costs_nothing_and_gets_everything_once(folder, server, read):
    troubles = []
    where = {"uri": server.uri.replace("//", "//me:hunter2@"), "on_trouble": troubles.append}
    tracker = Tracker(folder / "box.db", "study-1", interval=0.05, longest_wait=0.5, **where)
    start = time.perf_counter()
    tell(tracker, range(20))
    assert time.perf_counter() - start < 1.0  # about 200 operations, with nobody there to take them
    process = server()
    while len(read("study-1").labels) < 5:
        time.sleep(0.01)
    stop(process)
    tell(tracker, range(20, 30))
    tracker.log_text(3, "traceback.txt", "line 1")
    waiting = tracker.pending()
    assert waiting > 0
    server()
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
    start = time.monotonic()
    left = tracker.close(1.0)
    assert time.monotonic() - start < 5
    assert left == 2 + EPOCHS + 2 + 2


def test_a_server_that_has_never_answered_is_not_waited_for_to_the_end(folder):
    tracker = Tracker(folder / "box.db", "study-1", uri="http://127.0.0.1:9", interval=0.05)
    tell(tracker, [0])
    start = time.monotonic()
    assert tracker.close(100) == 2 + EPOCHS + 2 + 2
    assert time.monotonic() - start < 60

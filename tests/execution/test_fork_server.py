"""Workers that are forked run as if Python had started them, and end with the client that Ray has started for them."""

import errno
import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from sepray.execution import fork_client, fork_server

pytestmark = pytest.mark.skipif(not fork_server.is_possible(), reason="workers are forked on Linux alone")

SCRIPT = """
import json, os, random, sys
told = {"arguments": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "path": sys.path[0],
        "group": os.getpgid(0), "server": os.getppid(), "random": random.random(), "name": __name__,
        "oom_score_adj": int(open("/proc/self/oom_score_adj").read()),
        "there": sorted({"colorsys", "fork_server"} & {name.rpartition(".")[2] for name in sys.modules})}
print(json.dumps(told))
print("an error", file=sys.stderr)
sys.stdout.flush()
exec(sys.argv[1])
"""


class Forks:
    """A server with one module imported, whose raylet is a process that sleeps."""

    def __init__(self, folder: Path, module: str = "colorsys", start: bool = True) -> None:
        self.script = folder / "script.py"
        self.script.write_text(SCRIPT)
        self.raylet = subprocess.Popen(["sleep", "600"])
        self.driver = fork_server.ForkServer(str(folder / "fork"), (module,))
        if start:
            self.driver.start(self.raylet.pid)

    @property
    def server(self) -> subprocess.Popen[bytes]:
        assert self.driver.process is not None
        return self.driver.process

    def client(self, code: str, own_session: bool = False, **variables: str) -> subprocess.Popen[str]:
        """Start a client as Ray does, by a shell, in a process group of its own, the first that lacks memory."""
        command = f"exec {fork_server.python_for_workers(self.driver.path)} {self.script} '{code}' 'two  words'"
        command = f"echo 789 > /proc/self/oom_score_adj; {command}"
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.script.parent,
            env={"RAY_JOB_ID": "01000000", "OWN": "größe", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=own_session,
            process_group=None if own_session else 0,
        )

    def run(self, code: str, own_session: bool = False, **variables: str) -> tuple[int, dict]:
        """Return the status of a client, and what its worker says of itself."""
        client = self.client(code, own_session, **variables)
        out, err = client.communicate(timeout=50)
        assert "an error" in err
        return client.returncode, {**json.loads(out), "client": client.pid, "errors": err}

    def end(self) -> None:
        self.raylet.kill()
        self.raylet.wait()
        self.driver.close()


@pytest.fixture
def forks(tmp_path):
    made = Forks(tmp_path)
    yield made
    made.end()


def test_worker_is_forked_and_has_all_that_a_started_one_has(forks, tmp_path):
    status, told = forks.run("pass")
    assert (status, told["server"]) == (0, forks.server.pid)
    assert told["there"] == ["colorsys", "fork_server"]
    assert told["arguments"] == [str(forks.script), "pass", "two  words"]
    assert (told["folder"], told["path"], told["name"]) == (str(tmp_path), str(tmp_path), "__main__")
    assert told["group"] == told["client"]  # which Ray ends with the worker
    assert told["oom_score_adj"] == 789, "or the system would end clients, which hold no memory, before their workers"
    assert told["environment"].items() >= {"RAY_JOB_ID": "01000000", "OWN": "größe"}.items()
    assert "RAY_RAYLET_PID" not in told["environment"], "only the server has it"
    _, other = forks.run("pass")
    assert other["random"] != told["random"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit()", 0),
        ('sys.exit("words")', 1),
        ("os._exit(9)", 9),
        ("1 / 0", 1),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
def test_client_ends_as_its_worker_has(forks, code, status):
    found, told = forks.run(code)
    assert found == status
    assert ("words\n" in told["errors"]) == ("words" in code)
    assert ("ZeroDivisionError" in told["errors"]) == ("/" in code)


def test_workers_run_side_by_side_and_each_ends_with_its_client(forks):
    clients = [forks.client("import time; time.sleep(600)") for _ in range(2)]
    workers = [psutil.Process(_worker_of(forks, client)) for client in clients]
    clients[0].kill()
    workers[0].wait(50)
    assert workers[1].is_running()
    workers[1].kill()
    assert [client.wait(50) for client in clients] == [-signal.SIGKILL] * 2
    for client in clients:
        client.communicate()


def _worker_of(forks, client) -> int:
    """Process id of a client's worker, which is in the client's group."""
    end = time.monotonic() + 50
    while time.monotonic() < end:
        for child in psutil.Process(forks.server.pid).children():
            if os.getpgid(child.pid) == client.pid:
                return child.pid
        time.sleep(0.01)
    raise TimeoutError


def test_worker_outlives_a_server_that_is_killed_and_the_next_starts_by_itself(forks):
    client = forks.client("import time; time.sleep(600)")
    worker = psutil.Process(_worker_of(forks, client))
    forks.server.kill()
    forks.server.wait(50)
    status, told = forks.run("pass")
    assert (status, told["there"], told["server"]) == (0, [], os.getpid())
    assert worker.is_running()
    assert client.poll() is None
    worker.kill()
    assert client.wait(50) == 1
    client.communicate()


def test_worker_of_another_job_starts_by_itself(forks):
    status, told = forks.run("sys.exit(3)", RAY_JOB_ID="02000000")
    assert (status, told["there"], told["server"]) == (3, [], os.getpid())


def test_worker_that_cannot_be_in_its_clients_group_starts_by_itself(forks):
    status, told = forks.run("sys.exit(3)", own_session=True)
    assert (status, told["there"], told["server"]) == (3, [], os.getpid())


def test_workers_neither_print_what_an_import_has_printed_nor_draw_the_same_numbers(tmp_path, monkeypatch):
    code = """
print("at import")
class default_generator:
    seeds = 0
    def seed():
        default_generator.seeds += 1
"""
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    forks = Forks(tmp_path, "torch")
    told, seeds = (
        forks.client("import torch; print(torch.default_generator.seeds)").communicate(timeout=50)[0].splitlines()
    )
    assert json.loads(told)["server"] == forks.server.pid
    assert seeds == "1"
    forks.end()


def test_thread_that_ends_while_threads_are_listed_is_none(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "comm").write_text("other\n")
    monkeypatch.setattr(fork_server, "Path", lambda folder: tmp_path)
    assert fork_server._other_threads() == {"other"}


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("no_such_module", "No module named 'no_such_module'"),
        ("starts_a_thread", "imports have started threads: "),
        ("kills_itself", ""),
        ("draws_an_id", "imports have drawn from Ray's random numbers"),
    ],
)
def test_workers_start_by_themselves_where_nothing_can_be_forked(tmp_path, monkeypatch, module, reason):
    """Clients that wait for the server notice at once that it has ended."""
    code = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    (tmp_path / "starts_a_thread.py").write_text(code)
    code_of_ids = "import random, sys, types\nown = random.Random(1)\n"  # a generator that is copied by a fork
    code_of_ids += "draw = lambda: types.SimpleNamespace(binary=lambda: own.randbytes(28))\n"
    code_of_ids += "sys.modules['ray'] = types.SimpleNamespace(WorkerID=types.SimpleNamespace(from_random=draw))\n"
    (tmp_path / "draws_an_id.py").write_text(code_of_ids)
    (tmp_path / "kills_itself.py").write_text("import os, time\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    forks = Forks(tmp_path, module)
    status, told = forks.run("sys.exit(3)")
    assert (status, told["there"]) == (3, [])
    assert forks.server.wait(50) != 0
    assert reason in Path(f"{forks.driver.path}.log").read_text()
    forks.end()


def test_workers_start_by_themselves_where_the_server_cannot_be_started(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    forks = Forks(tmp_path, start=False)
    with monkeypatch.context() as patched:
        patched.setattr(fork_server.subprocess, "Popen", refuse)
        forks.driver.start(forks.raylet.pid)
    status, told = forks.run("sys.exit(3)")
    assert (status, told["there"]) == (3, [])
    forks.end()


def test_clients_may_come_before_the_server_and_are_let_go_where_it_never_starts(tmp_path):
    forks = Forks(tmp_path, start=False)
    client = forks.client("sys.exit(3)")
    time.sleep(0.1)
    forks.driver.start(forks.raylet.pid)
    assert json.loads(client.communicate(timeout=50)[0])["server"] == forks.server.pid
    forks.end()
    (tmp_path / "second").mkdir()
    none = Forks(tmp_path / "second", start=False)
    client = none.client("sys.exit(3)")
    time.sleep(0.1)
    none.end()
    assert json.loads(client.communicate(timeout=50)[0])["server"] == os.getpid()
    assert client.returncode == 3


def test_server_has_one_thread_whatever_a_trial_may_use(tmp_path, monkeypatch):
    """numpy's library starts its threads where it is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    forks, drawn = Forks(tmp_path, "numpy"), set()
    code = 'import numpy; print(numpy.random.random()); print(os.environ["OMP_NUM_THREADS"])'
    for _ in range(2):
        told, number, threads = forks.client(code, OMP_NUM_THREADS="2").communicate(timeout=50)[0].splitlines()
        assert json.loads(told)["server"] == forks.server.pid
        assert threads == "2"
        drawn.add(number)
    assert len(drawn) == 2, "each draws numbers of its own"
    forks.end()


def test_worker_ends_as_python_does(forks, tmp_path):
    """A worker first waits for its threads, and then runs what was registered for its end."""
    code = (
        "import atexit, threading, time; "
        "threading.Thread(target=lambda: (time.sleep(0.1), print(1, flush=True))).start(); "
        "atexit.register(print, 2); sys.exit(5)"
    )
    client = forks.client(code)
    out = client.communicate(timeout=50)[0].splitlines()
    assert json.loads(out[0])["server"] == forks.server.pid
    assert out[1:] == ["1", "2"]
    assert client.returncode == 5


def test_ends_that_come_together_with_new_clients_are_told_apart(forks):
    """The numbers of files are used again: what was heard of one worker's may be another's by then."""
    first = forks.client("import time; time.sleep(600)")
    worker = psutil.Process(_worker_of(forks, first))
    forks.server.send_signal(signal.SIGSTOP)
    worker.kill()
    first.kill()
    others = [forks.client("import time; time.sleep(0.5)") for _ in range(3)]
    time.sleep(0.3)
    forks.server.send_signal(signal.SIGCONT)
    assert [json.loads(other.communicate(timeout=50)[0])["server"] for other in others] == [forks.server.pid] * 3
    assert [other.returncode for other in others] == [0, 0, 0]
    first.communicate()


def test_server_ends_with_the_raylet(forks):
    forks.run("pass")
    forks.raylet.kill()
    assert forks.server.wait(50) == 0


@pytest.mark.parametrize(("sent", "error"), [(b"", EOFError), (b"no JSON", ValueError)])
def test_files_of_a_client_that_asks_for_nothing_are_closed(sent, error):
    reading, writing = os.pipe()
    server, client = socket.socketpair()
    with server:
        with client:
            socket.send_fds(client, [struct.pack("<I", len(b"no JSON"))], [writing] * 3)
            client.sendall(sent)
        os.close(writing)
        with pytest.raises(error):
            fork_server._received(server)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""  # it would block if one end were still open
    os.close(reading)


def test_client_waits_for_a_server_that_still_imports_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(fork_client, "SECONDS", 0.05)
    forks = Forks(tmp_path, start=False)
    with pytest.raises(TimeoutError):
        fork_client._ask(forks.driver.path, [])
    forks.end()

"""Forks the workers of a private Ray from one process that has imported torch and Ray Tune already.

A worker that starts by itself takes seconds of CPU for its imports, and has hundreds of megabytes of them for itself. A
forked one shares them with all others until it writes to them. Ray starts ``fork_client`` in the place of a worker
(``py_executable`` of its runtime environment). The client asks this server, over a Unix socket in the private folder of
this Ray, and waits for the worker to end. Where the server has ended, or was never there, workers start by themselves.

Only a process of a single thread can be forked without care, so nothing that starts threads is imported here, a user's
modules least of all. Nor may imports draw random numbers, for each worker would draw the next ones. The server ends
with its raylet, and a worker with its client.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

IMPORTED = ("ray.tune", "torch", "sepray.execution.trainable")
_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})  # a thread of pyarrow's allocator, which can be forked
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_JOB = "RAY_JOB_ID"
_RAYLET = "RAY_RAYLET_PID"
_FIRST_JOB = "01000000"
_CODE = "import sys; from sepray.execution.fork_server import main; main(*sys.argv[1:])"
_SECONDS = 5.0
"""Seconds that a client may take to send its request, which it does at once."""


def is_possible() -> bool:
    """Say whether this system can fork workers: Linux alone tells of the end of processes by file descriptors."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def python_for_workers(path: str) -> str:
    """Return the command that Ray runs in the place of Python, before the arguments of a worker.

    Args:
        path: socket of the server.
    """
    client = Path(__file__).with_name("fork_client.py")
    return shlex.join([sys.executable, "-I", "-S", str(client), path])


class ForkServer:
    """The server of a private Ray, seen from the driver. Clients may connect before it is started, and wait.

    Args:
        path: socket that it listens at, in a folder of this user alone.
        modules: names of the modules that it imports.
    """

    def __init__(self, path: str, modules: Sequence[str] = IMPORTED) -> None:
        self.path, self._modules = path, modules
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1024)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, raylet: int) -> None:
        """Start the server of a Ray whose first job is that of this process; it serves after seconds.

        An error that ends it is in the file ``fork.log`` beside its socket. If it cannot be started, workers start by
        themselves.

        Args:
            raylet: process id of the raylet; the server ends with it.
        """
        listener = self._listener.fileno()
        with contextlib.suppress(OSError), open(f"{self.path}.log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CODE, str(listener), *self._modules],
                env={**os.environ, **_ONE_THREAD, _JOB: _FIRST_JOB, _RAYLET: str(raylet)},
                pass_fds=[listener],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                process_group=0,  # a signal to the group of the driver ends Ray's processes in their own time
            )
        self._listener.close()  # so that clients notice where the server ends

    def close(self) -> None:
        """End the server; clients that come now start by themselves."""
        self._listener.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main(listener: str, *modules: str) -> None:
    """Import modules, then fork a worker for each client until the raylet has ended.

    Args:
        listener: file descriptor of the socket that clients connect to.
        modules: names of the modules.

    Raises:
        RuntimeError: what was imported has started threads, or drawn from Ray's random numbers.
    """
    raylet = os.pidfd_open(int(os.environ[_RAYLET]))
    with socket.socket(fileno=int(listener)) as accepting:
        if any(name.partition(".")[0] == "ray" for name in modules):
            _take_class_ids_from_the_system()
        for name in modules:
            importlib.import_module(name)
        if threads := _other_threads() - _SAFE_THREADS:
            raise RuntimeError(f"imports have started threads: {', '.join(sorted(threads))}")
        if "ray" in sys.modules and _id_of_a_fork() == _id_of_a_fork():
            raise RuntimeError("imports have drawn from Ray's random numbers: workers would give objects the same ids")
        sys.stdout.flush()  # or each worker would print again what an import has printed
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # a collection of a worker's would write to all pages
        _Server(accepting, raylet).serve()


@dataclass(eq=False)
class _Worker:
    """A worker: its process, the file descriptor that tells of its end, and its client, while there is one."""

    process: int
    watch: int
    client: socket.socket | None


class _Server:
    """Serves clients. The selector hands back workers and not numbers of files, which others may have by then."""

    def __init__(self, listener: socket.socket, raylet: int) -> None:
        self._listener, self._raylet = listener, raylet
        self._selector = selectors.DefaultSelector()
        for file in (listener.fileno(), raylet):
            self._selector.register(file, selectors.EVENT_READ)
        self._workers: set[_Worker] = set()

    def serve(self) -> None:
        """Serve until the raylet has ended."""
        while True:
            for key, _ in self._selector.select():
                worker: _Worker | None = key.data
                if worker is None and key.fd == self._raylet:
                    return
                if worker is None:
                    self._accept()
                elif worker not in self._workers:
                    continue  # the worker has ended in this turn
                elif key.fd == worker.watch:
                    self._end(worker)
                else:
                    self._kill(worker)

    def _accept(self) -> None:
        files: Sequence[int] = ()
        client: socket.socket | None = None
        try:
            client, _ = self._listener.accept()
            client.settimeout(_SECONDS)
            asked, files = _received(client)
            if asked["environment"][_JOB] == os.environ[_JOB]:  # else Ray's library here knows of another job
                self._fork(client, asked, files)
                client = None
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            pass  # the client starts by itself
        finally:
            for file in files:
                os.close(file)
            if client is not None:
                client.close()

    def _fork(self, client: socket.socket, asked: Mapping[str, Any], files: Sequence[int]) -> None:
        """Fork a worker.

        Raises:
            OSError: there is no memory or file for it, or the client is gone.
        """
        # The worker waits until its client knows of it: a client that hears of no worker becomes the worker itself.
        may_run, let_run = os.pipe()
        try:
            if (process := os.fork()) == 0:
                try:
                    os.close(let_run)
                    self._leave(client)
                    may_begin = os.read(may_run, 1)
                    os.close(may_run)
                    if may_begin:
                        _become(asked, files)
                finally:  # whatever was raised: this process must not go on as a second server
                    os._exit(1)
            worker = _Worker(process, _watched(process, asked["group"]), client)
            client.setblocking(False)
            self._workers.add(worker)
            for file in (worker.watch, client.fileno()):
                self._selector.register(file, selectors.EVENT_READ, worker)
            with contextlib.suppress(OSError):  # the client is gone, which ends the worker
                client.send(struct.pack("<i", process))
                os.write(let_run, b".")
        finally:
            os.close(may_run)
            os.close(let_run)

    def _leave(self, client: socket.socket) -> None:
        """Close the server's files and sockets, in a process that it has forked."""
        self._selector.close()
        self._listener.close()
        os.close(self._raylet)
        client.close()
        for other in self._workers:
            os.close(other.watch)
            if other.client is not None:
                other.client.close()

    def _kill(self, worker: _Worker) -> None:
        """Kill a worker whose client is gone; its end is heard of later."""
        os.kill(worker.process, signal.SIGKILL)
        self._forget_client(worker)

    def _end(self, worker: _Worker) -> None:
        """Tell a worker's client the status with which the worker has ended."""
        _, status = os.waitpid(worker.process, 0)
        if worker.client is not None:
            with contextlib.suppress(OSError):  # the client is gone
                worker.client.send(struct.pack("<i", status))
            self._forget_client(worker)
        self._selector.unregister(worker.watch)
        os.close(worker.watch)
        self._workers.remove(worker)

    def _forget_client(self, worker: _Worker) -> None:
        assert worker.client is not None
        self._selector.unregister(worker.client)
        worker.client.close()
        worker.client = None


def _take_class_ids_from_the_system() -> None:
    """Let Ray take the ids of actor classes, some of which it defines in its modules, from the system's random numbers.

    From its own it takes the ids of objects and tasks too, and the first id makes their generator, which a fork copies.
    """
    actor: Any = importlib.import_module("ray.actor")
    kind = actor.ActorClassID
    actor.ActorClassID = SimpleNamespace(from_random=lambda: kind(os.urandom(kind.size())))


def _id_of_a_fork() -> bytes:
    """Return an id that Ray's random numbers give a process which is forked now."""
    told, tells = os.pipe()
    try:
        if (process := os.fork()) == 0:
            try:
                os.write(tells, sys.modules["ray"].WorkerID.from_random().binary())
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        os.close(tells)
        return os.read(told, 1024)
    finally:
        os.close(told)


def _watched(process: int, group: int) -> int:
    """Return a file descriptor that can be read once a process that was forked here has ended.

    Args:
        process: its id.
        group: process group that it is put into, which Ray ends with the worker.

    Raises:
        OSError: there are no more files, or the group has ended or is of another session; the process was killed.
    """
    try:
        os.setpgid(process, group)
        return os.pidfd_open(process)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise


def _other_threads() -> set[str]:
    """Return the names of this process's threads beside its main one, those of libraries too."""
    own = os.getpid()
    found = set()
    for each in Path("/proc/self/task").iterdir():
        if int(each.name) != own:
            with contextlib.suppress(OSError):  # the thread has ended meanwhile
                found.add((each / "comm").read_text().strip())
    return found


def _received(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    """Return a client's request, and its standard input, output and error.

    Raises:
        EOFError: the client ended meanwhile.
        OSError: it sends nothing for seconds.
        ValueError: it sends no JSON.
    """
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    try:
        with connection.makefile("rb") as stream:
            text = stream.read(*struct.unpack("<I", size)) if len(size) == 4 else b""
        if not text or len(files) != 3:
            raise EOFError
        asked: dict[str, Any] = json.loads(text)
    except BaseException:
        for file in files:
            os.close(file)
        raise
    return asked, files


def _become(asked: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Run the script of a worker in this forked process, as Python would have run it, and end."""
    status = 1
    try:
        with contextlib.suppress(OSError):  # the system allows no lower score
            Path("/proc/self/oom_score_adj").write_text(asked["oom_score_adj"])
        for number, file in enumerate(files):
            os.dup2(file, number)
        for file in files:
            os.close(file)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv[:] = asked["arguments"]
        sys.path.insert(0, os.path.dirname(sys.argv[0]))
        random.seed()
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()
        if "torch" in sys.modules:
            sys.modules["torch"].default_generator.seed()
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:  # the worker's own error, shown as Python itself shows it
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):  # what Python does at its end; an error in it changes no status
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status & 0xFF)

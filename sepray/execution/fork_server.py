"""Forks the workers of a private Ray from one process that has imported torch and Ray Tune already.

A worker that starts by itself takes seconds of CPU for its imports, and has hundreds of megabytes of them for itself. A
forked one shares them with all others until it writes to them. Ray starts ``fork_client`` in the place of a worker
(``py_executable`` of its runtime environment); that asks this server, over a Unix socket in the private folder of this
Ray, and waits for the worker to end. What keeps the server from serving only makes a worker start by itself.

Only a process of a single thread can be forked without care, so nothing that starts threads is imported here, a user's
modules least of all. The server ends with its raylet, and a worker with its client.
"""

from __future__ import annotations

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
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

IMPORTED = ("ray.tune", "torch", "sepray.execution.trainable")
_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})  # of pyarrow's allocator, which knows forks
_JOB = "RAY_JOB_ID"
_RAYLET = "RAY_RAYLET_PID"
_FIRST_JOB = "01000000"
_CODE = "import sys; from sepray.execution.fork_server import main; main(*sys.argv[1:])"


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


def start(path: str, raylet: int) -> subprocess.Popen[bytes]:
    """Start the server of a Ray whose first job is that of this process; it serves after seconds.

    Args:
        path: socket that it listens at, in a folder of this user alone.
        raylet: process id of the raylet; the server ends with it.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _CODE, path, *IMPORTED],
        env={**os.environ, _JOB: _FIRST_JOB, _RAYLET: str(raylet)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # a signal to the group of the driver ends Ray's processes in their own time
    )


def main(path: str, *modules: str) -> None:
    """Import modules, then fork a worker for each client until the raylet has ended.

    Args:
        path: socket to listen at.
        modules: names of the modules.
    """
    raylet = os.pidfd_open(int(os.environ[_RAYLET]))
    try:
        for name in modules:
            importlib.import_module(name)
        if threads := _other_threads() - _SAFE_THREADS:
            raise RuntimeError(f"imports have started threads: {', '.join(sorted(threads))}")
    except Exception:
        Path(f"{path}.none").touch()  # no client waits any longer
        raise
    gc.collect()
    gc.freeze()  # a collection of a worker's would write to all pages
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen(1024)
        os.rename(f"{path}.new", path)  # clients wait for the name
        _Server(listener, raylet).serve()


class _Server:
    """Serves clients; ``_workers`` has the process and the connection of each that runs, by both file descriptors."""

    def __init__(self, listener: socket.socket, raylet: int) -> None:
        self._listener, self._raylet = listener, raylet
        self._selector = selectors.DefaultSelector()
        for file in (listener.fileno(), raylet):
            self._selector.register(file, selectors.EVENT_READ)
        self._workers: dict[int, tuple[int, int, socket.socket]] = {}

    def serve(self) -> None:
        """Serve until the raylet has ended."""
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._raylet:
                    return
                if key.fd == self._listener.fileno():
                    self._accept()
                elif key.fd in self._workers:
                    self._end(key.fd)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(10.0)
        files: Sequence[int] = ()
        try:
            asked, files = _received(connection)
            if asked["environment"].get(_JOB) == os.environ[_JOB]:
                self._fork(connection, asked, files)
            else:
                connection.close()  # of another job than Ray's library in this process: it starts by itself
        except (OSError, EOFError, ValueError):
            connection.close()
        finally:
            for file in files:
                os.close(file)

    def _fork(self, connection: socket.socket, asked: Mapping[str, Any], files: Sequence[int]) -> None:
        may_run, let_run = os.pipe()  # not before the client knows of it: a client that knows of none is the worker
        if (process := os.fork()) == 0:
            self._selector.close()
            self._listener.close()
            os.close(let_run)
            for own in {connection, *(each for *_, each in self._workers.values())}:
                own.close()
            if not os.read(may_run, 1):
                os._exit(1)
            os.close(may_run)
            _become(asked, files)
        os.close(may_run)
        connection.setblocking(False)
        watch = os.pidfd_open(process)
        for file in (watch, connection.fileno()):
            self._workers[file] = (process, watch, connection)
            self._selector.register(file, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # the client is gone, which ends the worker
            connection.send(struct.pack("<i", process))
            os.write(let_run, b".")
        os.close(let_run)

    def _end(self, file: int) -> None:
        """End a worker whose client is gone, or tell the client the status of a worker that has ended."""
        process, watch, connection = self._workers[file]
        if file != watch:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        for each in (watch, connection.fileno()):
            self._selector.unregister(each)
            del self._workers[each]
        with contextlib.suppress(OSError):  # the client is gone
            connection.send(struct.pack("<i", status))
        connection.close()
        os.close(watch)


def _other_threads() -> set[str]:
    """Return the names of this process's threads beside its main one, those of libraries too."""
    own = os.getpid()
    return {(each / "comm").read_text().strip() for each in Path("/proc/self/task").iterdir() if int(each.name) != own}


def _received(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    """Return what a client asks for and its standard input, output and error.

    Raises:
        EOFError: the client ended meanwhile.
        OSError: it sends nothing for seconds.
    """
    size, files, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as stream:
        text = stream.read(*struct.unpack("<I", size)) if len(size) == 4 else b""
    if not text or len(files) != 3:
        raise EOFError
    asked: dict[str, Any] = json.loads(text)
    return asked, files


def _become(asked: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Run the script of a worker in this forked process, as Python would have run it, and end."""
    status = 1
    try:
        os.setpgid(0, asked["group"])  # Ray ends a worker's group with it
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
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
    except BaseException:  # of the worker's code, as Python itself shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 0xFF)

"""The process that delivers to MLflow, so that neither MLflow's import (seconds) nor its requests delay a study.

It reads its settings as one JSON line and then commands (``flush``, ``finish``) from standard input, and writes events
as JSON lines to standard output. The address comes that way because other users can read a command line, and an
environment is inherited. The process runs at low priority, ignores the terminal's Ctrl-C, and ends when its parent
does. If the parent ends without ``finish``, the process says so in the terminal. A parent that was killed cannot, nor
one that Ray has ended from C++, as it does when its own processes die.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import mask
from .calls import UnavailableError, reason_of
from .delivery import Delivery
from .environment import QUIET, REQUEST_LIMITS
from .outbox import BusyError, Outbox, RunKey

_log = logging.getLogger(__name__)
NICENESS = 19  # lower priority than Ray's workers, which have 15
OPERATIONS_A_ROUND = 2000
RESTART_PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses before the process is started again after it has died; the last one is repeated."""
_HEALTHY_SECONDS = 60.0  # a process that has lived so long is started again without a longer pause
_LAST_ATTEMPTS = 3  # tries at the end if the server never answered; if it did, they go on until the timeout


class Sender:
    """The parent's side of the process: starts it, passes on its events, and starts it again if it dies.

    Args:
        outbox: path of the outbox.
        uri: MLflow's address, with its secrets.
        interval: seconds between deliveries; a longer one merges more operations into a request.
        longest_wait: greatest number of seconds between attempts while the server is down.
        on_run_id: called with (key, run id, id of its experiment), from a thread.
        on_trouble: called with the reason when nothing can be delivered, with None when it can again; from a thread.
        last_words: line that appears on this process's standard error if it ends without ``finish``; empty: none.
    """

    def __init__(
        self,
        outbox: Path,
        uri: str,
        *,
        interval: float,
        longest_wait: float,
        on_run_id: Callable[[RunKey, str, str], None],
        on_trouble: Callable[[str | None], None],
        last_words: str = "",
    ) -> None:
        self._settings = {
            "outbox": str(Path(outbox).resolve()),
            "uri": uri,
            "interval": interval,
            "longest_wait": longest_wait,
        }
        self._last_words = last_words
        self._on_run_id = on_run_id
        self._on_trouble = on_trouble
        self._untold: list[tuple[RunKey, str, str]] = []  # ids of runs that nobody has taken yet
        self._telling = threading.Lock()
        self._closing = threading.Event()
        self._expired = threading.Event()
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, name="tracking-events", daemon=True)
        self._reader.start()

    def send(self, command: str) -> None:
        """Send the command ``flush`` (deliver now) or ``finish`` (deliver everything, then end)."""
        if command == "finish":
            self._closing.set()
        _write(self._process, command)

    def wait(self, timeout: float) -> None:
        """Wait until the process has ended; kill it after ``timeout`` seconds. Never raises because it has died."""
        self._closing.set()
        deadline = time.monotonic() + timeout
        self._reader.join(timeout)
        self._expired.set()
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._tell_run_ids()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # unread events are dropped
                    pipe.close()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._closing.set()
        self._expired.set()
        self._process.kill()
        self.wait(5.0)

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        terminal = _standard_error() if self._last_words else None
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from sepray.tracking.sender import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                pass_fds=() if terminal is None else (terminal,),
                env={**os.environ, **QUIET, **REQUEST_LIMITS, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )
        finally:
            if terminal is not None:
                os.close(terminal)
        own = {} if terminal is None else {"terminal": terminal, "last_words": self._last_words}
        _write(process, json.dumps(self._settings | own))
        return process

    def _read(self) -> None:
        """Pass on the events of the process, and start it again when it dies, until the sender is closed."""
        deaths = 0
        while True:
            started, reason = time.monotonic(), self._pass_on(self._process)
            if self._expired.is_set() or (self._closing.is_set() and self._process.returncode == 0):
                return
            self._tell_trouble(reason)
            deaths = 0 if time.monotonic() - started >= _HEALTHY_SECONDS else deaths
            pause = RESTART_PAUSES_SECONDS[min(deaths, len(RESTART_PAUSES_SECONDS) - 1)]
            deaths += 1
            if self._closing.is_set() and deaths > _LAST_ATTEMPTS:
                return
            self._wait(pause)
            if self._expired.is_set():
                return
            try:
                self._process = self._start()
            except OSError as error:  # too little memory, or too many processes
                self._tell_trouble(str(error))
            if self._expired.is_set():
                self._process.kill()
            elif self._closing.is_set():
                _write(self._process, "finish")

    def _wait(self, seconds: float) -> None:
        """Wait before the process is started again; at most half a second if the sender is being closed."""
        if self._closing.is_set():
            time.sleep(min(seconds, 0.5))
        else:
            self._closing.wait(seconds)

    def _pass_on(self, process: subprocess.Popen[str]) -> str:
        """Pass on the events of a process until it ends; return in words how it ended."""
        output = deque[str](maxlen=5)
        with contextlib.suppress(ValueError):  # ``wait`` has closed the pipe, while a locked storage took an id
            for line in process.stdout or ():
                try:
                    event = json.loads(line)
                except ValueError:
                    output.append(mask(line.strip()))
                    continue
                if "run_id" in event:
                    key = RunKey(event["study"], event["label"])
                    self._untold.append((key, event["run_id"], event["experiment_id"]))
                    self._tell_run_ids()
                else:
                    self._tell_trouble(event["trouble"])
        process.wait()
        return f"the sender ended ({process.returncode}): {' '.join(output)[:500]}"

    def _tell_run_ids(self) -> None:
        """Pass on the ids of runs; if a storage fails to take one, it is passed on again with the next."""
        while self._untold and self._telling.acquire(blocking=False):  # another thread that has the lock does it
            try:
                if self._untold:
                    self._on_run_id(*self._untold[0])
                    self._untold.pop(0)
            except Exception as error:
                _log.info("the id of an MLflow run is not kept yet: %s", mask(str(error)))
                return
            finally:
                self._telling.release()

    def _tell_trouble(self, reason: str | None) -> None:
        try:
            self._on_trouble(reason)
        except Exception as error:
            _log.info("%s (%s)", reason, mask(str(error)))


def _standard_error() -> int | None:
    """Return a copy of this process's standard error; None if it has been closed."""
    try:
        return os.dup(2)
    except OSError:
        return None


def _write(process: subprocess.Popen[str], line: str) -> None:
    try:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except (OSError, ValueError):
        return  # the process has ended, as the reader will notice; the outbox keeps all operations


class _Commands:
    """Reads the parent's commands from standard input."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._buffer = b""

    def settings(self) -> bytes:
        while b"\n" not in self._buffer:
            self._buffer += self._receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def wait(self, seconds: float) -> str:
        """Return "flush", "finish", "end" (the parent has ended) or "" after ``seconds`` without a command."""
        if not self._buffer:
            if not select.select([0], [], [], seconds)[0]:
                return "end" if os.getppid() != self._parent else ""
            try:
                self._buffer = self._receive()
            except EOFError:
                return "end"
        lines = self._buffer.decode().split()
        self._buffer = b""
        return "finish" if "finish" in lines else "flush"

    def _receive(self) -> bytes:
        data = os.read(0, 65536)
        if not data:
            raise EOFError("the parent has ended")
        return data


def main() -> None:
    """Run the process that delivers."""
    os.nice(NICENESS)
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not write between the events
    commands = _Commands(os.getppid())
    settings = json.loads(commands.settings())
    outbox = Outbox(Path(settings["outbox"]))
    while True:
        try:
            with outbox.exclusive(timeout=1.0):
                _serve(outbox, settings, commands, events)
                return
        except BusyError as error:  # the process of a killed driver is still finishing its request
            _emit(events, {"trouble": str(error)})
            if (command := commands.wait(0.0)) in ("end", "finish"):
                if command == "end":
                    _say_last_words(settings)
                return


def _serve(outbox: Outbox, settings: dict[str, Any], commands: _Commands, events: IO[str]) -> None:
    """Deliver until the parent ends. After "finish", deliver until nothing is left or the server does not answer."""

    def on_run_id(key: RunKey, run_id: str, experiment_id: str) -> None:
        _emit(events, {"study": key.study, "label": key.label, "run_id": run_id, "experiment_id": experiment_id})

    delivery = Delivery(outbox, settings["uri"], on_run_id)
    interval, longest = float(settings["interval"]), float(settings["longest_wait"])
    failures, finishing, answered, reported, command = 0, False, False, None, ""
    while command != "end":
        settled, trouble = 0, None
        if outbox.pending():
            try:
                settled, trouble = delivery.deliver(OPERATIONS_A_ROUND)
            except UnavailableError as error:
                trouble = str(error)
            except Exception as error:
                trouble = f"{type(error).__name__}: {reason_of(error)}"
            failures = failures + 1 if trouble else 0
            answered |= not trouble
            if trouble != reported:
                _emit(events, {"trouble": trouble})
                reported = trouble
        if finishing and (not outbox.pending() or (failures >= _LAST_ATTEMPTS and not answered)):
            return
        backoff = min(longest, 0.5 * 2 ** min(failures, 20) * random.uniform(0.7, 1.0))
        more = finishing or settled >= OPERATIONS_A_ROUND
        command = commands.wait(backoff if trouble else 0.0 if more else interval)
        if command == "finish" and not finishing:
            finishing, failures = True, 0
    if not finishing:
        _say_last_words(settings)


def _say_last_words(settings: dict[str, Any]) -> None:
    """Print the parent's last words in its terminal, unless that is closed."""
    if "terminal" in settings:
        with contextlib.suppress(OSError):
            os.write(settings["terminal"], f"{settings['last_words']}\n".encode())


def _emit(events: IO[str], event: dict[str, Any]) -> None:
    try:
        events.write(json.dumps(event) + "\n")
        events.flush()
    except BrokenPipeError:
        return  # the parent has ended, as the next wait for a command will notice

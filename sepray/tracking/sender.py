"""The process that delivers, so that neither MLflow's import (seconds) nor its requests take time from a study.

It reads its settings as one JSON line and then commands (``flush``, ``finish``) from standard input, and
writes events as JSON lines. The address comes that way because a command line and an environment are
visible to others. It yields the processor to trials (niceness), ignores the terminal's Ctrl-C, and ends
when its parent does.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import mask
from .delivery import Delivery, UnavailableError, one_line
from .environment import PATIENCE, QUIET
from .outbox import BusyError, Outbox, RunKey

NICENESS = 19  # Ray gives its workers 15; this yields to them
AT_ONCE = 2000  # operations
_RESTARTS = 3
_LAST_TRIES = 3  # at the end of a study whose server has never answered; one that has is waited for as long as asked


class Sender:
    """The parent's side of the process: starts it, passes on what it says, starts it again if it dies.

    Args:
        outbox: path of the outbox.
        uri: MLflow's address, with its secrets.
        interval: seconds between deliveries; a longer one merges more into a request.
        longest_wait: seconds between attempts at most while the server is down.
        on_run_id: told (key, run id); called from a thread.
        on_trouble: told why nothing is delivered now, and None when it goes on; called from a thread.
    """

    def __init__(
        self,
        outbox: Path,
        uri: str,
        *,
        interval: float,
        longest_wait: float,
        on_run_id: Callable[[RunKey, str], None],
        on_trouble: Callable[[str | None], None],
    ) -> None:
        self._settings = {
            "outbox": str(Path(outbox).resolve()),
            "uri": uri,
            "interval": interval,
            "longest_wait": longest_wait,
        }
        self._on_run_id = on_run_id
        self._on_trouble = on_trouble
        self._closing = False
        self._starts = 0
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, name="tracking-events", daemon=True)
        self._reader.start()

    def tell(self, command: str) -> None:
        """Send ``flush`` (deliver now) or ``finish`` (deliver all, then end)."""
        self._closing |= command == "finish"
        _write(self._process, command)

    def wait(self, timeout: float) -> None:
        """Wait until the process has ended; after ``timeout`` seconds end it."""
        self._closing = True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _start(self) -> subprocess.Popen[str]:
        self._starts += 1
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-c", "from sepray.tracking.sender import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **QUIET, **PATIENCE, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        _write(process, json.dumps(self._settings))
        return process

    def _read(self) -> None:
        while True:
            process, said = self._process, deque[str](maxlen=5)
            for line in process.stdout or ():
                try:
                    event = json.loads(line)
                except ValueError:
                    said.append(mask(line.strip()))
                    continue
                if "run_id" in event:
                    self._on_run_id(RunKey(event["study"], event["label"]), event["run_id"])
                else:
                    self._on_trouble(event["trouble"])
            process.wait()
            if self._closing:
                return
            self._on_trouble(f"the sender ended ({process.returncode}): {' '.join(said)[:500]}")
            if self._starts > _RESTARTS:
                return
            self._process = self._start()


def _write(process: subprocess.Popen[str], line: str) -> None:
    try:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
    except (BrokenPipeError, ValueError):
        return  # it has ended; the reader notices, and nothing in the outbox is lost


class _Commands:
    """Commands of the parent, from standard input."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._rest = b""

    def settings(self) -> bytes:
        while b"\n" not in self._rest:
            self._rest += self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def wait(self, seconds: float) -> str:
        """Return "flush", "finish", "end" (the parent is gone) or "" after ``seconds`` without a command."""
        if not self._rest:
            if not select.select([0], [], [], seconds)[0]:
                return "end" if os.getppid() != self._parent else ""
            try:
                self._rest = self._more()
            except EOFError:
                return "end"
        lines = self._rest.decode().split()
        self._rest = b""
        return "finish" if "finish" in lines else "flush"

    def _more(self) -> bytes:
        data = os.read(0, 65536)
        if not data:
            raise EOFError("the parent has ended")
        return data


def main() -> None:
    """Run the sender's process."""
    os.nice(NICENESS)
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an event
    commands = _Commands(os.getppid())
    settings = json.loads(commands.settings())
    outbox = Outbox(Path(settings["outbox"]))
    while True:
        try:
            with outbox.exclusive(timeout=1.0):
                _serve(outbox, settings, commands, events)
                return
        except BusyError as error:  # the sender of a driver that was killed finishes its request
            _say(events, {"trouble": str(error)})
            if commands.wait(0.0) in ("end", "finish"):
                return


def _serve(outbox: Outbox, settings: dict[str, Any], commands: _Commands, events: IO[str]) -> None:
    """Deliver until the parent ends or, once it said "finish", until nothing is left or nobody answers."""

    def found(key: RunKey, run_id: str) -> None:
        _say(events, {"study": key.study, "label": key.label, "run_id": run_id})

    delivery = Delivery(outbox, settings["uri"], found)
    interval, longest = float(settings["interval"]), float(settings["longest_wait"])
    failures, finishing, answered, told, command = 0, False, False, None, ""
    while command != "end":
        settled, trouble = 0, None
        if outbox.pending():
            try:
                settled, trouble = delivery.deliver(AT_ONCE)
            except UnavailableError as error:
                trouble = str(error)
            except Exception as error:
                trouble = f"{type(error).__name__}: {one_line(error)}"
            failures = failures + 1 if trouble else 0
            answered |= not trouble
            if trouble != told:
                _say(events, {"trouble": trouble})
                told = trouble
        if finishing and (not outbox.pending() or (failures >= _LAST_TRIES and not answered)):
            return
        backoff = min(longest, 0.5 * 2 ** min(failures, 20) * random.uniform(0.7, 1.0))
        more = finishing or settled >= AT_ONCE
        command = commands.wait(backoff if trouble else 0.0 if more else interval)
        if command == "finish" and not finishing:
            finishing, failures = True, 0


def _say(events: IO[str], event: dict[str, Any]) -> None:
    try:
        events.write(json.dumps(event) + "\n")
        events.flush()
    except BrokenPipeError:
        return  # the parent has ended, which the next wait for a command finds out

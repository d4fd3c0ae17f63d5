"""Runs one row of the campaign: a study, a fault at a random moment, the same command until it ends, the check."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sepray.console.interruption import SIGNALS

from ..end_to_end.conftest import Laboratory
from ..mlflow_server import Server
from .files import EPOCHS, TRIALS
from .proxy import Proxy

MOST_STARTS = 6
_LONGEST_START = 420.0  # seconds
GOOD_STATUSES = {0, 2, 129, 130, 143, -signal.SIGKILL, *(-n for n in SIGNALS)}
"""Exit statuses that a fault may have: done, one line about a store or Ray, interrupted, killed."""

MOMENTS = ("begin", "startup", "search", "finals", "packaging", "registration", "report", "end")


@dataclass
class Run:
    """A study under a fault.

    Attributes:
        laboratory: its folder.
        random: what is drawn for this seed.
        flags: flags of its command.
        statuses: exit status of each start that has ended.
        process: the driver that runs.
        proxy: stands before its tracking server, if it has one.
        notes: what a row found wrong on the way.
        prefix: program that starts the command.
        starts: number of starts so far.
    """

    laboratory: Laboratory
    random: random.Random
    flags: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    proxy: Proxy | None = None
    notes: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    starts: int = 0

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return self.laboratory.folder

    @property
    def printed(self) -> str:
        """What the last start has printed so far."""
        return self._log(self.starts).read_text(errors="replace")

    def start(self) -> subprocess.Popen[str]:
        """Start the study's command."""
        self.starts += 1
        with self._log(self.starts).open("w") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "study.py", *self.flags],
                cwd=self.folder,
                env=self.laboratory.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.laboratory.started.append(self.process)
        return self.process

    def wait(self, seconds: float = _LONGEST_START) -> int:
        """Wait until the driver has ended; return its exit status."""
        assert self.process is not None
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.notes.append(f"start {len(self.statuses) + 1} still ran after {seconds:g} s")
            self.process.kill()
            status = self.process.wait()
        self.statuses.append(status)
        return status

    def kill(self) -> None:
        """Kill the driver; a driver that has ended already is none of a row's business."""
        assert self.process is not None
        self.process.kill()
        self.wait()

    def again(self) -> int:
        """Start the same command, and wait until it ends."""
        self.start()
        return self.wait()

    def reach(self, moment: str) -> bool:
        """Wait for a moment of the driver that runs, and a little longer; return whether it still runs.

        Args:
            moment: one of ``MOMENTS``.
        """
        assert self.process is not None
        if moment == "begin":
            return True
        epochs = self.random.randint(1, TRIALS * EPOCHS - 8)
        later = self.random.uniform(0.0, {"startup": 8.0, "packaging": 4.0, "registration": 2.0}.get(moment, 0.5))
        reached: dict[str, Callable[[], bool]] = {
            "startup": lambda: True,
            "search": lambda: self._epochs("lab") >= epochs,
            "finals": lambda: self._epochs("lab/finals") >= 1 + epochs % (EPOCHS - 2),
            "packaging": lambda: "packaging the model" in self.printed,
            "registration": lambda: any(self.folder.glob("sepray-results/lab/*/model")),
            "report": lambda: any(self.folder.glob("sepray-results/lab/*/registration.json")),
            "end": lambda: self.process is not None and self.process.poll() is not None,
        }
        deadline = time.monotonic() + _LONGEST_START
        while time.monotonic() < deadline and self.process.poll() is None and not reached[moment]():
            time.sleep(0.05)
        time.sleep(later)
        return self.process.poll() is None

    def children(self, *words: str) -> list[psutil.Process]:
        """Return the driver's processes whose command line has one of these words."""
        assert self.process is not None
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if any(word in " ".join([process.name(), *process.cmdline()]) for word in words):
                        found.append(process)
        return found

    def checkpoints(self, stage: str = "search") -> list[Path]:
        """Return the checkpoints of a stage, the newest of each trial last."""
        return sorted(self.folder.glob(f"sepray-results/lab/*/{stage}/trial-*/*"))

    def _log(self, number: int) -> Path:
        return self.folder / f"start-{number}.log"

    def _epochs(self, name: str) -> int:
        try:
            return sum(len(t.intermediate_values) for t in self.laboratory.trials(name))
        except Exception:  # there is no such study yet, or the row has locked it
            return 0


@contextlib.contextmanager
def tracked(run: Run, seed: int) -> Iterator[None]:
    """Let a study track to a server behind a proxy; its database is the one that the check reads."""
    server = Server(run.folder, f"sqlite:///{run.folder}/mlflow.db")
    server.start()
    run.proxy = Proxy(server.uri, seed)
    run.flags += ["--tracking-uri", run.proxy.uri]
    try:
        yield
    finally:
        run.proxy.close()
        server.stop()


def finish(run: Run) -> None:
    """Wait for the driver that runs; start the same command again until it ends with 0, and deliver what waits."""
    if len(run.statuses) < run.starts:
        run.wait()
    while not run.statuses or run.statuses[-1] != 0:
        if len(run.statuses) >= MOST_STARTS:
            run.notes.append(f"it did not end in {MOST_STARTS} starts; the last printed {run.printed[-300:]}")
            return
        run.again()
    if run.proxy is not None:
        run.proxy.mode = "open"
    if "records wait for" in run.printed or "the model waits in" in run.printed:
        run.laboratory.sepray("reconcile", "lab")

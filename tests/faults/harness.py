"""Runs one row of the campaign: a study, a fault at a random moment, the same command until it ends."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..end_to_end.conftest import Laboratory
from ..mlflow_server import Server
from .files import EPOCHS, TRIALS
from .proxy import Proxy

MOST_STARTS = 6
_LONGEST_START = 420.0  # seconds
GOOD_STATUSES = frozenset({0, 2, 129, 130, 143})
"""Exit statuses that a fault may have: done, one line about a store or Ray, interrupted."""

MOMENTS = ("begin", "startup", "search", "finals", "packaging", "registration", "report", "end")


@dataclass
class Run:
    """A study under a fault.

    Attributes:
        laboratory: its folder.
        random: what is drawn for this seed.
        flags: flags of its command.
        statuses: exit status of each start that has ended.
        walls: seconds that each of these took.
        allowed: exit statuses that starts may have.
        process: the driver that runs.
        others: commands that run beside it.
        proxy: stands before its tracking server, if it has one.
        notes: what a row found wrong on the way.
        prefix: program that starts the command.
        starts: number of starts so far.
    """

    laboratory: Laboratory
    random: random.Random
    flags: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    allowed: set[int] = field(default_factory=lambda: set(GOOD_STATUSES))
    process: subprocess.Popen[str] | None = None
    others: list[Other] = field(default_factory=list)
    proxy: Proxy | None = None
    notes: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    starts: int = 0
    _watch: threading.Thread | None = None

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return self.laboratory.folder

    @property
    def printed(self) -> str:
        """Return the text that the last start has printed so far."""
        return self.printed_by(self.starts)

    def printed_by(self, number: int) -> str:
        """Return what a start has printed so far; they count from 1."""
        file = self._log(number)
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self, *flags: str) -> subprocess.Popen[str]:
        """Start the study's command, with further flags for this time."""
        self.starts += 1
        self.process = self._popen(self._log(self.starts), self.folder, [*self.flags, *flags])
        self._watch = threading.Thread(target=self._time, args=(self.process, time.monotonic()), daemon=True)
        self._watch.start()
        return self.process

    def beside(self, folder: Path, *flags: str, prefix: Sequence[str] = ()) -> Other:
        """Start the study's command in a folder, beside the driver that may run."""
        log = self.folder / f"beside-{len(self.others) + 1}.log"
        other = Other(self._popen(log, folder, [*self.flags, *flags], prefix), log)
        self.others.append(other)
        return other

    def _popen(
        self, log: Path, folder: Path, flags: Sequence[str], prefix: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        with log.open("w") as file:
            process = subprocess.Popen(
                [*(prefix or self.prefix), sys.executable, "study.py", *flags],
                cwd=folder,
                env=self.laboratory.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.laboratory.started.append(process)
        return process

    def _time(self, process: subprocess.Popen[str], begun: float) -> None:
        process.wait()
        self.walls.append(time.monotonic() - begun)

    def wait(self, seconds: float = _LONGEST_START) -> int:
        """Wait until the driver has ended; return its exit status."""
        assert self.process is not None
        assert self._watch is not None
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.notes.append(f"start {len(self.statuses) + 1} still ran after {seconds:g} s")
            self.process.kill()
            status = self.process.wait()
        self._watch.join()
        self.statuses.append(status)
        return status

    def kill(self) -> None:
        """Kill the driver, and wait until its processes have noticed; a driver that has ended already is left alone."""
        assert self.process is not None
        below = self.children()
        self.process.kill()
        self.allowed.add(-signal.SIGKILL)
        self.wait()
        psutil.wait_procs(below, timeout=20)

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
            "startup": lambda: "importing torch" in self.printed,  # before that no line of sepray's has run
            "search": lambda: self._epochs("lab") >= epochs,
            "finals": lambda: self._epochs("lab/finals") >= 1 + epochs % (EPOCHS - 2),
            "packaging": lambda: "packaging the model" in self.printed,
            "registration": lambda: any(self.folder.glob("sepray-results/lab/*/model")),
            "report": lambda: any(self.folder.glob("sepray-results/lab/*/registration.json")),
            "end": lambda: False,
        }
        deadline = time.monotonic() + _LONGEST_START
        while time.monotonic() < deadline and self.process.poll() is None and not reached[moment]():
            time.sleep(0.05)
        time.sleep(later)
        return self.process.poll() is None

    def children(self, *words: str) -> list[psutil.Process]:
        """Return the driver's processes whose command line has one of these words; without words all of them."""
        assert self.process is not None
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    line = " ".join([process.name(), *process.cmdline()])
                    if not words or any(word in line for word in words):
                        found.append(process)
        return found

    def checkpoints(self, stage: str = "search") -> list[Path]:
        """Return the checkpoints of a stage, the newest of each trial last."""
        return sorted(self.folder.glob(f"sepray-results/lab/*/{stage}/trial-*/*"))

    def _log(self, number: int) -> Path:
        return self.folder / f"start-{number}.log"

    def _epochs(self, name: str) -> int:
        """Return how many epochs of a stage the storage has; 0 where it cannot be read at the moment."""
        if self.laboratory.storage is not None:
            with contextlib.suppress(KeyError):  # there is no such study yet
                return sum(len(trial.intermediate_values) for trial in self.laboratory.trials(name))
            return 0
        statement = (
            "select count(*) from trial_intermediate_values join trials using (trial_id) "
            "join studies using (study_id) where study_name = ?"
        )
        try:
            address = f"file:{self.folder}/optuna.db?mode=ro"
            with contextlib.closing(sqlite3.connect(address, uri=True, timeout=0.0)) as database:
                [(count,)] = database.execute(statement, (name,))
        except sqlite3.Error:  # there is none yet, or the row has locked it
            return 0
        return int(count)


@dataclass
class Other:
    """A command that runs beside a driver.

    Attributes:
        process: its process.
        log: file with what it prints.
        statuses: exit statuses that it may have.
    """

    process: subprocess.Popen[str]
    log: Path
    statuses: frozenset[int] = frozenset({0, 2})

    def end(self, notes: list[str]) -> int:
        """Wait until it has ended; note where it did not as it may. Return its exit status."""
        status = self.process.wait(_LONGEST_START)
        printed = self.log.read_text(errors="replace")
        if status not in self.statuses or "Traceback" in printed:
            notes.append(f"the command beside it ended with {status}: {printed[-300:]}")
        return status


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
    for other in run.others:
        other.end(run.notes)
    while not run.statuses or run.statuses[-1] != 0:
        if len(run.statuses) >= MOST_STARTS:
            run.notes.append(f"it did not end in {MOST_STARTS} starts; the last printed {run.printed[-300:]}")
            return
        run.again()
    if run.proxy is not None:
        run.proxy.mode = "open"
    if re.search("updates? waits? for", run.printed) or "the model waits in" in run.printed:
        run.laboratory.sepray("reconcile", "lab")


def end_what_is_left(folder: Path) -> list[str]:
    """End the processes that still run in a folder of a study that has ended; return their names.

    Ray's processes of a driver that was killed end by themselves, within seconds.
    """
    left = _running_in(folder)
    _, alive = psutil.wait_procs(left, timeout=15)
    names = []
    for process in alive:
        with contextlib.suppress(psutil.Error):
            names.append(process.name())
            process.kill()
    return names


def _running_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found

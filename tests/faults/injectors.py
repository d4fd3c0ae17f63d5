"""The faults: each is a function of a ``Run`` whose driver has come to the row's moment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from .harness import Run

Fault = Callable[[Run], None]


def kills(*words: str, every: bool = False) -> Fault:
    """Kill -9 a process of the driver's, or all, whose command line has one of these words."""

    def fault(run: Run) -> None:
        found = run.children(*words)
        for process in found if every else run.random.sample(found, min(1, len(found))):
            with contextlib.suppress(psutil.Error):
                process.kill()

    return fault


def driver_killed(run: Run) -> None:
    """Kill -9 the driver alone."""
    run.kill()


def signalled(number: signal.Signals, twice: bool = False, group: bool = False) -> Fault:
    """Send the driver a signal, once, or twice with a pause in which it unwinds; or its whole process group."""

    def fault(run: Run) -> None:
        assert run.process is not None
        if group:
            os.killpg(run.process.pid, number)
        else:
            run.process.send_signal(number)
        if twice:
            time.sleep(1.5)
            run.process.send_signal(number)
        status = run.wait(120)
        # Twice: while Ray ends, its handlers are the system's own, by which a process dies of the signal.
        if status not in (0, 128 + number, -number if twice else 128 + number):
            run.notes.append(f"{number.name} ended with {status}")
        if "Traceback" in run.printed:
            run.notes.append(f"{number.name} printed a traceback")

    return fault


def mlflow(mode: str, seconds: float = 0.0) -> Fault:
    """Let the tracking server misbehave, for some seconds or (0) until the study has ended."""

    def fault(run: Run) -> None:
        assert run.proxy is not None
        run.proxy.mode = mode
        if seconds:
            run.proxy.later("open", seconds)

    return fault


def optuna_locked(seconds: float) -> Fault:
    """Lock the Optuna storage as another program does."""

    def fault(run: Run) -> None:
        def hold() -> None:
            with contextlib.closing(sqlite3.connect(run.folder / "optuna.db", timeout=60)) as database:
                database.execute("BEGIN EXCLUSIVE")
                time.sleep(seconds)
                database.rollback()

        threading.Thread(target=hold, daemon=True).start()

    return fault


def optuna_read_only(run: Run) -> None:
    """Let nobody write to the Optuna storage for some seconds."""
    files = [str(file) for file in run.folder.glob("optuna.db*")]
    subprocess.run(["chattr", "+i", *files], check=True)
    time.sleep(15)
    subprocess.run(["chattr", "-i", *files], check=True)


def optuna_corrupt(run: Run) -> None:
    """Start with a storage that is no database; the user puts back a copy of it."""
    run.kill()
    file = run.folder / "optuna.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    file.write_bytes(b"\0" * 4096 + whole[4096:])
    if run.again() != 2 or "Traceback" in run.printed:
        run.notes.append(f"a corrupt storage ended with {run.statuses[-1]}: {run.printed[-200:]}")
    for file in run.folder.glob("optuna.db*"):
        file.unlink()
    (run.folder / "optuna.db").write_bytes(whole)


@contextlib.contextmanager
def _small_files(pids: list[int]) -> Iterator[None]:
    """Let processes write no file beyond 4 KiB meanwhile, as if the disk were full; it works without any right."""
    import resource

    before = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def disk_full(what: str) -> Fault:
    """Fill the disk for eight seconds: under ``checkpoints``, ``outbox``, ``optuna`` or ``mlflow``.

    On a tmpfs that ``small_disk`` has mounted, where that is allowed; else a limit on the size of files stands for it.
    """

    def fault(run: Run) -> None:
        assert run.process is not None
        mounted = run.folder / "small"
        if mounted.is_mount():
            with (mounted / "filler").open("wb") as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(b"\0" * 65536)
                    filler.flush()
            time.sleep(8)
            (mounted / "filler").unlink()
            return
        words = {"checkpoints": "ray::", "mlflow": "tracking.sender"}
        pids = [p.pid for p in run.children(words[what])] if what in words else [run.process.pid]
        with _small_files(pids):
            time.sleep(8)

    return fault


@contextlib.contextmanager
def small_disk(run: Run, what: str) -> Iterator[None]:
    """Mount a small file system for what the row fills up, where that is allowed."""
    mounted = run.folder / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(mounted)]
    done = subprocess.run(command, capture_output=True, check=False)
    places = {
        "optuna": ["--storage", "sqlite:///small/optuna.db"],
        "mlflow": ["--tracking-uri", "sqlite:///small/mlflow.db"],
    }
    if done.returncode == 0:
        if what in places:
            (run.folder / f"{what}.db").symlink_to(mounted / f"{what}.db")
            run.flags += places[what]
        else:
            (run.folder / "sepray-results").symlink_to(mounted)
    try:
        yield
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(mounted)], check=False)


def damaged(how: str, finished: bool) -> Fault:
    """Stop the driver, and damage checkpoints of trials that have, or have not, finished."""

    def fault(run: Run) -> None:
        run.kill()
        time.sleep(3)  # Ray's workers end by themselves
        complete = {t.number for t in run.laboratory.trials() if t.values}
        files = [f for f in run.checkpoints() if (int(f.parent.name[-5:]) in complete) is finished]
        for file in files:
            _damage(file, how, files)

    return fault


def _damage(file: Path, how: str, files: list[Path]) -> None:
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        os.truncate(file, file.stat().st_size // 2)
    elif how == "foreign":
        others = [other for other in files if other.parent != file.parent]
        if others:
            shutil.copy(others[0], file.parent / others[0].name)
    else:
        content = bytearray(file.read_bytes())
        content[-8:] = bytes(8)
        file.write_bytes(bytes(content))


def result_emptied(run: Run) -> None:
    """Stop the driver at its end, and leave an empty result."""
    run.kill()
    for file in run.folder.glob("sepray-results/lab/*/result.json"):
        file.write_bytes(b"")


def model_deleted(run: Run) -> None:
    """Stop the driver at its end, and delete the packaged model."""
    run.kill()
    for folder in run.folder.glob("sepray-results/lab/*/model"):
        shutil.rmtree(folder)


def misbehaves(kind: str, once: bool = False) -> Fault:
    """Let the separator of one trial misbehave at an epoch that is drawn."""

    def fault(run: Run) -> None:
        plan = {"kind": kind, "epoch": run.random.randint(1, 5), "once": once}
        (run.folder / "misbehave.json").write_text(json.dumps(plan))

    return fault


def second_driver(run: Run) -> None:
    """Start the same command beside the first: refused in one line, and the first goes on."""
    _refused(run, run.folder)


def second_folder(run: Run) -> None:
    """Start the study on the same storage from another folder: refused in one line, and the first goes on."""
    other = run.folder / "elsewhere"
    other.mkdir()
    for name in ("study.py", "my_separator.py", "my_task.py"):
        shutil.copy(run.folder / name, other)
    _refused(run, other, "--storage", f"sqlite:///{run.folder}/optuna.db")


def _refused(run: Run, folder: Path, *flags: str) -> None:
    """Start the study in a folder while another driver runs it; note it where it is not refused in one line."""
    beside = subprocess.run(
        [sys.executable, "study.py", *run.flags, *flags],
        cwd=folder,
        env=run.laboratory.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if beside.returncode != 2 or "Traceback" in beside.stderr:
        run.notes.append(f"a second driver in {folder} ended with {beside.returncode}: {beside.stderr[-300:]}")


def moved(run: Run) -> None:
    """Stop the driver, move its folder, and go on there."""
    run.kill()
    time.sleep(5)  # until the sender and Ray's workers have noticed
    there = run.folder.with_name(f"{run.folder.name}-moved")
    shutil.move(run.folder, there)
    run.laboratory.folder = there


def code_changed(run: Run) -> None:
    """Stop the driver and change the separator's file: said with its name, and gone on with when that is allowed."""
    run.kill()
    with (run.folder / "my_separator.py").open("a") as file:
        file.write("\n# changed\n")
    if run.again() != 2 or "my_separator.py" not in run.printed:
        run.notes.append(f"changed code ended with {run.statuses[-1]}: {run.printed[-200:]}")
    run.flags.append("--allow-changed-code")


def clock(shift: str) -> Fault:
    """Stop the driver, and go on with another clock."""

    def fault(run: Run) -> None:
        run.kill()
        run.prefix = ["faketime", "-f", shift]

    return fault

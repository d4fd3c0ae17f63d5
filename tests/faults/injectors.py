"""Faults of processes and stores: each is a function of a ``Run`` whose driver has come to the row's moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

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


def workers_and_agents_killed(run: Run) -> None:
    """Kill -9 Ray's processes but for GCS and raylet, which then leaves by itself; Ray may end the driver with it."""
    kills("ray::", every=True)(run)
    run.allowed.add(1)
    run.wait(120)
    deadline = time.monotonic() + 20
    while "the same command goes on" not in run.printed:
        if time.monotonic() > deadline:
            run.notes.append(f"it ended with {run.statuses[-1]}, and nothing says how to go on: {run.printed[-300:]}")
            return
        time.sleep(0.2)


def killed_again_and_again(word: str, times: int) -> Fault:
    """Kill -9 a process of the driver's, and each that is started in its place, up to so many."""

    def fault(run: Run) -> None:
        assert run.process is not None
        killed: set[int] = set()
        while len(killed) < times and run.process.poll() is None:
            for process in run.children(word):
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    killed.add(process.pid)
            time.sleep(0.1)

    return fault


def nothing(run: Run) -> None:
    """Let everything go well."""


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
        wanted = {0, 128 + number}
        if twice:  # while Ray ends, its handlers are the system's own, by which a process dies of the signal
            wanted.add(-number)
            run.allowed.add(-number)
        if status not in wanted:
            run.notes.append(f"{number.name} ended with {status}")

    return fault


def mlflow(mode: str, seconds: float = 0.0) -> Fault:
    """Let the tracking server misbehave, for some seconds or (0) until the study has ended."""

    def fault(run: Run) -> None:
        assert run.proxy is not None
        run.proxy.mode = mode
        if seconds:
            run.proxy.later("open", seconds)

    return fault


def optuna_locked(seconds: float, kill: bool = False) -> Fault:
    """Lock the Optuna storage as another program does; kill the driver meanwhile, or not."""

    def fault(run: Run) -> None:
        def hold() -> None:
            with contextlib.closing(sqlite3.connect(run.folder / "optuna.db", timeout=60)) as database:
                database.execute("BEGIN EXCLUSIVE")
                time.sleep(seconds)
                database.rollback()

        threading.Thread(target=hold, daemon=True).start()
        if kill:
            time.sleep(run.random.uniform(1.0, 0.8 * seconds))
            run.kill()

    return fault


@contextlib.contextmanager
def _read_only(run: Run) -> Iterator[None]:
    """Let nobody write to the Optuna storage meanwhile.

    Permissions do not bind root, and a mount becomes read-only only when nobody has a file on it open for writing, as
    the driver has. So it is the files' own attribute; not of the file that SQLite maps, whose writer the system would
    end by SIGBUS.
    """
    files = [str(file) for file in run.folder.glob("optuna.db*") if not file.name.endswith("-shm")]
    subprocess.run(["chattr", "+i", *files], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


def optuna_read_only(run: Run) -> None:
    """Let nobody write to the Optuna storage for some seconds."""
    with _read_only(run):
        time.sleep(15)


def optuna_read_only_for_good(run: Run) -> None:
    """Let nobody write to the Optuna storage until the driver has ended for it, in one line."""
    with _read_only(run):
        status = run.wait(300)
    if status != 2 or "the storage has failed for 120 s" not in run.printed:
        run.notes.append(f"a read-only storage ended with {status}: {run.printed[-300:]}")


def optuna_mounted_read_only(run: Run) -> None:
    """Start where the files of the Optuna storage are on a read-only mount, in a mount namespace of the start's own."""
    run.kill()
    mount = 'for f in optuna.db*; do mount --bind "$f" "$f" && mount -o remount,bind,ro "$f" || exit 99; done'
    run.prefix = ["unshare", "-m", "sh", "-c", f'{mount}; exec "$@"', "sh"]
    if run.again() != 2 or "readonly" not in run.printed.replace("-", ""):
        run.notes.append(f"a read-only storage ended with {run.statuses[-1]}: {run.printed[-300:]}")
    run.prefix = []


def optuna_corrupt(run: Run) -> None:
    """Start with a storage that is no database; the user puts back a copy of it."""
    run.kill()
    file = run.folder / "optuna.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = file.read_bytes()
    file.write_bytes(b"\0" * 4096 + whole[4096:])
    if run.again() != 2:
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


def memory_short(run: Run) -> None:
    """Let the workers, and those that begin meanwhile, get no more memory from the system for eight seconds.

    Whichever part of a worker asks for it, and not the separator alone. A worker that the system ends for its memory
    gets the signal of the row ``worker killed``.
    """
    import resource

    def limit(most: int | None) -> None:
        for process in run.children("ray::", "fork_server"):
            with contextlib.suppress(ProcessLookupError):
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
                resource.prlimit(process.pid, resource.RLIMIT_AS, (hard if most is None else most, hard))

    limit(1 << 20)
    time.sleep(8)
    limit(None)


def ended_by_ray_for_memory(run: Run) -> None:
    """Let Ray end every worker for the lack of memory of its node, until the driver has ended for it, in one line."""
    run.kill()
    scarce = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "250"}
    run.laboratory.environment |= scarce
    if run.again() != 2 or "out of memory" not in run.printed:
        run.notes.append(f"without memory it ended with {run.statuses[-1]}: {run.printed[-300:]}")
    for name in scarce:
        del run.laboratory.environment[name]


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

"""Faults of what surrounds a driver: its files, its separator, other drivers, its folder, its clock, its terminal.

As in ``injectors``, each is a function of a ``Run`` whose driver has come to the row's moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from .harness import Other, Run
from .injectors import Fault


def damaged(how: str, finished: bool) -> Fault:
    """Stop the driver, and damage checkpoints of trials that have, or have not, finished."""

    def fault(run: Run) -> None:
        run.kill()
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


def result_damaged(how: str) -> Fault:
    """Stop the driver at its end, and damage the result; a foreign one has another champion."""

    def fault(run: Run) -> None:
        run.kill()
        for file in run.folder.glob("sepray-results/lab/*/result.json"):
            if how == "emptied":
                file.write_bytes(b"")
            elif how == "foreign":
                file.write_text(json.dumps({**json.loads(file.read_text()), "member": 99, "role": "another"}))
            else:
                _damage(file, how, [])

    return fault


def model_damaged(how: str) -> Fault:
    """Stop the driver at its end, and damage the packaged model's weights; ``deleted``: delete the whole model."""

    def fault(run: Run) -> None:
        run.kill()
        for folder in run.folder.glob("sepray-results/lab/*/model"):
            if how == "deleted":
                shutil.rmtree(folder)
            else:
                _damage(folder / "data" / "separator" / "weights.safetensors", how, [])

    return fault


def model_foreign(whole: bool) -> Fault:
    """Stop the driver at its end, and put other weights in the place of the model's; it goes on with its own.

    Args:
        whole: whether the whole model is that of another study, of the same name and kind; else other values are in the
            file of the weights.
    """

    def fault(run: Run) -> None:
        run.kill()
        [folder] = run.folder.glob("sepray-results/lab/*/model")
        weights = folder / "data" / "separator" / "weights.safetensors"
        own = weights.read_bytes()
        if whole:
            other = _elsewhere(run)
            run.beside(other, "--seed", "7", "--trials", "8", "--max-epochs", "1").end(run.notes)
            [model] = other.glob("sepray-results/lab/*/model")
            shutil.rmtree(folder)
            shutil.move(model, folder)
            shutil.rmtree(other)
        else:
            from safetensors.numpy import load_file, save_file

            save_file({name: 0.5 * value for name, value in load_file(weights).items()}, weights)
        if weights.read_bytes() == own:
            run.notes.append("the row itself: the foreign weights are the model's own")
        run.again()
        there = {file: file.read_bytes() == own for file in run.folder.rglob(weights.name)}
        if weights not in there or len(there) < 2 or not all(there.values()):
            run.notes.append(f"weights and whether they are the champion's: {there}")

    return fault


def misbehaves(kind: str, once: bool = False) -> Fault:
    """Let the separator of one trial misbehave at an epoch that is drawn."""

    def fault(run: Run) -> None:
        plan = {"kind": kind, "epoch": run.random.randint(1, 5), "once": once}
        (run.folder / "misbehave.json").write_text(json.dumps(plan))

    return fault


_ELSEWHERE = ("study.py", "my_separator.py", "my_task.py")
_OTHER_HOST = ("unshare", "--uts", "sh", "-c", 'hostname other-host && exec "$@"', "sh")


def second_driver(run: Run) -> None:
    """Start the same command beside the first: refused in one line, and the first goes on."""
    _refused(run, run.beside(run.folder))


def second_folder(run: Run) -> None:
    """Start the study on the same storage from another folder: refused in one line, and the first goes on."""
    _refused(run, run.beside(_elsewhere(run), "--storage", f"sqlite:///{run.folder}/optuna.db"))


def second_host(run: Run) -> None:
    """Start the same command on a machine with another name: refused in one line, and the first goes on."""
    _refused(run, run.beside(run.folder, prefix=_OTHER_HOST))


def second_folder_and_host(run: Run) -> None:
    """Start the study on the same storage from a folder of a machine with another name: refused, the first goes on."""
    flags = ("--storage", f"sqlite:///{run.folder}/optuna.db")
    _refused(run, run.beside(_elsewhere(run), *flags, prefix=_OTHER_HOST))


def journal(run: Run) -> None:
    """Let the study have a journal as its storage."""
    run.flags += ["--storage", "journal://optuna.log"]
    run.laboratory.storage = JournalStorage(JournalFileBackend(str(run.folder / "optuna.log")))


_PROXY = """
import sys
from optuna.storages import run_grpc_proxy_server
from sepray.search.storage import connect
run_grpc_proxy_server(connect(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
"""


def behind_a_proxy(run: Run) -> None:
    """Let the study have Optuna's gRPC proxy as its storage, which has the database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-c", _PROXY, f"sqlite:///{run.folder}/optuna.db", str(port)]
    run.laboratory.started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    run.flags += ["--storage", f"grpc://127.0.0.1:{port}"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    run.notes.append("the row itself: the proxy did not start")


def _refused(run: Run, other: Other) -> None:
    """Note where a second driver was not refused; one that came when the first had ended goes on with the study."""
    assert run.process is not None
    if other.end(run.notes) != 2 and run.process.poll() is None:
        run.notes.append(f"a second driver was not refused: {other.log.read_text()[-300:]}")


def _elsewhere(run: Run) -> Path:
    other = run.folder / "elsewhere"
    other.mkdir()
    for name in _ELSEWHERE:
        shutil.copy(run.folder / name, other)
    return other


def at_once(run: Run) -> None:
    """Start the same command twice at the same moment; one of them owns the study."""
    run.beside(run.folder)


def at_once_from_two_hosts(run: Run) -> None:
    """Start the same command twice at the same moment, on machines with different names; one of them owns the study."""
    run.beside(run.folder, prefix=_OTHER_HOST)


def at_once_from_two_folders(run: Run) -> None:
    """Start the study from two folders at the same moment, on the same stores."""
    places = {"--storage": "sqlite:///{}/optuna.db", "--tracking-uri": "sqlite:///{}/mlflow.db"}
    places["--storage-path"] = "{}/sepray-results"
    for flag, value in places.items():
        run.flags += [flag, value.format(run.folder)]
    run.beside(_elsewhere(run))


def two_studies_at_once(run: Run) -> None:
    """Start another study in the same fresh folder at the same moment; both run to their end."""
    other = run.beside(run.folder, "--name", "other")
    other.statuses = frozenset({0})


def taken_over(stopped: bool) -> Fault:
    """Let a second driver take the study over from the first, which runs or is suspended; the first ends with 2."""

    def fault(run: Run) -> None:
        first = run.process
        assert first is not None
        if stopped:
            first.send_signal(signal.SIGSTOP)
        run.start("--take-over")
        time.sleep(run.random.uniform(5.0, 10.0))
        first.send_signal(signal.SIGCONT)
        status = first.wait(120)
        run.statuses.append(status)
        if status not in (0, 2):  # 0: it had ended before the second came to it
            run.notes.append(f"the driver from which the study was taken ended with {status}")

    return fault


def taken_over_at_another_host(run: Run) -> None:
    """Let a driver on a machine with another name take the study over from the first, which runs and ends with 2."""
    run.prefix = list(_OTHER_HOST)
    taken_over(stopped=False)(run)


def taken_over_in_another_folder(run: Run) -> None:
    """Let a driver in another folder take the study over from one that is suspended: refused without ``--move-here``.

    The first is suspended so that its retraining has not finished: in another folder that would be trained once more.
    """
    first = run.process
    assert first is not None
    first.send_signal(signal.SIGSTOP)
    _move(run)
    run.start("--take-over")
    if run.wait() != 2 or "--move-here" not in run.printed:
        run.notes.append(f"a study whose checkpoints are elsewhere ended with {run.statuses[-1]}: {run.printed[-300:]}")
    run.process = first
    run.flags.append("--move-here")
    taken_over(stopped=True)(run)


def goes_on_at_another_host(run: Run) -> None:
    """Stop the driver, and go on at a machine with another name, which waits for a heartbeat of the first."""
    run.kill()
    run.prefix = list(_OTHER_HOST)


def moved(run: Run) -> None:
    """Stop the driver, move its folder, and go on there."""
    run.kill()
    there = run.folder.with_name(f"{run.folder.name}-moved")
    shutil.move(run.folder, there)
    run.laboratory.folder = there


def copied(run: Run) -> None:
    """Stop the driver, copy its folder, and go on in the copy to the end; nothing of the original changes."""
    run.kill()
    original, copy = run.folder, run.folder.with_name(f"{run.folder.name}-copy")
    shutil.copytree(original, copy, symlinks=True)
    before = _content(original)
    run.laboratory.folder = copy
    run.again()
    changed = sorted({name for name, _ in before ^ _content(original)})
    if changed:
        run.notes.append(f"the study in the copy changed the original: {changed[:5]}")


def _content(folder: Path) -> set[tuple[str, bytes]]:
    return {(str(f.relative_to(folder)), f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


def goes_on_in_another_folder(run: Run) -> None:
    """Stop the driver, and go on in another folder without the checkpoints: refused until ``--move-here`` allows it."""
    run.kill()
    original = _move(run)
    if run.again() != 2 or f"not here but in {original}" not in run.printed:
        run.notes.append(f"a study whose checkpoints are elsewhere ended with {run.statuses[-1]}: {run.printed[-300:]}")
    run.flags.append("--move-here")


def _move(run: Run) -> Path:
    """Let the next starts be in another folder, on the same stores; return the folder that it was."""
    original, there = run.folder, _elsewhere(run)
    for store in ("optuna.db", "mlflow.db"):  # where the check and the other starts look for them
        (there / store).symlink_to(original / store)
    for log in original.glob("start-*.log"):
        shutil.copy(log, there)
    run.flags += ["--storage", f"sqlite:///{original}/optuna.db", "--tracking-uri", f"sqlite:///{original}/mlflow.db"]
    run.laboratory.folder = there
    return original


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


_CLOCK = """
import pathlib
import time

shift, true = pathlib.Path(__file__).with_name("shift"), time.time
time.time = lambda: true() + float(shift.read_text())
time.time_ns = lambda: int(1e9 * time.time())
"""


def clock_that_will_be_set(run: Run) -> None:
    """Let the clock of all Python code follow a file, in the driver, Ray's workers and the sender.

    The clock of waits does not: a set clock leaves it alone too. (libfaketime 0.9.10 either shifts that one as well or
    lets every ``time.sleep`` fail once the clock is set.)
    """
    (run.folder / "clock").mkdir()
    (run.folder / "clock" / "sitecustomize.py").write_text(_CLOCK)
    _set_clock(run, 0)
    places = [str(run.folder / "clock"), *filter(None, [run.laboratory.environment.get("PYTHONPATH")])]
    run.laboratory.environment["PYTHONPATH"] = os.pathsep.join(places)


def clock_set(seconds: float) -> Fault:
    """Set the clock by so many seconds under the driver that runs, and back after a while."""

    def fault(run: Run) -> None:
        _set_clock(run, seconds)
        time.sleep(run.random.uniform(5.0, 10.0))
        _set_clock(run, 0)

    return fault


def _set_clock(run: Run, seconds: float) -> None:
    part = run.folder / "clock" / "shift.part"
    part.write_text(f"{seconds}")
    part.rename(part.with_name("shift"))


def reader_gone(run: Run) -> None:
    """Let the reader of the output go away after two lines."""
    run.prefix = ["bash", "-c", 'set -o pipefail; "$@" | head -2', "bash"]


def ascii_terminal(run: Run) -> None:
    """Let the terminal know no character beyond ASCII."""
    run.laboratory.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}

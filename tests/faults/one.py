"""Runs one row of the campaign with one seed, in a process of its own: ``python -m tests.faults.one ROW SEED PLACE``.

The last line that it prints is what came of it, as JSON (``figures.Result``). The place holds what an undisturbed run
finds, on this machine and with these sources; it is made by the rows ``UNDISTURBED``, and others wait for it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sepray.console import interruption

from ..end_to_end.conftest import Laboratory, opened
from . import check, harness
from .files import STUDIES
from .injectors import small_disk
from .rows import BY_NAME, UNDISTURBED, Row

_WAIT_SECONDS = 900.0  # for an undisturbed run


def run_row(row: Row, seed: int, clean: Path) -> dict[str, Any]:
    """Run a row with a seed.

    Args:
        row: the row.
        seed: seed of what is drawn.
        clean: file with what the study finds undisturbed.

    Returns:
        ``broken``: what did not hold; ``statuses`` and ``walls`` (seconds) of its starts; ``printed``: the end of what
        each of them printed, where something did not hold; ``left``: processes that had not ended by themselves.
    """
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    (folder / "lab").mkdir()
    undisturbed = row in UNDISTURBED
    with opened(Laboratory(folder / "lab", STUDIES[row.study])) as laboratory, ExitStack() as stack:
        run = harness.Run(laboratory, random.Random(f"{row.name} {seed}"), flags=list(row.flags))
        broken = run.notes
        try:
            if row.server:
                stack.enter_context(harness.tracked(run, seed))
            if row.disk:
                stack.enter_context(small_disk(run, row.disk))
            row.prepare(run)
            run.start()
            if run.reach(row.moment_of(seed)):
                row.fault(run)
            harness.finish(run)
            if run.statuses[-1] != 0:
                broken.append(f"the last start ended with {run.statuses[-1]}")
            else:
                if undisturbed:
                    run.again()  # what a start of a finished study takes
                    if run.starts != 2:
                        broken.append(f"exit statuses {run.statuses} although nothing happened")
                    _keep(clean, check.found(laboratory))
                broken += check.violations(laboratory, _kept(clean), row.failed, row.others)
                if row.loads:
                    laboratory.load_elsewhere("models:/my-separator-my-task/1")
        except Exception:
            broken.append(f"the row itself: {traceback.format_exc()[-1500:]}")
        if bad := [status for status in run.statuses if status not in run.allowed]:
            broken.append(f"exit statuses {bad}")
        printed = [run.printed_by(number) for number in range(1, run.starts + 1)]
        if any("Traceback" in text for text in printed) and not row.traceback:
            broken.append("a traceback was printed")
    left = harness.end_what_is_left(folder)
    shutil.rmtree(folder, ignore_errors=True)
    told = [text[-3000:] for text in printed] if broken else []
    walls = [round(seconds, 1) for seconds in run.walls]
    return {"broken": broken, "statuses": run.statuses, "walls": walls, "printed": told, "left": left}


def _keep(clean: Path, found: check.Found) -> None:
    """Keep what an undisturbed run has found; the first one's counts."""
    if not clean.exists():
        clean.parent.mkdir(parents=True, exist_ok=True)
        part = clean.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(found.plain()))
        part.rename(clean)


def _kept(clean: Path) -> check.Found:
    """Return what an undisturbed run has found, once there has been one."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not clean.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("no undisturbed run has ended well")
        time.sleep(0.5)
    return check.Found.restored(json.loads(clean.read_text()))


def main() -> None:
    """Run the row that the command line names."""
    name, seed, place = sys.argv[1:]
    for number in interruption.SIGNALS:  # a shell's background ignores some, and its children would
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    row = BY_NAME[name]
    print(json.dumps(run_row(row, int(seed), Path(place) / f"clean-{row.study}.json")))


if __name__ == "__main__":
    main()

"""``make test-faults``: each fault at random moments of a real study; the same command goes on, and nothing is lost.

All rows come with their first seed before any comes with its second. What is in the results file (JSON lines) for the
same sources, or is kept (``figures``), is not run again, so that a campaign that was interrupted goes on; with
``--any-code`` also where the sources have changed since. Undisturbed runs come in turn between the others, so that wall
times are compared under the same load.

python -m tests.faults.campaign [--jobs N] [--minutes M] [--seeds N] [--rows TEXT ...] [--results FILE] [--any-code]
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sepray import processor

from . import figures
from .figures import Result
from .rows import ROWS, UNDISTURBED, Row

_ROOT = Path(__file__).resolve().parents[2]
_IN_TURN = 9
"""An undisturbed run comes after so many others."""
_LONGEST_RUN = 1500.0  # seconds


class Campaign:
    """Runs rows and seeds, several at a time.

    Args:
        results: file to which results are added.
        seeds: number of seeds of each row.
        rows: the rows.
        any_code: whether results of other sources count as run too.
        end: time (monotonic) after which no further run is begun.
    """

    def __init__(self, results: Path, seeds: int, rows: list[Row], any_code: bool, end: float) -> None:
        self._file, self._end, self._lock = results, end, threading.Lock()
        self._code, self._commit = _digest(), _commit()
        self._session = f"{time.time():.0f}-{os.getpid()}"
        self._place = results.parent / f"clean-{self._code}-{platform.node()}"
        known = [r for r in figures.read([figures.KEPT, results]) if any_code or r.code == self._code]
        done = {(r.row, r.seed) for r in known if not r.skipped}
        wanted = [(seed, row) for row in rows for seed in row.seeds(seeds) if (row.name, seed) not in done]
        left = [(row, seed) for seed, row in sorted(wanted, key=lambda each: each[0])]
        self._queue = _in_turn(left, max([-1, *(r.seed for r in known if r.row.startswith("undisturbed"))]) + 1)
        self.left = len(left)
        self.broken = 0

    def work(self) -> None:
        """Run what is next, until nothing is left or the time is over."""
        while time.monotonic() < self._end:
            with self._lock:
                row, seed = next(self._queue, (None, 0))
            if row is None:
                return
            result = self._run(row, seed)
            with self._lock:
                figures.add(self._file, result)
                self.broken += bool(result.broken)
                told = result.skipped or "; ".join(result.broken) or "as asked"
                print(f"{row.name}, seed {seed}: {told} {result.statuses} {result.walls}", flush=True)

    def _run(self, row: Row, seed: int) -> Result:
        common = {"code": self._code, "commit": self._commit, "machine": _machine(), "session": self._session}
        if missing := row.missing():
            return Result(row.name, seed, [], [], [], **common, skipped=missing)
        command = [sys.executable, "-m", "tests.faults.one", row.name, str(seed), str(self._place)]
        told: dict[str, Any]
        try:
            done = subprocess.run(
                command,
                cwd=_ROOT,
                capture_output=True,
                text=True,
                timeout=_LONGEST_RUN,
                check=False,
                env=_environment(),
            )
            told = json.loads((done.stdout.splitlines() or ["null"])[-1]) or {"broken": [done.stderr[-2000:]]}
        except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            told = {"broken": [f"the row itself: {error}"[:2000]]}
        return Result(row.name, seed, **{"statuses": [], "walls": [], **told}, **common)


def _in_turn(left: list[tuple[Row, int]], first: int) -> Iterator[tuple[Row, int]]:
    """Yield what is left, and in turn an undisturbed run of each kind that is among it; those come first once.

    Args:
        left: rows and seeds.
        first: first seed of the undisturbed runs.
    """
    kinds = {row.kind for row, _ in left}
    wanted = [row for row in UNDISTURBED if row.kind in kinds]
    again = itertools.cycle(wanted) if wanted else iter(())
    numbers = {row: itertools.count(first) for row in wanted}
    yield from ((row, next(numbers[row])) for row in wanted)
    for count, (row, seed) in enumerate(left, 1):
        yield row, seed
        if count % _IN_TURN == 0 and count < len(left):
            turn = next(again)
            yield turn, next(numbers[turn])


def _digest() -> str:
    """Return a digest of the sources that a result depends on."""
    content = hashlib.sha256()
    for file in sorted([*_ROOT.glob("sepray/**/*.py"), *_ROOT.glob("tests/faults/*.py")]):
        content.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes())
    return content.hexdigest()[:12]


def _commit() -> str:
    command = ["git", "rev-parse", "--short=10", "HEAD"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _machine() -> str:
    return f"{os.cpu_count()} cores, {processor.short_name()}"


def _environment() -> dict[str, str]:
    """Return the environment of a run: this repository's code, one thread for each process."""
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Run the campaign; return 1 where something did not hold."""
    parser = argparse.ArgumentParser(description="Real studies with a fault at a random moment.")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each of them about two cores")
    parser.add_argument("--minutes", type=float, default=1e6, help="no run is begun after so many minutes")
    parser.add_argument("--seeds", type=int, default=5, help="moments of each row")
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose names have one of these texts")
    parser.add_argument("--results", type=Path, default=figures.RESULTS, help="file of JSON lines")
    parser.add_argument("--any-code", action="store_true", help="run nothing again although sources have changed")
    given = parser.parse_args()
    rows = [row for row in ROWS if not given.rows or any(text in row.name for text in given.rows)]
    given.results.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * given.minutes
    campaign = Campaign(given.results.resolve(), given.seeds, rows, given.any_code, end)
    print(f"{campaign.left} runs of {len(rows)} rows are left, {given.jobs} at a time", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        for worker in [pool.submit(campaign.work) for _ in range(given.jobs)]:
            worker.result()
    table = figures.lines(figures.read([figures.KEPT, given.results]))
    print(f"\n{figures.markdown(table)}")
    return int(campaign.broken > 0 or any(line.is_late for line in table))


if __name__ == "__main__":
    sys.exit(main())

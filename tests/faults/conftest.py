"""The clean run that every row is compared with, and the campaign's table of figures."""

from __future__ import annotations

import random
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sepray.console import interruption

from ..end_to_end.conftest import Laboratory, opened
from . import check, harness
from .files import FILES
from .injectors import small_disk
from .rows import Row


@dataclass
class Figures:
    """What the seeds of a row came to."""

    starts: list[int] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    broken: int = 0


_figures: dict[str, Figures] = defaultdict(Figures)


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[check.Found, float]:
    """What an undisturbed run finds, and its wall time in seconds."""
    for number in interruption.SIGNALS:  # a shell's background ignores some, and its children would
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with opened(Laboratory(tmp_path_factory.mktemp("clean"), FILES)) as laboratory:
        run = harness.Run(laboratory, random.Random(0))
        begun = time.monotonic()
        assert run.again() == 0, run.printed[-2000:]
        seconds = time.monotonic() - begun
        found = check.found(laboratory)
        assert check.violations(laboratory, found) == []
        return found, seconds


@pytest.fixture
def campaign(clean: tuple[check.Found, float], tmp_path: Path) -> Callable[[Row, int], list[str]]:
    """Run a row with a seed; return what did not hold."""

    def run_row(row: Row, seed: int) -> list[str]:
        (tmp_path / "lab").mkdir()
        with opened(Laboratory(tmp_path / "lab", FILES)) as laboratory, ExitStack() as stack:
            run = harness.Run(laboratory, random.Random(f"{row.name} {seed}"), flags=list(row.flags))
            if row.server:
                stack.enter_context(harness.tracked(run, seed))
            if row.disk:
                stack.enter_context(small_disk(run, row.disk))
            begun = time.monotonic()
            if row.moment == "begin":
                row.fault(run)
                run.start()
            else:
                run.start()
                if run.reach(row.moment):
                    row.fault(run)
            harness.finish(run)
            seconds = time.monotonic() - begun
            broken = list(run.notes)
            if bad := [status for status in run.statuses if status not in harness.GOOD_STATUSES]:
                broken.append(f"exit statuses {bad}")
            if run.statuses[-1] == 0:
                broken += check.violations(laboratory, clean[0], row.failed)
            else:
                broken.append(f"the last start ended with {run.statuses[-1]}")
            figures = _figures[row.name]
            figures.starts.append(len(run.statuses))
            figures.ratios.append(seconds / clean[1])
            figures.broken += bool(broken)
            return broken

    return run_row


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: the campaign takes hours."""
    if report.failed and "test_campaign" in report.nodeid:
        print(f"\n{report.nodeid}: {report.longreprtext[-1500:]}", file=sys.__stdout__, flush=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of figures."""
    if _figures:
        terminalreporter.write_line("")
        for line in _table():
            terminalreporter.write_line(line)


def _table() -> Iterator[str]:
    yield "| fault | seeds | ok | starts | wall time, clean = 1 |"
    yield "| --- | --- | --- | --- | --- |"
    for name, row in _figures.items():
        seeds = len(row.starts)
        starts = "-".join(str(n) for n in sorted({min(row.starts), max(row.starts)}))
        yield f"| {name} | {seeds} | {seeds - row.broken} | {starts} | {statistics.median(row.ratios):.1f} |"

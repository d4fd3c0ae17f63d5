"""Orders the results of concurrent trials so that the order does not depend on how fast each trial is.

Every trial has a place on a virtual clock, on which each epoch of every trial takes one unit of time. The first trials
start at 0, and each later one at the end of the trial whose slot it takes. Results are told in the order of that clock;
a result that comes early waits for those before it. Knows neither Ray nor Optuna.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TuneResult = Mapping[str, Any]


@dataclass
class _Running:
    """A trial that has not ended on the virtual clock.

    Attributes:
        start: virtual time at which it starts.
        told: number of its epochs that have been told.
        waiting: results that have come and are not told yet, in order.
        gone: whether nothing more will come from it.
    """

    start: int
    told: int = 0
    waiting: deque[TuneResult] = field(default_factory=deque)
    gone: bool = False


class VirtualOrder:
    """Results of trials in the order of the virtual clock.

    Args:
        slots: number of trials that run at once.
        past: for every trial that an earlier driver asked for, in order, its number, the virtual time that it took so
            far, and whether it has ended. One that has ended took at least an epoch's time.
    """

    def __init__(self, slots: int, past: Iterable[tuple[int, int, bool]] = ()) -> None:
        self._running: dict[int, _Running] = {}
        free = [0] * slots
        for number, epochs, ended in past:
            start = heapq.heappop(free) if free else 0
            if ended:
                heapq.heappush(free, start + max(epochs, 1))
            else:
                self._running[number] = _Running(start, epochs)
        self._expected = free  # a heap: virtual times at which trials start whose numbers are not known yet

    @property
    def expected(self) -> int:
        """Number of trials that are to be asked for, or have been asked for and not begun."""
        return len(self._expected)

    def begin(self, number: int) -> None:
        """Give the next expected trial its number; a trial of ``past`` goes on where it was."""
        if number not in self._running:
            self._running[number] = _Running(heapq.heappop(self._expected))

    def expect_no_more(self) -> None:
        """Forget the trials that were expected: the study has all its trials."""
        self._expected = []

    def add(self, number: int, result: TuneResult) -> None:
        """Take a result of a trial; one of a trial that has ended, or of an epoch that was told, is ignored.

        A result that ends a trial may have the epoch of the one before it.
        """
        trial = self._running.get(number)
        if trial is None or trial.gone:
            return
        if int(result.get("epoch") or 0) > trial.told + len(trial.waiting) or result.get("outcome"):
            trial.waiting.append(result)

    def close(self, number: int) -> None:
        """Say that nothing more will come from a trial."""
        if number in self._running:
            self._running[number].gone = True

    def next(self) -> tuple[int, TuneResult | None] | None:
        """Return number and result of the event that is next on the virtual clock; None while it has not come.

        The result of a trial that is gone without having said how it ended is None.
        """
        if not self._running:
            return None
        due = min(self._running, key=lambda number: (self._due(number), number))
        if self._expected and self._expected[0] + 1 < self._due(due):
            return None
        trial = self._running[due]
        if trial.waiting:
            trial.told += 1
            return due, trial.waiting.popleft()
        return (due, None) if trial.gone else None

    def end(self, number: int, time: int) -> None:
        """Take a trial off the clock after its last event; another one is then expected in its slot.

        Args:
            number: number of the trial.
            time: virtual time that it took, as ``past`` has it after a restart.
        """
        trial = self._running.pop(number)
        heapq.heappush(self._expected, trial.start + max(time, 1))

    def _due(self, number: int) -> int:
        trial = self._running[number]
        return trial.start + trial.told + 1

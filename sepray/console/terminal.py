"""What a study shows in the terminal: progress while it runs, the result at the end. Imports nothing from sepray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)
if not console.is_terminal:
    console.width = 140  # a log has no edge to wrap at
FAILED = ("diverged", "error", "out_of_memory", "lost")


class Ending(Protocol):
    """How a trial ended; the searcher's outcome."""

    @property
    def tag(self) -> str:
        """``complete``, ``pruned``, ``collapsed`` or one of FAILED."""
        ...

    @property
    def reason(self) -> str:
        """Why, where it did not simply run its budget."""
        ...


def duration(seconds: float) -> str:
    """Return a duration in human units, e.g. ``3 min 12 s``."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"


def one_line(error: BaseException) -> str:
    """Return what an error says, its lines joined."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines).replace(":;", ":") or type(error).__name__


@dataclass
class Progress:
    """Follows the trials of one stage of a study; a live view in a terminal, plain lines elsewhere.

    Args:
        title: name of the stage.
        total: number of trials that the stage will have.
        objective: what is optimised, for the reader.
        sign: 1 where less is better, -1 where more is.
        noun: what a trial is called.
        done: how earlier trials of the stage ended, counted by tag.
        best: best value so far and the trial's name, if any.
    """

    title: str
    total: int
    objective: str
    sign: int = 1
    noun: str = "trial"
    done: Counter[str] = field(default_factory=Counter)
    best: tuple[float, str] | None = None
    _names: dict[int, str] = field(default_factory=dict)
    _running: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _finished_here: int = 0
    _live: Live | None = None

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)
            self._live.start()
        else:
            console.print(f"{self.title}: {self._summary()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            console.print(f"{self.title}: {self._summary()}")

    def asked(
        self, number: int, seed: int, hyperparameters: Mapping[str, Any], label: str | None, resumed: bool
    ) -> None:
        """A trial was handed out."""
        self._names[number] = f"{self.noun} {number}" + (f" ({label})" if label else "")
        self._running[number] = {"epoch": 0}

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """A trial reported an epoch."""
        if number in self._running:
            self._running[number] = result

    def finished(self, number: int, outcome: Ending, result: Mapping[str, Any]) -> None:
        """A trial ended."""
        self._running.pop(number, None)
        self._finished_here += 1
        self.done[outcome.tag] += 1
        name = self._names.get(number, f"{self.noun} {number}")
        value = self.sign * float(result.get("objective", float("nan")))
        if outcome.tag == "complete" and (self.best is None or self.sign * value < self.sign * self.best[0]):
            self.best = (value, name)
        if self._live is None:
            how = outcome.tag if outcome.tag in ("complete", "collapsed") else f"{outcome.tag.replace('_', ' ')}"
            why = f", {outcome.reason}" if outcome.tag in (*FAILED, "collapsed") and outcome.reason else ""
            at = f"epoch {result.get('epoch', 0)}, {self.objective} {value:.4g}{why}"
            console.print(f"  {name} {how} at {at} · {self._summary()}", soft_wrap=True)
        elif outcome.tag in FAILED:
            console.print(f"  {name} failed: {outcome.reason}", soft_wrap=True)

    def remaining(self) -> float | None:
        """Return the seconds that are left, from the pace since the start; None before the first trial has ended."""
        left = self.total - self.done.total()
        if not self._finished_here:
            return None if left else 0.0
        return left * (time.monotonic() - self._started) / self._finished_here

    def _summary(self) -> str:
        failed = sum(self.done[tag] for tag in FAILED)
        parts = [f"{self.done.total()} of {self.total} done"]
        parts += [f"{n} {what}" for n, what in ((self.done["pruned"], "stopped early"), (failed, "failed")) if n]
        if self.best is not None:
            parts.append(f"best {self.objective} {self.best[0]:.4f} ({self.best[1]})")
        left = self.remaining()
        if left:
            parts.append(f"about {duration(left)} left")
        return " · ".join(parts)

    def _view(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for number, result in sorted(self._running.items()):
            value = result.get("objective")
            reached = f"epoch {result['epoch']}"
            shown = "starting" if value is None else f"{reached}  {self.objective} {self.sign * value:.4f}"
            table.add_row(Text("  " + self._names.get(number, str(number)), style="cyan"), shown)
        bar = ProgressBar(total=max(1, self.total), completed=self.done.total(), width=40)
        head = Text.assemble((self.title, "bold"), "  ", self._summary())
        return Group(head, bar, table)

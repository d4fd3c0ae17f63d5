"""The console that studies and commands print to, and the progress of a stage of trials."""

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

console = Console(highlight=False, markup=False)  # messages hold brackets of their own
if not console.is_terminal:
    console.width = 140  # a log has no edge to wrap at
FAILED = ("diverged", "error", "out_of_memory", "lost")
"""Outcomes of trials that failed."""
_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Ending(Protocol):
    """How a trial ended: the searcher's outcome."""

    @property
    def tag(self) -> str:
        """One of ``complete``, ``pruned``, ``collapsed`` and FAILED."""
        ...

    @property
    def reason(self) -> str:
        """Why the trial ended; empty where it ran its whole budget."""
        ...


def size(amount: float) -> str:
    """Return a number of bytes in words, e.g. ``1.5 GiB``; units are powers of 1024."""
    unit = 0
    while amount >= 1024 and unit < len(_SIZE_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_SIZE_UNITS[unit]}" if unit == 0 or amount >= 100 else f"{amount:.1f} {_SIZE_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a duration in words, e.g. ``3 min 12 s``."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"


def one_line(error: BaseException) -> str:
    """Return the message of an error with its lines joined; the error's type where it has no message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines).replace(":;", ":") or type(error).__name__


@dataclass
class Progress:
    """Progress of one stage of a study: a live view in a terminal, one line for each trial elsewhere.

    Args:
        title: name of the stage.
        total: number of trials of the stage.
        objective: name of the objective, for the reader.
        sign: 1 where less is better, -1 where more is.
        noun: what the stage calls a trial.
        done: number of trials that ended in earlier runs of the stage, by outcome.
        best: best value so far and the name of its trial; None before the first.
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
        self,
        number: int,
        seed: int,
        hyperparameters: Mapping[str, Any],
        label: str | None,
        resumed: bool,
        *,
        arm: str = "",
    ) -> None:
        """Show a trial that starts."""
        told = label or arm
        self._names[number] = f"{self.noun} {number}" + (f" ({told})" if told else "")
        self._running[number] = {"epoch": 0}

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Show the result of a trial's epoch."""
        if number in self._running:
            self._running[number] = result

    def finished(self, number: int, outcome: Ending, result: Mapping[str, Any]) -> None:
        """Count and show a trial that ended."""
        self._running.pop(number, None)
        self._finished_here += 1
        self.done[outcome.tag] += 1
        name = self._names.get(number, f"{self.noun} {number}")
        value = self.sign * float(result.get("objective", float("nan")))
        if outcome.tag == "complete" and (self.best is None or self.sign * value < self.sign * self.best[0]):
            self.best = (value, name)
        if self._live is None:
            how = {"pruned": "stopped early"}.get(outcome.tag, outcome.tag.replace("_", " "))
            why = f", {outcome.reason}" if outcome.tag in (*FAILED, "collapsed") and outcome.reason else ""
            reached = f"epoch {result.get('epoch', 0)}, {self.objective} {value:.4g}"
            console.print(f"  {name} {how} at {reached}{why} · {self._summary()}", soft_wrap=True)
        elif outcome.tag in FAILED:
            console.print(f"  {name} failed: {outcome.reason}", soft_wrap=True)

    def remaining(self) -> float | None:
        """Return the seconds left at the pace since this start; None before a trial has ended."""
        left = self.total - self.done.total()
        if not self._finished_here:
            return None if left else 0.0
        return left * (time.monotonic() - self._started) / self._finished_here

    def _summary(self) -> str:
        failed = sum(self.done[tag] for tag in FAILED)
        parts = [f"{self.done.total()} of {self.total} done"]
        counts = {"stopped early": self.done["pruned"], "collapsed": self.done["collapsed"], "failed": failed}
        parts += [f"{count} {what}" for what, count in counts.items() if count]
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

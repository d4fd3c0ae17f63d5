"""The console that studies and commands print to, and the progress of a stage of trials."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..choices import FAILED
from ..plain_text import escape_controls, in_one_line
from ..secrecy import mask
from . import waiting


class PlainConsole(Console):
    """A console that prints texts as they are: no markup, no secrets, and control characters made visible."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects, after erasing the line that says what the command waits for."""
        waiting.done()
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is printed."""
        plain = {**options, "markup": False, "emoji": False, "highlight": False}
        return super().render_str(escape_controls(mask(text)), **plain)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of an object, with control characters escaped, also in texts that the object holds."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text))


console = PlainConsole(highlight=False, markup=False, emoji=False)
if not console.is_terminal:
    console.width = 140  # a log has no edge to wrap at
_BAR = 40  # characters
_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Ending(Protocol):
    """The end of a trial, as the searcher has decided it."""

    @property
    def tag(self) -> str:
        """Word for the end: ``complete``, ``pruned``, ``collapsed`` or one of FAILED."""
        ...

    @property
    def reason(self) -> str:
        """Reason for the end; empty where the trial ran its whole budget."""
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


def about(seconds: float) -> str:
    """Return a duration that is known only roughly: ``less than a minute``, ``about 8 min``, ``about 2 h 10 min``."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60 // 10 * 10:02d} min"


def _short(name: str) -> str:
    """Return the name of a trial for a line of 80 columns: ``at the settings of trial 3`` becomes ``(as trial 3)``."""
    name = re.sub(r" at the settings of trial (\d+)", r" (as trial \1)", name)
    return re.sub(r" seed (\d+)$", "\u00a0seed\u00a0\\1", name)  # never parted where the line has to wrap


@dataclass
class StageProgress:
    """Progress of one stage of a study: a live view in a terminal, one line for each trial elsewhere.

    Args:
        title: name of the stage.
        total: number of trials of the stage; more are shown where more have ended or run.
        objective: name of the objective, for the reader.
        sign: 1 where less is better, -1 where more is.
        noun: what the stage calls a trial.
        done: number of trials that ended in earlier runs of the stage, by outcome.
        best: best value so far and the name of its trial; None before the first.
        seconds_left: returns the seconds until the whole command ends; None while that is unknown.
        epochs: most epochs of a trial; 0 where that is not shown.
    """

    title: str
    total: int
    objective: str
    sign: int = 1
    noun: str = "trial"
    done: Counter[str] = field(default_factory=Counter)
    best: tuple[float, str] | None = None
    seconds_left: Callable[[], float | None] = lambda: None
    epochs: int = 0
    _names: dict[int, str] = field(default_factory=dict)
    _running: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _ended: dict[int, str] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Self:
        waiting.done()
        if console.is_terminal:
            self._live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)
            self._live.start()
        else:
            console.print(f"{self.title}: {' · '.join(filter(None, [self._summary(), self._time()]))}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        console.print(f"{self.title}: {self._summary()}")

    def handed_out(
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
        told = in_one_line(label or arm)
        self._names[number] = f"{self.noun} {number}" + (f": {told}" if told else "")
        self._running[number] = {"epoch": 0}

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Show the result of a trial's epoch."""
        if number in self._running:
            self._running[number] = result

    def finished(self, number: int, outcome: Ending, result: Mapping[str, Any]) -> None:
        """Count and show a trial that ended; a trial that ends twice, under one number, counts once."""
        self._running.pop(number, None)
        if number in self._ended:
            self.done[self._ended[number]] -= 1
        self._ended[number] = outcome.tag
        self.done[outcome.tag] += 1
        name = self._names.get(number, f"{self.noun} {number}")
        value = self.sign * float(result.get("objective", float("nan")))
        is_best = outcome.tag == "complete" and (self.best is None or self.sign * value < self.sign * self.best[0])
        if is_best:
            self.best = (value, name)
        if self._live is None:
            told = [f"{name}, {self._end(outcome, result, value)}{', the best so far' if is_best else ''}"]
            console.print("  " + " · ".join(filter(None, [*told, self._counts(), self._time()])), soft_wrap=True)
        elif outcome.tag in FAILED:
            console.print(f"  {name} failed: {outcome.reason}", soft_wrap=True)

    def _end(self, outcome: Ending, result: Mapping[str, Any], value: float) -> str:
        """Return how a trial ended, for a log: where, with which value, and why."""
        how = {"pruned": "stopped early", "complete": "done"}.get(outcome.tag, outcome.tag.replace("_", " "))
        epoch = int(result.get("epoch", 0))
        reached = f" after {epoch} {'epoch' if epoch == 1 else 'epochs'}" if epoch else ""
        measured = f", {self.objective} {value:.4f}" if math.isfinite(value) else ""
        why = f", {outcome.reason}" if outcome.tag in (*FAILED, "collapsed") and outcome.reason else ""
        return f"{how}{reached}{measured}{why}"

    def _counts(self) -> str:
        total = max(self.total, self.done.total() + len(self._running))
        failed = sum(self.done[tag] for tag in FAILED)
        counts = {"stopped early": self.done["pruned"], "collapsed": self.done["collapsed"], "failed": failed}
        parts = [f"{self.done.total()} of {total} done", *(f"{n} {what}" for what, n in counts.items() if n)]
        return " · ".join(parts)

    def _best(self) -> str:
        return "" if self.best is None else f"best {self.objective} {self.best[0]:.4f}, {_short(self.best[1])}"

    def _time(self) -> str:
        left = self.seconds_left()
        return f"{about(left)} left" if left else ""

    def _summary(self) -> str:
        return " · ".join(filter(None, [self._counts(), self._best()]))

    def _view(self) -> RenderableType:
        """Return the view: counts, the bar with the time that is left, the best, and a line for each running trial.

        Nothing is cut: what is too long for the window goes on in the next line.
        """
        total = max(1, self.total, self.done.total() + len(self._running))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(ProgressBar(total=total, completed=self.done.total(), width=_BAR), Text(self._time()))
        trials = Table.grid(padding=(0, 2, 0, 0))
        trials.add_column(width=0)  # the second column is indented, and stays so in its next line
        for column in range(3):
            trials.add_column(overflow="fold", no_wrap=column > 0)
        for number, result in sorted(self._running.items()):
            value, of = result.get("objective"), f" of {self.epochs}" if self.epochs else ""
            shown = ("starting",) if value is None else (f"epoch {result['epoch']}{of}", f"{self.sign * value:.4f}")
            trials.add_row("", Text(_short(self._names.get(number, str(number))), style="cyan"), *shown)
        head = Text.assemble((self.title, "bold"), f"  {self._counts()}")
        best = [Text(self._best())] if self.best else []
        return Group(head, bar, *best, trials)

"""Columns of a table that are no signal: time in any usual notation, or the number of the sample.

Times are plain numbers in the unit that the column's name states, Unix stamps in s, ms, us or ns (told by their size),
clock times (``mm:ss.mmm``, ``hh:mm:ss``, PhysioNet's ``[hh:mm:ss.mmm dd/mm/yyyy]``) or ISO 8601 dates.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, field
from statistics import median

from .recording_types import RateError

_ROUNDING = 1e-3  # of a rate: times are printed with few digits, and a model does not mind one in a thousand
_STEPS_FOR_MEDIAN = 4096
_EXACT_DIGITS = 15  # that a float holds
_LATEST = 1e30  # in any unit
_LONGEST = 80  # characters of a time: in a long run of digits, a clock would be looked for at each of them
_NEVER = 1e15  # seconds, after which a time in days begins again
_MOST_UNEVEN = 0.01  # share of the steps that may be uneven, beyond which the times give no rate
_MOST_GAPS = 0.1  # likewise, that may be gaps of missing samples: of nearly whole numbers of steps
_NEARLY_WHOLE = 0.2  # of a step
_MOST_FALLS = 0.25  # of the steps of a clock that is set back now and then, or is read late
_STRAIGHT = 0.7  # of the way that such a clock goes in all, that it is farther at the end
_FEWEST_STEPS = 8  # by which such a clock is seen
_SERIAL = (3e4, 8e5, 1e-4)  # days since 1900 (Excel) or since the year 0 (MATLAB), and the longest step between samples

_UNITS = (
    (r"(milli|m)s(ec)?|milli(second)?s?", 1e-3),
    (r"[uµμ]s(ec)?|micro(second)?s?", 1e-6),
    (r"ns(ec)?|nano(second)?s?", 1e-9),
    (r"s|secs?|seconds?", 1.0),
    (r"min|mins|minutes?", 60.0),
    (r"h|hours?", 3600.0),
    (r"days?|datenum", 86400.0),
)
_TIME = re.compile(r"time.*|date.*|.*stamps?|elapsed")
_TIME_AS_FIRST = re.compile(r"ts?|sec|secs|seconds?|m?s|msec|clock")
_COUNTER = re.compile(r"|samples?|index|idx|nseq|seq|sequence|counter|count|frames?|packets?|rows?|unnamed|n|no|nr|id")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,4}):(\d{2})(?:[.,](\d+)|:(\d{3,6}))?(?![\d:])")
_DAYS = re.compile(r"(-?\d+) days? ")  # of a time that pandas writes
_UNIX = ((1e18, 1e-9), (1e15, 1e-6), (1e12, 1e-3), (1e9, 1.0))  # least stamp, since 2001, and its unit in seconds


def names_time(label: str, first: bool) -> bool:
    """Say whether a column's name says that it is time; the first column's may be as short as ``t`` or ``ms``."""
    words = _words(label)
    return any(_TIME.fullmatch(word) or (first and _TIME_AS_FIRST.fullmatch(word)) for word in words[:3])


def names_counter(label: str) -> bool:
    """Say whether a column's name, or its lack of one, says that it counts samples."""
    return _COUNTER.fullmatch((_words(label) or [""])[0]) is not None


def time_of(cell: str, decimal: str = ".") -> tuple[float, float] | None:
    """Return the time that a cell shows, and after how much it begins again at 0 (0: never); None if it shows none.

    A plain number is in an unknown unit; all else is in seconds. A date without a time zone is taken as UTC, where no
    hour is skipped or repeated.
    """
    text = cell.strip().strip("'\"[]").strip()
    if len(text) > _LONGEST:
        return None
    days = 0.0
    if (before := _DAYS.match(text)) is not None:
        days, text = float(before[1]), text[before.end() :]
    elif (value := number(text, decimal)) is not None:
        return value, 0.0
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        found = _CLOCK.search(text)
        if found is None or re.search(r"[a-z]{3}", text.lower()):
            return None
        hours, minutes, seconds, fraction, thousandths = found.groups()
        clock = float(minutes) * 60 + float(seconds) + float(f"0.{fraction or thousandths or 0}")
        if before is not None:
            return days * 86400 + float(hours or 0) * 3600 + clock, _NEVER
        return (clock, 3600.0) if hours is None else (clock + float(hours) * 3600, 86400.0)
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp(), 0.0


def number(cell: str, decimal: str = ".") -> float | None:
    """Return the number in a cell, as an ``int`` where it has many digits; None if it is none."""
    text = cell.strip()
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    try:
        return int(text) if len(text) > _EXACT_DIGITS and text.isdigit() else float(text)
    except ValueError:
        return None


@dataclass
class Stamps:
    """The cells of one column, taken one after the other, as if they were times.

    Attributes:
        label: name of the column, with its unit where another line states it.
        decimal: decimal mark.
        textual: a cell was a date or a clock time.
        broken: a cell was no time.
        falls: a time was earlier than the one before.
        whole: all times were whole numbers.
        repeats: number of times that were the one before.
        ones: number of times that were 1 more than the one before; minus_ones: 1 less.
    """

    label: str
    decimal: str = "."
    textual: bool = False
    broken: bool = False
    falls: bool = False
    whole: bool = True
    repeats: int = 0
    ones: int = 0
    minus_ones: int = 0
    _falls: int = 0
    _way: float = 0.0  # all steps, whether up or down
    _first: float | None = None
    _last: float = 0.0
    _begun_again: float = 0.0
    _early: list[tuple[float, float]] = field(default_factory=list)  # the first times, and the steps to them
    _usual: float | None = None
    _even: int = 0
    _even_sum: float = 0.0
    _steps: int = 0
    _gaps: int = 0
    _whole_gaps: int = 0  # of nearly whole numbers of steps
    _counted: int = 0
    _apart: list[int] = field(default_factory=list)  # least and most steps from one gap to the next
    _gap_at: int = 0
    _longest: tuple[float, float] = (0.0, 0.0)  # length of the longest gap, and when it begins

    def add(self, cell: str) -> None:
        """Take the next cell."""
        if self.broken:
            return
        time, period = self._time(cell)
        if not -_LATEST <= time <= _LATEST:  # also where it is not a number
            self.broken = True
            return
        if self._first is None:
            self._first = self._last = time
            self.whole = float(time).is_integer()
            return
        time += self._begun_again
        if period and time < self._last - period / 2:
            self._begun_again += period
            time += period
        step = time - self._last
        self._last = time
        self.whole = self.whole and float(time).is_integer()
        self.falls = self.falls or step < 0
        self._falls += step < 0
        self.repeats += step == 0
        self.ones += step == 1
        self.minus_ones += step == -1
        self._way += abs(step)
        self._steps += 1
        if self._usual is not None:
            self._count(time, step)
        else:
            self._early.append((time, step))
            if len(self._early) == _STEPS_FOR_MEDIAN:
                self._settle()

    def _time(self, cell: str) -> tuple[float, float]:
        """Return a cell's time as ``time_of`` does, NaN for none; note whether it is more than a plain number."""
        if len(cell) <= _EXACT_DIGITS and self.decimal == ".":
            try:
                return float(cell), 0.0
            except ValueError:
                pass
        found = time_of(cell, self.decimal)
        if found is None:
            return math.nan, 0.0
        self.textual = self.textual or found[1] > 0 or number(cell.strip(" '\"[]"), self.decimal) is None
        return found

    @property
    def rises(self) -> bool:
        """Whether the times never fall, and end later than they begin."""
        return not self.broken and not self.falls and self._first is not None and self._last > self._first

    @property
    def is_signal(self) -> bool:
        """Whether a column that no name tells is surely a channel: it falls, and holds plain numbers."""
        maybe = self.textual or self.wraps or self.mostly_rises or self._falls >= 0.9 * self._steps
        return self.falls and not maybe

    @property
    def wraps(self) -> bool:
        """Whether the times are whole numbers that nearly always rise by 1, and fall: a counter that begins again."""
        return not (self.broken or self.textual) and self.whole and self.falls and self.ones >= 0.9 * self._steps

    @property
    def mostly_rises(self) -> bool:
        """Whether the times fall now and then, and go up nearly all the way: a clock that is set or read unevenly."""
        if self.broken or self._first is None or self._steps < _FEWEST_STEPS or self.wraps:
            return False
        return self._falls <= _MOST_FALLS * self._steps and self._last - self._first > _STRAIGHT * self._way

    @property
    def counts_down(self) -> bool:
        """Whether the times are whole numbers that nearly always fall by 1."""
        return self.whole and not (self.broken or self.textual) and self.minus_ones >= max(2, 0.9 * self._steps)

    @property
    def falls_evenly(self) -> bool:
        """Whether nearly all times are earlier by the same step: a clock that runs to the end."""
        self._settle()
        return not self.broken and (self._usual or 0.0) < 0 and self._even >= 0.9 * self._steps >= 0.9 * _FEWEST_STEPS

    @property
    def is_constant(self) -> bool:
        """Whether all times are the same."""
        return not self.broken and 0 < self._steps == self.repeats

    @property
    def is_stamp(self) -> bool:
        """Whether the first time has the size of a Unix stamp."""
        return (self._first or 0.0) >= _UNIX[-1][0]

    @property
    def is_even(self) -> bool:
        """Whether the times rise, but for few, and nearly all steps are alike."""
        self._settle()
        return (self.rises or self.mostly_rises) and self._even >= 0.9 * self._steps

    @property
    def is_ramp(self) -> bool:
        """Whether all steps are alike, and up."""
        return self.is_even and self._even == self._steps

    @property
    def counts(self) -> bool:
        """Whether the times are whole numbers that mostly rise by 1, in no stated unit and no Unix stamps."""
        self._settle()
        return not (self.broken or self.textual) and self.whole and self._usual == 1 and self._unit() is None

    def rate(self, name: str) -> float:
        """Return the rate in Hz by the usual step, whatever the gaps.

        Args:
            name: what messages call the file.

        Raises:
            RateError: the times do not rise, repeat themselves, are uneven, or count samples.
        """
        self._settle()
        if self.broken or self._first is None or self._last <= self._first or self.falls:
            raise RateError(f"the time column of {name} does not rise; give --rate, in Hz")
        if self.repeats:
            coarse = f"{self.repeats} of the times in {name} repeat the one before, because the clock is coarse"
            raise RateError(f"{coarse}; give --rate, in Hz")
        if self._uneven:
            uneven = self._steps - self._even
            raise RateError(
                f"{uneven} of {self._steps} steps in the time column of {name} are uneven; give --rate, in Hz"
            )
        if self.counts:
            raise RateError(f"the time column of {name} counts samples, which gives no rate; give --rate, in Hz")
        if self.whole and not self.textual and self._usual == self._unit() == 1:
            raise RateError(
                f"the times in {name} are whole numbers that rise by 1: whole seconds, or samples that are called "
                "seconds; give --rate, in Hz (1 for seconds)"
            )
        return self._hertz(self._even / self._even_sum, name)

    def gaps(self) -> str:
        """Return a note on the gaps between the times; empty if there are none."""
        self._settle()
        if not self._gaps or self.repeats or self.falls or self.broken or self._uneven:
            return ""
        length, begin = self._longest
        unit, word = (1.0, "samples") if self.counts else (self._unit() or 1.0, "s")
        begin -= self._first or 0.0
        count = "a gap" if self._gaps == 1 else f"{self._gaps} gaps, the longest"
        where = f"of {length * unit:.4g} {word}, {begin * unit:.6g} {word} after the start"
        return f"the recording has {count} {where}; its samples are taken as if there were none"

    @property
    def _uneven(self) -> bool:
        """Whether the steps tell no rate: too many are neither the usual one nor gaps of whole steps, or gaps.

        Fewer gaps are enough where the clock may be coarse: its ticks are a power of ten apart, and the gaps come
        as evenly as can be.
        """
        others = self._steps - self._even - self._whole_gaps
        ticks = math.log10(self._usual) if self._usual and self._usual > 0 else 0.0
        maybe_coarse = abs(ticks - round(ticks)) < _ROUNDING and (
            not self._apart or self._apart[1] <= self._apart[0] + 1
        )
        most_gaps = _MOST_UNEVEN if maybe_coarse else _MOST_GAPS
        return others > max(2, _MOST_UNEVEN * self._steps) or self._gaps > max(2, most_gaps * self._steps)

    def _settle(self) -> None:
        """Find the usual step, and count the early ones."""
        if self._usual is None and self._early:
            self._usual = median(step for _, step in self._early)
            for time, step in self._early:
                self._count(time, step)
            self._early = []

    def _count(self, time: float, step: float) -> None:
        usual = self._usual or 0.0
        self._counted += 1
        if min(usual / 2, 1.5 * usual) <= step <= max(usual / 2, 1.5 * usual):
            self._even += 1
            self._even_sum += step
        elif step > usual:
            whole = usual > 0 and abs(step / usual - round(step / usual)) <= _NEARLY_WHOLE
            self._whole_gaps += whole
            if self._gaps:
                apart = self._counted - self._gap_at
                least, most = self._apart or (apart, apart)
                self._apart = [min(least, apart), max(most, apart)]
            self._gap_at = self._counted
            self._gaps += 1
            self._longest = max(self._longest, (step, time - step))

    def _unit(self) -> float | None:
        """Return the unit in seconds that name or size of the times tell; None if they do not."""
        if self.textual:
            return 1.0
        for word in _words(self.label):
            for pattern, unit in _UNITS:
                if re.fullmatch(pattern, word):
                    return unit
        first = self._first or 0.0
        if _SERIAL[0] <= first < _SERIAL[1] and 0 < (self._usual or 0.0) < _SERIAL[2]:
            return 86400.0
        return next((unit for least, unit in _UNIX if first >= least), None)

    def _hertz(self, rate: float, name: str) -> float:
        unit = self._unit()
        if unit is None and rate < 1:
            raise RateError(
                f"the time column of {name} gives {rate:.3g} Hz if it is in seconds; give --rate "
                f"({rate * 1000:.4g} if it is in milliseconds)"
            )
        rate /= unit or 1.0
        return float(round(rate)) if abs(rate - round(rate)) < _ROUNDING * rate else rate


def _words(label: str) -> list[str]:
    return [word for word in re.split(r"[^a-zµμ]+", label.lower()) if word]

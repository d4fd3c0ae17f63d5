"""Columns of a table that are no signal: times in any usual notation, or numbers of samples.

Times are plain numbers in the unit that the column's name states, Unix stamps in s, ms, us or ns (told by their size),
clock times (``mm:ss.mmm``, ``hh:mm:ss``, PhysioNet's ``[hh:mm:ss.mmm dd/mm/yyyy]``) or ISO 8601 dates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from .recording_types import RateError
from .time_cells import EXACT_DIGITS, named_unit, number, time_of, words

_ROUNDING = 1e-3  # relative error of a rate: times are printed with few digits, and models do not mind a thousandth
_STEPS_FOR_MEDIAN = 4096
_LATEST = 1e30  # latest time, in any unit
_MOST_UNEVEN = 0.01  # share of uneven steps beyond which the times give no rate
_MOST_GAPS = 0.1  # likewise the share of gaps of missing samples, which are nearly whole numbers of steps
_NEARLY_WHOLE = 0.2  # of a step
_MOST_FALLS = 0.25  # largest share of falls of a clock that is set back now and then, or read late
_MOSTLY_EVEN = 0.75  # least share of even steps in a column that is named as a time and falls now and then
_STRAIGHT = 0.7  # least rise of such a clock from start to end, as a share of all its steps up and down
_FEWEST_STEPS = 8  # least number of steps by which such a clock is told
_FEWEST_OF_PARTS = 16  # steps by which a column is seen to start again
_GREAT_FALL = (4.0, 8.0)  # steps: a clock that falls by more starts again and is not read late; second: uneven steps
_MOST_PARTS = 2  # falls of times beyond which a column without a name may as well be a lead
_RISES_FOR_A_FALL = 8  # least number of steps up for each fall
_MOST_RISE = 3.0  # largest step up, as a multiple of the mean one, where steps are uneven
_FREQUENT = (0.01, 8)  # share and number of steps that may be gaps where gaps hold most of the time
_ALIKE = 2  # largest ratio of the lengths of two packets
_SERIAL = (3e4, 8e5, 1e-4)  # days since 1900 (Excel) or since the year 0 (MATLAB), and the longest step between samples

_UNIX = ((1e17, 1e-9), (1e15, 1e-6), (1e12, 1e-3), (1e9, 1.0))  # least stamp, since 2001, and its unit in seconds
_TICK = 1e-7  # unit in seconds of Windows' and .NET's stamps, since 1601 and the year 1
_TICKS = ((1.2e17, 1.5e17), (6.2e17, 6.5e17))  # limits of these stamps: about a hundred years
_FEWEST_TICKED = 50.0  # Hz; below it, these may be nanoseconds since 2000 of rates up to 5000 Hz
_TICKED = {"tick", "ticks", "filetime"}  # words in the name of a column of ticks, and not of nanoseconds
_STAMPS = {1.0: "Unix seconds", 1e-3: "Unix milliseconds", 1e-6: "Unix microseconds", 1e-9: "Unix nanoseconds"}
_STAMPS |= {_TICK: "stamps of 100 ns"}
_LIKELY = (1.0, 1e5)  # Hz: likely rates of recordings of hearts
_SMALLER = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))


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
        broken_at: line and text of the cell that was no time.
        fell_at: line of the first time that was earlier than the one before.
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
    broken_at: tuple[int, str] = (0, "")
    fell_at: int = 0
    _falls: int = 0
    _least_fall: float = math.inf
    _most_fall: float = 0.0
    _most_rise: float = 0.0
    _great_falls: int = 0
    _gap_sum: float = 0.0
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
    _whole_gaps: int = 0  # gaps of nearly whole numbers of steps
    _counted: int = 0
    _apart: list[int] = field(default_factory=list)  # least and most steps from one gap to the next
    _gap_at: int = 0
    _longest: tuple[float, float] = (0.0, 0.0)  # length of the longest gap, and when it begins

    def add(self, cell: str, line: int = 0) -> None:
        """Take the next cell, and the number of its line."""
        if self.broken:
            return
        time, period = self._time(cell)
        if not -_LATEST <= time <= _LATEST:  # also where it is not a number
            self.broken, self.broken_at = True, (line, cell.strip())
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
        if step < 0:
            self.fell_at = self.fell_at if self.falls else line
            self.falls = True
            self._falls += 1
            self._least_fall = min(self._least_fall, -step)
            self._most_fall = max(self._most_fall, -step)
        elif step > self._most_rise:
            self._most_rise = step
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
        """Return a cell's time as ``time_of`` does, NaN for no time; note whether it is more than a plain number."""
        if len(cell) <= EXACT_DIGITS and self.decimal == "." and "_" not in cell:  # Python takes 1_1 for 11
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
        """Say whether the times never fall, and end later than they begin."""
        return not self.broken and not self.falls and self._first is not None and self._last > self._first

    @property
    def is_signal(self) -> bool:
        """Say whether a column whose name does not tell is surely a channel: it falls, and holds plain numbers."""
        maybe = self.textual or self.wraps or self.mostly_rises or self._falls >= 0.9 * self._steps
        of_parts = self._steps >= _FEWEST_OF_PARTS and _RISES_FOR_A_FALL * self._falls <= self._steps
        return self.falls and not (maybe or of_parts)

    @property
    def wraps(self) -> bool:
        """Say whether whole numbers nearly always rise by 1, and fall: a counter that begins again."""
        return not (self.broken or self.textual) and self.whole and self.falls and self.ones >= 0.9 * self._steps

    @property
    def starts_again(self) -> bool:
        """Say whether the times rise evenly except for a few great falls: they have several parts, or few bits.

        The steps up need only be of about one size, as those of a coarse clock, of a clock that is read late, or of
        numbers of packets.
        """
        if self.broken or not self.falls or self._steps < _FEWEST_OF_PARTS:
            return False
        rises = self._steps - self._falls - self.repeats
        if rises < _RISES_FOR_A_FALL * self._falls:
            return False
        mean = self._risen / rises
        if self._least_fall >= _GREAT_FALL[1] * mean and self._most_rise <= _MOST_RISE * mean:
            return True
        self._settle()
        return (self._usual or 0.0) > 0 and self._great_falls == self._falls and self._even >= 0.9 * self._steps

    @property
    def may_be_lead(self) -> bool:
        """Say whether times that often start again may be a signal: counters do so after a power of ten or two."""
        if self.falls_evenly:
            return self._steps - self._falls - self.repeats > _MOST_PARTS
        if self.textual or self.is_stamp or not self.starts_again or self._falls <= _MOST_PARTS:
            return False
        if not self.whole:
            return True
        step = self._risen / (self._steps - self._falls - self.repeats)
        ends = {self._least_fall + step, self._most_fall + step}
        return not any(abs(math.log(end, base) - round(math.log(end, base))) < 1e-6 for end in ends for base in (2, 10))

    @property
    def _risen(self) -> float:
        """Sum of all steps up."""
        return (self._way + self._last - (self._first or 0.0)) / 2

    @property
    def mostly_rises(self) -> bool:
        """Say whether the times mostly rise, with some falls: a clock that is set back, or read unevenly."""
        if self.broken or self._first is None or self._steps < _FEWEST_STEPS or self.wraps:
            return False
        return self._falls <= _MOST_FALLS * self._steps and self._last - self._first > _STRAIGHT * self._way

    @property
    def counts_down(self) -> bool:
        """Say whether the times are whole numbers that nearly always fall by 1."""
        return self.whole and not (self.broken or self.textual) and self.minus_ones >= max(2, 0.9 * self._steps)

    @property
    def falls_evenly(self) -> bool:
        """Say whether nearly all times are earlier than the one before by the same step: a clock that counts down."""
        self._settle()
        return not self.broken and (self._usual or 0.0) < 0 and self._even >= 0.9 * self._steps >= 0.9 * _FEWEST_STEPS

    @property
    def is_constant(self) -> bool:
        """Say whether all times are the same."""
        return not self.broken and 0 < self._steps == self.repeats

    @property
    def is_stamp(self) -> bool:
        """Say whether the first time has the size of a Unix stamp."""
        return (self._first or 0.0) >= _UNIX[-1][0]

    @property
    def is_even(self) -> bool:
        """Say whether nearly all times rise, and nearly all steps are alike."""
        self._settle()
        return (self.rises or self.mostly_rises) and self._even >= 0.9 * self._steps

    @property
    def is_ramp(self) -> bool:
        """Say whether all steps are alike and go up."""
        return self.is_even and self._even == self._steps

    @property
    def is_clock(self) -> bool:
        """Say whether a column that is named as a time holds times: they rise, start again, run down or stand still.

        A column with a cell that is no time is judged by the times before it.
        """
        if self.rises or self.mostly_rises or self.starts_again or self.falls_evenly or self._steps == self.repeats:
            return True
        self._settle()
        evenly = (self._usual or 0.0) > 0 and self._steps >= _FEWEST_STEPS and self._even >= _MOSTLY_EVEN * self._steps
        return evenly or (self.broken and not self.falls)

    @property
    def counts(self) -> bool:
        """Say whether whole numbers mostly rise by 1, without a stated unit, and are no Unix stamps."""
        self._settle()
        return not (self.broken or self.textual) and self.whole and self._usual == 1 and self._unit() is None

    def rate(self, name: str) -> float:
        """Return the rate in Hz that follows from the usual step; gaps are left out.

        Args:
            name: what messages call the file.

        Raises:
            RateError: the times do not rise, repeat themselves, are uneven, or count samples.
        """
        self._settle()
        line, cell = self.broken_at
        if self.broken and line:
            raise RateError(f"{name} has a cell that is no time in line {line}: {cell[:40]!r}; give --rate, in Hz")
        if self.starts_again:
            if self._unit() is None:
                raise RateError(f"the time column of {name} starts again at line {self.fell_at}; give --rate, in Hz")
        elif self.broken or self._first is None or self._last <= self._first or self.falls:
            raise RateError(f"the time column of {name} does not rise; give --rate, in Hz")
        if self.repeats:
            coarse = f"{self.repeats} of the times in {name} repeat the one before, because the clock is coarse"
            raise RateError(f"{coarse}; give --rate, in Hz")
        if self._uneven:
            uneven = self._steps - self._even
            raise RateError(
                f"{uneven} of {self._steps} steps in the time column of {name} are uneven; give --rate, in Hz"
            )
        if self._are_packets and self._gap_sum > self._risen / 2:
            raise RateError(
                f"{self._gaps} gaps hold most of the time in {name}, as stamps of packets do; give --rate, in Hz"
            )
        if self.counts:
            raise RateError(f"the time column of {name} counts samples, which gives no rate; give --rate, in Hz")
        if self.whole and not self.textual and self._usual == self._unit() == 1:
            raise RateError(
                f"the times in {name} are whole numbers that rise by 1: whole seconds, or samples that are called "
                "seconds; give --rate, in Hz (1 for seconds)"
            )
        if self.whole and not self.textual and self._usual == 1 and named_unit(self.label) is None:
            raise RateError(
                f"the times in {name} are whole numbers that rise by 1: stamps of a clock, or numbers of samples; give "
                f"--rate, in Hz ({1 / (self._unit() or 1.0):.6g} for stamps)"
            )
        return self._hertz(self._even / self._even_sum, name)

    def parts(self) -> str:
        """Return a note on times that start again; empty if they do not."""
        if not self.starts_again:
            return ""
        times = f", and {self._falls} times in all" if self._falls > 1 else ""
        return f"the times start again at line {self.fell_at}{times}; the samples are taken as if they did not"

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
    def _are_packets(self) -> bool:
        """Say whether gaps are as frequent as between packets, or have about as many times between them."""
        share, most = _FREQUENT
        alike = self._gaps > 2 and self._apart[1] <= _ALIKE * self._apart[0]
        return alike or self._gaps > max(2, min(share * self._steps, most))

    @property
    def _uneven(self) -> bool:
        """Say whether the steps give no rate: too many are gaps, or neither the usual step nor gaps of whole steps.

        Where the clock may be coarse, fewer gaps are enough: its ticks are a power of ten apart, and the gaps come as
        evenly as can be.
        """
        others = self._steps - self._even - self._whole_gaps
        ticks = math.log10(self._usual) if self._usual and self._usual > 0 else 0.0
        maybe_coarse = abs(ticks - round(ticks)) < _ROUNDING and (
            not self._apart or self._apart[1] <= self._apart[0] + 1
        )
        most_gaps = _MOST_UNEVEN if maybe_coarse else _MOST_GAPS
        return (
            not self._even
            or others > max(2, _MOST_UNEVEN * self._steps)
            or self._gaps > max(2, most_gaps * self._steps)
        )

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
        self._great_falls += step < -_GREAT_FALL[0] * usual
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
            self._gap_sum += step - usual
            self._gaps += 1
            self._longest = max(self._longest, (step, time - step))

    def _unit(self) -> float | None:
        """Return the unit in seconds that the name or the size of the times tells; None if neither does."""
        if self.textual:
            return 1.0
        if (named := named_unit(self.label)) is not None:
            return named
        first = self._first or 0.0
        if _SERIAL[0] <= first < _SERIAL[1] and 0 < (self._usual or 0.0) < _SERIAL[2]:
            return 86400.0
        if any(low <= first < high for low, high in _TICKS):
            return _TICK
        return next((unit for least, unit in _UNIX if first >= least), None)

    def _hertz(self, rate: float, name: str) -> float:
        unit = self._unit()
        stated = self.textual or named_unit(self.label) is not None
        ambiguous = unit == _TICK and not _TICKED & set(words(self.label))
        if not stated and rate / (unit or 1.0) < (_FEWEST_TICKED if ambiguous else 1):
            what = "is in seconds" if unit is None else f"holds {_STAMPS.get(unit, 'stamps')}"
            likely = [(rate * one, word) for word, one in _SMALLER if _LIKELY[0] <= rate * one <= _LIKELY[1]]
            likely = likely or [(rate * _SMALLER[0][1], _SMALLER[0][0])]
            each = ", ".join(f"{hertz:.4g} if it is in {word}" for hertz, word in likely)
            raise RateError(
                f"the time column of {name} gives {rate / (unit or 1.0):.3g} Hz if it {what}; give --rate ({each})"
            )
        rate /= unit or 1.0
        return float(round(rate)) if abs(rate - round(rate)) < _ROUNDING * rate else rate

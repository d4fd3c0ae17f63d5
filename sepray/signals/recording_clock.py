"""The clock of a recording: the times that its own column of time says, which may begin anywhere and have gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recording_types import RateError, Recording
from .table_files import TableRecording
from .time_cells import time_of
from .time_columns import Stamps

_UNITS = np.array([1e-9, 1e-7, 1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0])  # of times, in seconds


@dataclass(frozen=True)
class Clock:
    """When the samples of a recording were taken.

    Attributes:
        times: time of each sample in seconds ``[time]``, rising.
        rate: samples a second that the recording is read with, without its gaps.
    """

    times: NDArray[np.float64]
    rate: float

    def from_start(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return moments in seconds from the first sample, as the samples are read: without the gaps.

        They are on this clock, or already seconds from the first sample: whichever of the two has more of them within
        the recording, and on this clock where it is alike. Those on this clock that are in a gap, or outside the
        recording, are left out.

        Args:
            moments: seconds ``[moment]``.
        """
        usual = float(np.median(np.diff(self.times)))
        first, last = self.times[0] - usual, self.times[-1] + usual
        on_clock = (moments >= first) & (moments <= last)
        length = len(self.times) / self.rate
        if on_clock.sum() < ((moments >= 0) & (moments <= length)).sum():
            return moments
        inside = np.clip(moments[on_clock], self.times[0], self.times[-1])
        after = np.clip(np.searchsorted(self.times, inside), 1, len(self.times) - 1)
        to_nearest = np.minimum(inside - self.times[after - 1], self.times[after] - inside)
        there = inside[to_nearest <= usual]
        found: NDArray[np.float64] = np.interp(there, self.times, np.arange(len(self.times))) / self.rate
        return found


def clock_of(recording: Recording) -> Clock | None:
    """Return the clock of a table with a column of times that tells its rate; None where there is none."""
    if not isinstance(recording, TableRecording) or not recording.copied or recording.frames < 2:
        return None
    rows = [row for cells, _ in recording.blocks_with_copied() for row in cells]
    for place, column in enumerate(recording.copied):
        times = _times([row[place] for row in rows], recording.layout.labels[column], recording.layout.decimal)
        if times is not None:
            return Clock(times, recording.rate)
    return None


def _times(cells: list[str], label: str, decimal: str) -> NDArray[np.float64] | None:
    """Return the times of a column in seconds; None where it does not tell a rate, or starts again."""
    stamps = Stamps(label, decimal)
    for cell in cells:
        stamps.add(cell)
    try:
        rate = stamps.rate(label)
    except RateError:
        return None
    if stamps.falls:  # it starts again: a moment would be at several samples
        return None
    found = [time_of(cell, decimal) or (np.nan, 0.0) for cell in cells]
    times = np.array([time for time, _ in found], dtype=np.float64)
    period = found[0][1]
    if period:  # a clock that begins again
        times += period * np.concatenate([[0], np.cumsum(np.diff(times) < -period / 2)])
    steps = np.diff(times)
    usual = float(np.median(steps))
    even = steps[(steps >= usual / 2) & (steps <= 1.5 * usual)]
    unit = _UNITS[np.argmin(np.abs(np.log(_UNITS * rate * even.mean())))]
    return times * float(unit)

"""The clock of a recording: the times in its own column of time, which may begin anywhere and have gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recording_types import RateError, Recording
from .table_files import TableRecording
from .time_cells import time_of
from .time_columns import Stamps

_UNITS = np.array([1e-9, 1e-7, 1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0])  # units that times may have, in seconds


@dataclass(frozen=True)
class Clock:
    """The times at which the samples of a recording were taken.

    Attributes:
        times: time of each sample in seconds, ``[time]``, rising.
        rate: sampling rate in Hz at which the recording is read, gaps left out.
    """

    times: NDArray[np.float64]
    rate: float

    def from_start(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return moments in seconds from the first sample, gaps left out, as the samples are read.

        The given moments are on this clock, or already seconds from the first sample. The reading with more moments
        within the recording counts; if both have as many, it is this clock. Moments on this clock that are in a gap, or
        outside the recording, are left out.

        Args:
            moments: seconds, ``[moment]``.
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
    """Return the times of a column in seconds; None where they give no rate, or start again."""
    stamps = Stamps(label, decimal)
    for cell in cells:
        stamps.add(cell)
    try:
        rate = stamps.rate(label)
    except RateError:
        return None
    if stamps.falls:  # the times start again: a moment would be at several samples
        return None
    found = [time_of(cell, decimal) or (np.nan, 0.0) for cell in cells]
    times = np.array([time for time, _ in found], dtype=np.float64)
    period = found[0][1]
    if period:  # times of day or the like, which begin again after each period
        times += period * np.concatenate([[0], np.cumsum(np.diff(times) < -period / 2)])
    steps = np.diff(times)
    usual = float(np.median(steps))
    even = steps[(steps >= usual / 2) & (steps <= 1.5 * usual)]
    unit = _UNITS[np.argmin(np.abs(np.log(_UNITS * rate * even.mean())))]
    return times * float(unit)

"""Removes the baseline of an ECG, block by block: all that is slower than any heart beats, as the motion of a breath.

The baseline is found by a low-pass of zero phase (windowed sinc, Hamming). It passes nothing from the lowest heart rate
on, and everything below half of that rate: shapes of beats stay as they are. A low-pass spreads short disturbances, so
these are removed first (``signals.disturbances``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recording_types import Block

Signal = NDArray[np.float64]

_HALF = 0.75  # frequency of which the low-pass passes half, as a share of the lowest rate
_END = 1.0  # length of the end whose slope is continued, in beats at the lowest rate
_BEAT = 0.075  # length of a beat, in which samples are alike, as a share of an interval at the lowest rate
_TAPS = 3.3  # width of a Hamming window's transition, times its length
_FEWEST_AT_ONCE = 1 << 15  # least number of samples, of all channels, that are filtered at once


@dataclass(frozen=True)
class Baseline:
    """The baseline of a signal.

    Attributes:
        lowest: the lowest heart rate, in beats a sample.
        levels: for each channel, the constant that is subtracted beside its slow part.
        shares: for each channel, the largest size of its slow part, in units of the rest's size.
    """

    lowest: float
    levels: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def half(self) -> float:
        """Frequency of which the low-pass passes half, in periods a sample."""
        return _HALF * self.lowest

    def taken_from(self, blocks: Iterable[Block]) -> Iterator[Signal]:
        """Yield ``[channel, time]`` without the baseline, in blocks that are filtered as if they were one."""
        levels = np.array(self.levels)[:, None]
        for block, slow in with_slow_part(blocks, self.lowest):
            yield block - slow - levels


def with_slow_part(blocks: Iterable[Block], lowest: float) -> Iterator[tuple[Signal, Signal]]:
    """Yield a signal and its slow part, ``[channel, time]`` each, in blocks of a length of their own.

    Both ends are mirrored, about their slopes.

    Args:
        blocks: the signal.
        lowest: the lowest heart rate, in beats a sample.
    """
    low_pass = _low_pass(lowest)
    reach = len(low_pass) // 2
    held: Signal | None = None  # from `reach` samples before the next one on
    begun, whole, spectrum = False, 0, np.zeros(0, complex)

    def both(part: Signal) -> tuple[Signal, Signal]:
        slow = np.empty((len(part), part.shape[-1] - 2 * reach))
        for channel, own in enumerate(part):  # one by one: spectra take several times the memory of a channel
            filtered = np.fft.irfft(np.fft.rfft(own, whole) * spectrum, whole)
            slow[channel] = filtered[2 * reach : part.shape[-1]]
        return part[:, reach : part.shape[-1] - reach], slow

    for block in blocks:
        if held is None:
            whole = 1 << max(_FEWEST_AT_ONCE // len(block), 4 * reach).bit_length()
            spectrum = np.fft.rfft(low_pass, whole)
        held = np.asarray(block, np.float64) if held is None else np.concatenate([held, block], axis=-1)
        if not begun and held.shape[-1] > reach:
            held, begun = np.concatenate([_beyond(held[:, ::-1], reach, lowest)[:, ::-1], held], axis=-1), True
        while begun and held.shape[-1] >= whole:
            yield both(held[:, :whole])
            held = held[:, whole - 2 * reach :]
    if held is not None:
        before = held[:, :0] if begun else _beyond(held[:, ::-1], reach, lowest)[:, ::-1]
        ends = np.concatenate([before, held, _beyond(held, reach, lowest)], axis=-1)
        for start in range(0, ends.shape[-1] - 2 * reach, whole - 2 * reach):
            yield both(ends[:, start : start + whole])


def _beyond(signal: Signal, count: int, lowest: float) -> Signal:
    """Return ``count`` samples beyond the end of a signal, ``[channel, time]``: its mirror image about its slope there.

    The slope is that at the end of a parabola through the last interval, shrunk by what beats may have added to it. It
    is 0 where the signal is too short for such a parabola.
    """
    frames = signal.shape[-1]
    if count > frames:
        more = _beyond(signal, frames, lowest)
        return np.concatenate([more, _beyond(np.concatenate([signal, more], axis=-1), count - frames, lowest)], axis=-1)
    fitted = round(_END / lowest)
    mirrored: Signal = signal[:, ::-1][:, :count]
    if frames < fitted:
        return mirrored
    powers = np.vander(np.arange(0.5 - fitted, 0), 3)  # of the time from the end, which is half a sample after the last
    coefficients, *_ = np.linalg.lstsq(powers, signal[:, -fitted:].T)
    beats = (signal[:, -fitted:].T - powers @ coefficients).var(axis=0)
    slopes = coefficients[1]
    variances = 192 * beats / fitted**3 * _BEAT / lowest  # of the slope at the end of a parabola through noise
    slopes = slopes**3 / np.maximum(slopes**2 + variances, np.finfo(float).tiny)
    longer: Signal = mirrored + slopes[:, None] * np.arange(1, 2 * count, 2)
    return longer


def _low_pass(lowest: float) -> Signal:
    """Return a filter ``[tap]`` of odd length that passes half at three quarters of the lowest rate; its sum is 1."""
    half = int(np.ceil(_TAPS / lowest))
    low_pass = np.sinc(2 * _HALF * lowest * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    scaled: Signal = low_pass / low_pass.sum()
    return scaled

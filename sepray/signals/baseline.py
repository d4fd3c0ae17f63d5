"""The baseline of an ECG: what is slower than any heart beats, such as what a breath moves. Taken away block by block.

It is found by a low-pass of zero phase (windowed sinc, Hamming), which lets nothing through from the lowest heart rate
on and all below half of it: shapes of beats stay as they are. A short disturbance spreads in it, so these go first
(``signals.disturbances``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recording_types import Block

Signal = NDArray[np.float64]

_HALF = 0.75  # of the lowest rate: the frequency that half is let through of
_END = 1.0  # beats at the lowest rate, whose slope goes on beyond an end
_BEAT = 0.075  # of the interval of the lowest rate, that a beat is long, in which samples are alike
_TAPS = 3.3  # width of a Hamming window's transition, times its length
_FEWEST_AT_ONCE = 1 << 15  # samples that are filtered, of all channels


@dataclass(frozen=True)
class Baseline:
    """What is taken away from each channel of a signal.

    Attributes:
        lowest: the lowest heart rate, in beats a sample.
        levels: for each channel, what is taken away beside its slow part, whose median is not that of the whole.
        shares: for each channel, how large the slow part is where it is largest, the rest = 1.
    """

    lowest: float
    levels: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def half(self) -> float:
        """The frequency, in periods a sample, that half is let through of."""
        return _HALF * self.lowest

    def taken_from(self, blocks: Iterable[Block]) -> Iterator[Signal]:
        """Yield ``[channel, time]`` without the baseline, block by block as if at once."""
        levels = np.array(self.levels)[:, None]
        for block, slow in with_slow_part(blocks, self.lowest):
            yield block - slow - levels


def with_slow_part(blocks: Iterable[Block], lowest: float) -> Iterator[tuple[Signal, Signal]]:
    """Yield a signal ``[channel, time]`` with its slow part, in blocks that do not depend on those of the signal.

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
        for channel, own in enumerate(part):  # one by one: spectra are several times as large as what they are of
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
    """Return ``[channel, time]`` beyond the end of a signal: it is mirrored, and goes on with the slope of its end.

    That is the slope at the end of the parabola through it, shrunk by what it may owe to the beats there, and none
    where the signal is too short for one.
    """
    frames = signal.shape[-1]
    if count > frames:
        more = _beyond(signal, frames, lowest)
        return np.concatenate([more, _beyond(np.concatenate([signal, more], axis=-1), count - frames, lowest)], axis=-1)
    fitted = round(_END / lowest)
    mirrored: Signal = signal[:, ::-1][:, :count]
    if frames < fitted:
        return mirrored
    powers = np.vander(np.arange(0.5 - fitted, 0), 3)  # of the time to the end, half a sample after the last one
    coefficients, *_ = np.linalg.lstsq(powers, signal[:, -fitted:].T)
    beats = (signal[:, -fitted:].T - powers @ coefficients).var(axis=0)
    slopes = coefficients[1]
    variances = 192 * beats / fitted**3 * _BEAT / lowest  # of the slope at the end of a parabola through noise
    slopes = slopes**3 / np.maximum(slopes**2 + variances, np.finfo(float).tiny)
    longer: Signal = mirrored + slopes[:, None] * np.arange(1, 2 * count, 2)
    return longer


def _low_pass(lowest: float) -> Signal:
    """Return a filter of an odd length that lets half through at three quarters of the lowest rate; its sum is 1."""
    half = int(np.ceil(_TAPS / lowest))
    low_pass = np.sinc(2 * _HALF * lowest * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    scaled: Signal = low_pass / low_pass.sum()
    return scaled

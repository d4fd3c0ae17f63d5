"""The baseline of an ECG: what is slower than any heart beats, such as what a breath moves. Taken away block by block.

It is found by a low-pass of zero phase (windowed sinc, Hamming), which lets nothing through from the lowest heart rate
on and all below half of it: shapes of beats stay as they are. Samples that lie very far out count less, so that a short
disturbance of any height does not spread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .recording_types import Block

Signal = NDArray[np.float64]

_HALF = 0.75  # of the lowest rate: the frequency that half is let through of
_TAPS = 3.3  # width of a Hamming window's transition, times its length
_FEWEST_AT_ONCE = 1 << 15  # samples that are filtered


@dataclass(frozen=True)
class Baseline:
    """What is taken away from each channel of a signal.

    Attributes:
        lowest: the lowest heart rate, in beats a sample.
        limits: for each channel, the height beyond which a sample counts as one of that height; 0: it stays as it is.
        levels: for each channel, what is taken away beside its slow part, whose median is not that of the whole.
    """

    lowest: float
    limits: tuple[float, ...]
    levels: tuple[float, ...]

    @property
    def half(self) -> float:
        """The frequency, in periods a sample, that half is let through of."""
        return _HALF * self.lowest

    def taken_from(self, blocks: Iterable[Block]) -> Iterator[Signal]:
        """Yield ``[channel, time]`` without the baseline, block by block as if at once."""
        levels = np.array(self.levels)[:, None]
        for block, slow in with_slow_part(blocks, self.lowest, self.limits):
            yield block - slow - levels


def with_slow_part(
    blocks: Iterable[Block], lowest: float, limits: tuple[float, ...]
) -> Iterator[tuple[Signal, Signal]]:
    """Yield a signal ``[channel, time]`` with its slow part, in blocks that do not depend on those of the signal.

    Both ends are mirrored.

    Args:
        blocks: the signal.
        lowest: the lowest heart rate, in beats a sample.
        limits: as of ``Baseline``; a channel of limit 0 has no slow part.
    """
    low_pass = _low_pass(lowest)
    reach = len(low_pass) // 2
    whole = 1 << max(_FEWEST_AT_ONCE, 8 * reach).bit_length()
    spectrum = np.fft.rfft(low_pass, whole)
    heights = np.array(limits)[:, None]

    def both(part: Signal) -> tuple[Signal, Signal]:
        filtered = np.fft.irfft(np.fft.rfft(np.clip(part, -heights, heights), whole) * spectrum, whole)
        return part[:, reach : part.shape[-1] - reach], filtered[:, 2 * reach : part.shape[-1]]

    held: Signal | None = None  # from `reach` samples before the next one on
    begun = False
    for block in blocks:
        held = np.asarray(block, np.float64) if held is None else np.concatenate([held, block], axis=-1)
        if not begun and held.shape[-1] > reach:
            held, begun = np.pad(held, ((0, 0), (reach, 0)), mode="symmetric"), True
        while begun and held.shape[-1] >= whole:
            yield both(held[:, :whole])
            held = held[:, whole - 2 * reach :]
    if held is not None:
        ends = np.pad(held, ((0, 0), (0 if begun else reach, reach)), mode="symmetric")
        for start in range(0, ends.shape[-1] - 2 * reach, whole - 2 * reach):
            yield both(ends[:, start : start + whole])


def _low_pass(lowest: float) -> Signal:
    """Return a filter of an odd length that lets half through at three quarters of the lowest rate; its sum is 1."""
    half = int(np.ceil(_TAPS / lowest))
    low_pass = np.sinc(2 * _HALF * lowest * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    scaled: Signal = low_pass / low_pass.sum()
    return scaled

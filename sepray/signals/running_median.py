"""Levels of a signal over time: medians of stretches, and a running median, block by block.

A running median follows drifts, and steps without rounding them off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .recording_types import Block

_FEWEST_CHANGES = 5  # least number of changes from stretch to stretch by which a drift is told from steps
_SHORTEST, _VALUES = 1024, 1 << 19  # samples of each channel, at least, and of all channels in a short block
_SAMPLES = 1024  # of half a stretch, evenly spaced, of which median and standard deviation are taken


def stretches(blocks: Iterable[Block], length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median and the standard deviation of stretches that overlap by half, each ``[channel, stretch]``.

    The first and the last stretch are half as long, so that the ends have stretches too. Samples that are left at the
    end are in the last one.

    Args:
        blocks: a signal, in blocks ``[channel, time]``.
        length: samples of a stretch, at least 2.
    """
    half = length // 2
    stride = max(1, half // _SAMPLES)
    found = []
    before: NDArray[np.float64] | None = None
    for part in parts(blocks, half):
        some = part[:, ::stride].astype(np.float64)
        found.append(_location(some) if before is None else _location(np.concatenate([before, some], axis=-1)))
        before = some
    if before is not None:
        found.append(_location(before))
    middles, spreads = zip(*found, strict=True)
    return np.stack(middles, 1), np.stack(spreads, 1)


def in_pieces(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield ``[channel, time]`` in blocks that are short where there are many channels, to save memory."""
    for block in blocks:
        length = max(_SHORTEST, _VALUES // len(block))
        for start in range(0, block.shape[-1], length):
            yield block[:, start : start + length]


def parts(blocks: Iterable[Block], length: int) -> Iterator[Block]:
    """Yield ``[channel, time]`` in parts of ``length`` samples; the last has what is left, below twice that."""
    held: Block | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= 2 * length:
            yield held[:, :length]
            held = held[:, length:]
    if held is not None:
        yield held


def _location(part: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.median(part, axis=1), part.std(axis=1)


def drift(middles: NDArray[np.float64], length: int) -> float:
    """Return how much the level changes from sample to sample if it drifts; 0 where there are too few stretches.

    Steps do not count: the drift is the median of the changes from stretch to stretch.

    Args:
        middles: medians of the stretches of a channel, ``[stretch]``, from ``stretches``.
        length: samples of a stretch.
    """
    changes = np.diff(middles[1:-2])  # of whole stretches
    return float(np.median(changes)) / (length // 2) if len(changes) >= _FEWEST_CHANGES else 0.0


def less_drift(blocks: Iterable[Block], slopes: Sequence[float]) -> Iterator[NDArray[np.float64]]:
    """Yield a signal ``[channel, time]`` without a straight line from 0 in each channel, block by block.

    Args:
        blocks: the signal.
        slopes: slope of each channel's line, per sample.
    """
    start = 0
    for block in blocks:
        yield block - np.array(slopes)[:, None] * np.arange(start, start + block.shape[-1])
        start += block.shape[-1]


def less_running_median(blocks: Iterable[Block], lengths: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """Yield a signal without its running median, in blocks, with the result of one block; both ends are mirrored.

    Args:
        blocks: the signal, in blocks ``[channel, time]``.
        lengths: number of samples of each channel's median, made odd; 0: the channel stays as it is.
    """
    reach = max(lengths) // 2
    for held in surrounded(blocks, reach):
        yield _centre(held, reach, lengths)


def surrounded(blocks: Iterable[Block], reach: int) -> Iterator[NDArray[np.float64]]:
    """Yield a signal ``[channel, time]`` in parts with ``reach`` samples more at either end; its ends are mirrored."""
    held: NDArray[np.float64] | None = None  # from `reach` samples before the next one on
    begun = False
    for block in blocks:
        held = np.asarray(block, np.float64) if held is None else np.concatenate([held, block], axis=-1)
        if not begun and held.shape[-1] > reach:
            held, begun = np.pad(held, ((0, 0), (reach, 0)), mode="symmetric"), True
        if begun and held.shape[-1] > 2 * reach:
            yield held
            held = held[:, held.shape[-1] - 2 * reach :]
    if held is not None:
        yield np.pad(held, ((0, 0), (0 if begun else reach, reach)), mode="symmetric")


def _centre(held: NDArray[np.float64], reach: int, lengths: Sequence[int]) -> NDArray[np.float64]:
    """Return ``[channel, time]`` less its running median, without the ``reach`` samples at either end."""
    from scipy.ndimage import median_filter

    inner = slice(reach, held.shape[-1] - reach)
    less = held[:, inner].copy()
    for channel, length in enumerate(lengths):
        if length:
            less[channel] -= median_filter(held[channel], length // 2 * 2 + 1)[inner]
    return less

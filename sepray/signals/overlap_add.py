"""Separation of a recording of any length and rate, a window at a time, without seams.

Streams are iterators of arrays whose last axis is time; never more than a few windows of a recording are in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .polyphase import Resampler

Array = NDArray[np.float32]
Separate = Callable[[Array], Array]
"""A separator of windows: ``[batch, channel, time]`` -> ``[batch, source, channel, time]``."""

_SAMPLES_AT_ONCE = 1 << 20
_WINDOWS_AT_ONCE = 64


def resampled_length(frames: int, rate: float, new_rate: float) -> int:
    """Return how many samples ``resampled`` makes of ``frames``."""
    up, down = _ratio(rate, new_rate)
    return -(-frames * up // down)


def resampled(blocks: Iterator[Array], rate: float, new_rate: float) -> Iterator[Array]:
    """Change the rate of ``[..., time]`` from ``rate`` to ``new_rate``, in Hz, in blocks, with the result of one block.

    The filter is a zero-phase windowed-sinc low-pass (Kaiser) in polyphase form; sample 0 stays at time 0. Before its
    start and after its end the signal is assumed constant. The ratio of the rates is rounded to a fraction of numbers
    up to 100,000, whose inverse is used on the way back.
    """
    up, down = _ratio(rate, new_rate)
    if up == down:
        yield from blocks
        return
    resample = Resampler(up, down)
    # In blocks of a multiple of `down` samples, output samples fall on the same phases as in one block.
    margin = down * math.ceil((resample.reach + 2) / down)
    periods = max(1, _SAMPLES_AT_ONCE // 4 // max(up, down))
    size = down * periods
    held: Array | None = None  # from `margin` before the next output on
    taken = given = 0
    for block in blocks:
        taken += block.shape[-1]
        held = _joined(_repeated(block[..., :1], margin) if held is None else held, block)
        while held.shape[-1] >= size + 2 * margin:
            yield resample(held[..., : size + 2 * margin], margin, periods)
            given += periods * up
            held = held[..., size:]
    if held is not None:
        left = -(-taken * up // down) - given
        periods = -(-left // up)
        whole = _joined(held, _repeated(held[..., -1:], down + margin))
        yield resample(whole, margin, periods)[..., :left]


def separated(
    blocks: Iterator[Array], frames: int, separate: Separate, window: int, context: int | None = None
) -> Iterator[Array]:
    """Separate ``[channel, time]`` into ``[source, channel, time]``, window by window, with cross-fades.

    The ends of every window, where an estimate lacks its surroundings, are not used, except at the ends of the
    recording; the rest is cross-faded by squared sines that add up to one. So a separator that is linear and
    time-invariant with a reach of up to ``context`` samples gives the same as from the whole recording at once.

    Args:
        blocks: the recording.
        frames: length of the recording in samples.
        separate: the separator.
        window: length of the separator's input in samples, best the one that it was trained on. A shorter recording is
            mirrored up to this length.
        context: samples at either end of a window that are not used; default: an eighth of the window.

    Raises:
        ValueError: the window is not longer than its two ends.
    """
    if frames <= window:
        whole = np.concatenate(list(blocks), axis=-1)
        mirrored = np.pad(whole, ((0, 0), (0, window - frames)), mode="symmetric")
        yield separate(mirrored[None])[0][..., :frames]
        return
    context = window // 8 if context is None else context
    hop = (window - 2 * context) // 2
    if hop < 1:
        raise ValueError(f"a window of {window} samples leaves nothing between its unused ends of {context}")
    starts = [*range(0, frames - window, hop), frames - window]
    held = np.zeros((0, 0), dtype=np.float32)  # the input from `base` on
    sums: NDArray[np.float64] | None = None  # weighted estimates, and the weights, from `base` on
    weights = np.zeros(0)
    base = done = 0
    channels = 1
    at_once = 1
    position = 0
    while position < len(starts):
        group = starts[position : position + at_once]
        while base + held.shape[-1] < group[-1] + window:
            block = next(blocks)
            held = block if not held.size else _joined(held, block)
            channels = held.shape[0]
        at_once = max(1, min(_WINDOWS_AT_ONCE, _SAMPLES_AT_ONCE // (window * channels)))
        estimates = separate(np.stack([held[:, start - base : start - base + window] for start in group]))
        length = group[-1] + window - base
        grown = np.zeros((*estimates.shape[1:3], length))
        if sums is not None:
            grown[..., : sums.shape[-1]] = sums
        sums, weights = grown, np.concatenate([weights, np.zeros(length - len(weights))])
        for start, estimate in zip(group, estimates, strict=True):
            taper = _taper(window, context, hop, first=start == 0, last=start == starts[-1])
            sums[..., start - base : start - base + window] += estimate * taper
            weights[start - base : start - base + window] += taper
        position += len(group)
        until = frames if position == len(starts) else starts[position] + context
        yield (sums[..., done - base : until - base] / weights[done - base : until - base]).astype(np.float32)
        done = until
        if position < len(starts):
            cut = starts[position] - base
            held, sums, weights, base = held[:, cut:], sums[..., cut:], weights[cut:], starts[position]


def cut(blocks: Iterator[Array], frames: int) -> Iterator[Array]:
    """Yield the first ``frames`` samples of a stream of blocks ``[..., time]``."""
    for block in blocks:
        if frames <= 0:
            return
        yield block[..., :frames]
        frames -= block.shape[-1]


def each_channel(separate: Separate) -> Separate:
    """Return a separator for any number of channels that separates each alone, from a separator of one channel."""

    def by_channel(mixture: Array) -> Array:
        batch, channels, time = mixture.shape
        estimates = separate(mixture.reshape(batch * channels, 1, time))
        return estimates.reshape(batch, channels, -1, time).swapaxes(1, 2)

    return by_channel


def _ratio(rate: float, new_rate: float) -> tuple[int, int]:
    """Return the factors up and down of a change of rate; the change back has them swapped."""
    low, high = sorted((rate, new_rate))
    ratio = Fraction(low / high).limit_denominator(100_000)
    return (ratio.denominator, ratio.numerator) if new_rate > rate else (ratio.numerator, ratio.denominator)


def _taper(window: int, context: int, hop: int, first: bool, last: bool) -> NDArray[np.float64]:
    """Return the weights of a window: 0 at its unused ends, a squared sine over two hops between them."""
    taper = np.zeros(window)
    taper[context : context + 2 * hop] = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)) ** 2
    if first:
        taper[: context + hop] = 1
    if last:
        taper[window - context - hop :] = 1
    return taper


def _joined(first: Array, second: Array) -> Array:
    return np.concatenate([first, second], axis=-1)


def _repeated(sample: Array, count: int) -> Array:
    return np.repeat(sample, count, axis=-1)

"""Disturbances of an ECG: steps of its level, and samples that lie far beyond its beats. Removed block by block.

Both are told from beats and breaths by the level, a running median over about a beat. The level changes at once where
the signal steps (an electrode is moved, an amplifier was saturated). It hardly changes for what is shorter than half of
its length (a pop of an electrode), so such samples lie far from it. Fast changes of the level are subtracted from all
that follows, and far samples are set to the level. In ``ecg:varied``, with ectopic beats too, no sample is far, and one
item in a hundred has a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .recording_types import Block
from .running_median import parts, surrounded

Signal = NDArray[np.float64]

_SHORT = 25  # parts of the median's length: a change within one is fast, and samples within one of a far sample are far
_STEP = 0.5  # least change of the level at a step, in usual heights of beats
_SLOPES = 3.0  # added to it: so many times the level's usual change around there, as where a breath moves it
_FAR = 3.5  # usual heights from the level beyond which nothing is a beat; ectopic beats of MIT-BIH 100 are 2.9 high
_FAR_IF_SHARP = 1.75  # the same beside an edge, where the signal moves faster than in any beat
_SHARP, _AT_ONCE = 1.5, 0.0075  # an edge: change in usual heights, within this share of the median's length
_USUAL = 40  # percentile of the parts' heights that is the usual height: most parts may be disturbed
_PARTS = 3  # least number of parts: the highest may be disturbed, and the lowest may hold no beat
_ENOUGH = 1.8  # length in beats of a recording whose parts are long enough to hold beats
_HIGHEST = 6.0  # in a shorter recording, a beat may be so many times as high as the usual height


class Repaired(NamedTuple):
    """A part of a signal; all attributes are ``[channel, time]``.

    Attributes:
        signal: the samples without disturbances.
        far: whether a sample was set to the level.
        steps: whether the level steps at a sample.
    """

    signal: Signal
    far: NDArray[np.bool_]
    steps: NDArray[np.bool_]


class Tally:
    """Counts the disturbances in each channel of a signal while it is read.

    Attributes:
        far: number of samples that were set to the level, ``[channel]``.
        first: index of the first such sample, ``[channel]``.
        steps: number of steps of the level, ``[channel]``.
    """

    def __init__(self, channels: int) -> None:
        self.far, self.first, self.steps = (np.zeros(channels, np.int64) for _ in range(3))
        self._start, self._stepped = 0, np.zeros((channels, 1), bool)

    def watching(self, parts: Iterable[Repaired]) -> Iterator[Signal]:
        """Yield the parts without their disturbances."""
        for part in parts:
            begins = (self.far == 0) & part.far.any(axis=1)
            self.first = np.where(begins, self._start + part.far.argmax(axis=1), self.first)
            self.far += part.far.sum(axis=1)
            steps = np.concatenate([self._stepped, part.steps], axis=1)
            self.steps += (steps[:, 1:] & ~steps[:, :-1]).sum(axis=1)
            self._start, self._stepped = self._start + part.signal.shape[-1], steps[:, -1:]
            yield part.signal


@dataclass(frozen=True)
class Disturbances:
    """Measures by which disturbances are told, in each channel of a signal.

    Attributes:
        length: number of samples of the running median.
        heights: for each channel, the usual height of its beats above the level; 0: the channel stays as it is.
    """

    length: int
    heights: tuple[float, ...]

    def taken_from(self, blocks: Iterable[Block]) -> Iterator[Repaired]:
        """Yield the parts of a signal ``[channel, time]`` without disturbances, found as if in one block.

        Both ends are mirrored.
        """
        short, half = max(1, self.length // _SHORT), self.length // 2
        stairs = [0.0] * len(self.heights)
        for held in surrounded(blocks, 2 * half + short):
            shape = (len(held), held.shape[-1] - 4 * half - 2 * short)
            part = Repaired(np.empty(shape), np.zeros(shape, bool), np.zeros(shape, bool))
            for channel, (own, height) in enumerate(zip(held, self.heights, strict=True)):  # one by one, for memory
                if height:
                    stairs[channel] = self._repair(own, height, stairs[channel], [each[channel] for each in part])
                else:
                    part.signal[channel] = own[2 * half + short : len(own) - 2 * half - short]
            yield part

    def _repair(self, held: Signal, height: float, stair: float, into: Sequence[NDArray[Any]]) -> float:
        """Write a channel's part of a ``Repaired``; return the sum of the level's steps up to the end of the part.

        Args:
            held: samples of the part and its surroundings, ``[time]``.
            height: the usual height of beats.
            stair: sum of the level's steps before the part.
            into: arrays to write into, ``[time]`` each, in the order of ``Repaired``.
        """
        short, half = max(1, self.length // _SHORT), self.length // 2
        level = _running_median(held, half)
        near = held[half : len(held) - half]
        inner = slice(half + short, len(near) - half - short)
        away = np.abs(near - level)[half : len(near) - half]
        at_once, reach = max(1, round(_AT_ONCE * self.length)), self.length // 4
        sharp = np.zeros(len(near), bool)
        sharp[at_once:] = np.abs(near[at_once:] - near[:-at_once]) > _SHARP * height
        beside = slice(half - reach, len(near) - half + reach)
        out = (away > _FAR * height) | (_any(sharp[beside], 2 * reach + 1) & (away > _FAR_IF_SHARP * height))
        far = _any(out, 2 * short + 1)
        change = np.abs(level[short:] - level[:-short])
        fast = change[half : len(change) - half] > _STEP * height + _SLOPES * _running_median(change, half)
        steps = _any(fast, short)[:-1]
        stairs = stair + np.cumsum(np.where(steps, np.diff(level, prepend=0)[inner], 0.0))
        signal, is_far, is_step = into
        signal[:] = np.where(far, level[inner], near[inner]) - stairs
        is_far[:], is_step[:] = far, steps
        return float(stairs[-1])


def disturbances(blocks: Iterable[Block], frames: int, lowest: float) -> Disturbances:
    """Return the measures that tell disturbances from the beats of a signal.

    Args:
        blocks: the signal, in blocks ``[channel, time]``.
        frames: samples of a channel, at least 4.
        lowest: the lowest heart rate, in beats a sample.
    """
    beat = max(2, round(1 / lowest))
    length = min(beat, frames // 2)
    half = length // 2

    def beside_the_level() -> Iterator[Signal]:
        for held in surrounded(blocks, half):
            beside = held[:, half : held.shape[-1] - half].copy()
            for channel, own in enumerate(held):
                beside[channel] -= _running_median(own, half)
            yield np.abs(beside, out=beside)

    highest = [part.max(axis=-1) for part in parts(beside_the_level(), max(1, min(beat, frames // _PARTS)))]
    factor = 1.0 if frames >= _ENOUGH * beat else _HIGHEST
    return Disturbances(length, tuple(factor * _usual(own) for own in np.stack(highest, axis=-1)))


def _usual(heights: Signal) -> float:
    positive = heights[heights > 0]
    return float(np.percentile(positive, _USUAL, method="nearest")) if len(positive) else 0.0


def _running_median(signal: Signal, half: int) -> Signal:
    """Return the median over ``2 half + 1`` samples around each of ``[time]``, except the ``half`` at either end."""
    from scipy.ndimage import median_filter

    found: Signal = median_filter(signal, 2 * half + 1)[half : len(signal) - half]
    return found


def _any(flags: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return whether any of ``size`` flags in a row is set, ``[time - size + 1]``, for flags ``[time]``."""
    counts = np.concatenate([[0], np.cumsum(flags)])
    some: NDArray[np.bool_] = counts[size:] > counts[:-size]
    return some

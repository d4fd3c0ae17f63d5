"""Interface of recordings, whatever kind of file holds them. Imports nothing from sepray but the errors.

A block is ``[channel, time]``, float32, or float64 where a channel's offset is so large that float32 would round its
samples. Written files have the format of the recording that was read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Block = NDArray[np.float32] | NDArray[np.float64]
BLOCK_SAMPLES = 1 << 16
"""Most samples of a channel in a block."""
LARGEST = 1e30
"""Largest sample that a recording may have: sums of larger ones are no longer numbers."""
RATES = (1e-3, 1e9)
"""Lowest and highest rate that a recording may have, in Hz."""

_BLOCK_VALUES = 1 << 22  # most samples of all channels in a block
_MOST_UP, _MOST_DOWN = 64, 50_000  # largest factors by which a rate is changed
_LARGEST_OFFSET = 4096  # times a block's range: at this offset float32 rounds samples to a 4,000th of the range
_FREE = 1 << 23  # samples that every file may hold, however short it is


class RecordingError(UsageError):
    """A recording cannot be used; the message says which, why and what to do, in one line."""


class SilentError(RecordingError):
    """All samples of a recording are equal."""


class RateError(RecordingError):
    """A file does not say its rate, and none was given."""


def block_length(most: int, channels: int) -> int:
    """Return how many samples of each channel a block has: ``most``, or fewer where there are many channels."""
    return max(1, min(most, _BLOCK_VALUES // max(1, channels)))


def as_block(values: NDArray[Any]) -> Block:
    """Return numbers ``[channel, time]`` as float32; numbers that are too large become infinite, without a warning.

    Where a channel lies so far from 0 that float32 would round its samples to steps, all are float64. (Offsets are
    removed later.)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        block = np.asarray(values, dtype=np.float32)
        if values.dtype.itemsize <= 2 or values.dtype == np.float32 or not values.size:
            return block
        low, high = block.min(axis=-1), block.max(axis=-1)
        far = (low != high) & np.isfinite(high) & (np.maximum(-low, high) > _LARGEST_OFFSET * (high - low))
        return np.asarray(values, dtype=np.float64) if far.any() else block


def check_rate(rate: float, name: str) -> None:
    """Refuse a rate that no recording has, which a damaged header may say.

    Raises:
        RecordingError: the rate is no finite number within ``RATES``.
    """
    low, high = RATES
    if not low <= rate <= high:
        raise RecordingError(f"{name} says that its rate is {rate:g} Hz, and rates are between {low:g} and {high:g} Hz")


def check_change(rate: float, new_rate: float, name: str) -> None:
    """Refuse a change of rate that makes a long signal of nothing, or nothing of a long one.

    Args:
        rate: rate of the recording, in Hz.
        new_rate: the wanted rate, in Hz.
        name: what messages call the recording.

    Raises:
        RecordingError: the new rate is more than 64 times the old one, or less than a 50,000th of it.
    """
    if not rate / _MOST_DOWN <= new_rate <= rate * _MOST_UP:
        raise RecordingError(
            f"{name} has a rate of {rate:g} Hz, which is too far from the {new_rate:g} Hz that are needed"
        )


def check_promise(samples: float, size: int, most: int, name: str) -> None:
    """Refuse a file that promises more samples than it can hold, before there is memory for them.

    Args:
        samples: samples of all channels that its header promises.
        size: bytes of the file.
        most: most samples that an honest file has for each byte. Up to 2^23 samples are allowed for any file.
        name: what messages call the file.

    Raises:
        RecordingError: the file promises more samples than it can hold.
    """
    if samples > max(_FREE, most * size):
        raise RecordingError(f"{name} is damaged or truncated: it promises {samples:.4g} samples, and has {size} bytes")


class Writer(Protocol):
    """Takes a recording's blocks in order."""

    clipped: int
    """Samples so far that the format's number type could not hold."""

    def write(self, block: Block) -> None:
        """Append ``[channel, time]``."""
        ...


class Location(NamedTuple):
    """Median and spread of the samples of a channel.

    Attributes:
        middle: their median.
        spread: their standard deviation.
    """

    middle: float
    spread: float


@dataclass(frozen=True)
class Recording(ABC):
    """A file whose header has been read; ``recordings.open_recording`` has checked its samples too.

    Attributes:
        path: the file.
        rate: samples per second.
        channels: number of channels.
        frames: samples of a channel.
        locations: location of each channel; empty until ``recordings.open_recording`` has read the samples.
    """

    path: Path
    rate: float
    channels: int
    frames: int
    locations: tuple[Location, ...] = field(default=(), kw_only=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the recording for the user, a line each."""
        return ()

    @property
    @abstractmethod
    def suffix(self) -> str:
        """Suffix for new files of this format, for a file whose own name has none."""

    @property
    def written_suffix(self) -> str:
        """Suffix of the files that ``writer`` writes."""
        return self.path.suffix.lower() or self.suffix

    @property
    @abstractmethod
    def unit(self) -> str:
        """Unit of the samples, for the label of an axis."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""

    @abstractmethod
    def writer(self, path: Path, channels: int | None = None) -> AbstractContextManager[Writer]:
        """Open a file for writing, of this one's format, rate and length.

        Args:
            path: the new file.
            channels: number of channels that it has, the first ones; None: all.
        """

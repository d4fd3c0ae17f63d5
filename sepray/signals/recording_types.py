"""What a recording is, whatever kind of file holds it. Imports nothing from sepray but the errors.

A block is ``[channel, time]``, float32. Written files have the format of the recording that was read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Block = NDArray[np.float32]
BLOCK_SAMPLES = 1 << 16
"""Most samples of a channel in a block."""


class RecordingError(UsageError):
    """A recording cannot be used; the message says which, why and what to do, in one line."""


class SilentError(RecordingError):
    """All samples of a recording are alike."""


class RateError(RecordingError):
    """A file does not say its rate, and none was given."""


class Writer(Protocol):
    """Takes a recording's blocks in order."""

    clipped: int
    """Samples so far that the format's number type could not hold."""

    def write(self, block: Block) -> None:
        """Append ``[channel, time]``."""
        ...


class Level(NamedTuple):
    """Where the samples of a channel lie.

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
        levels: level of each channel; empty until ``recordings.open_recording`` has read the samples.
    """

    path: Path
    rate: float
    channels: int
    frames: int
    levels: tuple[Level, ...] = field(default=(), kw_only=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the recording, a line each."""
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
        """Read the file from its start, ``[channel, time]`` at a time."""

    @abstractmethod
    def writer(self, path: Path) -> AbstractContextManager[Writer]:
        """Write a file of this one's format, rate, channels and length."""

"""NPY files, and arrays in memory: ``[time]`` or ``[channel, time]`` of real numbers.

Written files keep shape and number type, except for unsigned types: an estimate has no offset, so they cannot hold it,
and written files are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .recording_types import BLOCK_SAMPLES, Block, RateError, Recording, RecordingError, Writer, as_block, block_length

_LONGEST_HEADER = 1 << 16  # bytes; numpy reads 10,000
_MOST_CHANNELS = 64  # with more channels than this, and more than samples, an array is taken for [time, channel]


@dataclass(frozen=True)
class ArrayRecording(Recording):
    """An NPY file."""

    suffix = ".npy"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        length = block_length(BLOCK_SAMPLES, self.channels)
        for start in range(0, self.frames, length):
            # Mapped anew for each block, so that pages that have been read do not count as memory of this process.
            values = np.atleast_2d(np.load(self.path, mmap_mode="r"))
            yield as_block(values[:, start : start + length])

    @contextmanager
    def writer(self, path: Path, channels: int | None = None) -> Iterator[Writer]:
        """Open a file of this one's format and length for writing, with its first ``channels`` channels (None: all)."""
        own = np.load(self.path, mmap_mode="r")
        with path.open("wb") as file:
            yield _ArrayWriter(file, _written_type(own.dtype), _written_shape(own.shape, channels))


@dataclass(frozen=True)
class MemoryRecording(Recording):
    """An array in memory.

    Attributes:
        values: ``[time]`` or ``[channel, time]``.
    """

    values: NDArray[np.generic]
    suffix = ".npy"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        for start in range(0, self.frames, BLOCK_SAMPLES):
            yield as_block(np.atleast_2d(self.values)[:, start : start + BLOCK_SAMPLES])

    @contextmanager
    def writer(self, path: Path, channels: int | None = None) -> Iterator[Writer]:
        """Open an NPY file of the array's shape and number type, with its first ``channels`` channels (None: all)."""
        with path.open("wb") as file:
            yield _ArrayWriter(file, _written_type(self.values.dtype), _written_shape(self.values.shape, channels))


def _written_shape(shape: tuple[int, ...], channels: int | None) -> tuple[int, ...]:
    """Return the shape of the first ``channels`` of an array ``[channel, time]``; an array ``[time]`` is kept whole."""
    return shape if channels is None or len(shape) == 1 else (channels, *shape[1:])


class _ArrayWriter:
    """Writes the blocks to their places by plain writing: in a mapped file, a full disk would end the process."""

    def __init__(self, file: IO[bytes], dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
        np.lib.format.write_array_header_1_0(
            file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        self.file, self.dtype, self.frames, self.data = file, dtype, shape[-1], file.tell()
        self.clipped = self.start = 0

    def write(self, block: Block) -> None:
        values: NDArray[np.generic] = block
        if self.dtype.kind == "i":
            limits = np.iinfo(self.dtype.name)
            rounded = np.rint(block.astype(np.float64))
            self.clipped += int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
            values = np.clip(rounded, limits.min, limits.max)
        for channel, samples in enumerate(values.astype(self.dtype)):
            self.file.seek(self.data + (channel * self.frames + self.start) * self.dtype.itemsize)
            self.file.write(samples.tobytes())
        self.start += block.shape[1]


def _written_type(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the number type of estimates: the recording's; float32 if it is unsigned, as estimates have no offset."""
    return np.dtype(np.float32) if dtype.kind == "u" else dtype


def open_array_file(path: Path, rate: float | None, name: str) -> ArrayRecording:
    """Read the header of an NPY file.

    Args:
        path: the file.
        rate: samples per second, which the file does not say.
        name: what messages call the file.

    Raises:
        RecordingError: the file is no NPY file of real numbers, empty, truncated, of a wrong shape, or without a rate.
    """
    with path.open("rb") as file:
        start = file.read(12)
    if start[6:7] > b"\1" and int.from_bytes(start[8:12], "little") > _LONGEST_HEADER:  # numpy makes room for all of it
        raise RecordingError(f"{name} is no NPY file that can be read: its header is too long")
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy lets errors of any kind through that its parser of a header raises
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise RecordingError(f"{name} is no NPY file that can be read, or is truncated: {why}") from None
    channels, frames = _shape(values, name)
    if rate is None:
        raise RateError(f"{name} does not say its rate; give --rate, in Hz")
    return ArrayRecording(path, rate, channels, frames)


def of_array(values: NDArray[np.generic], rate: float | None, name: str) -> MemoryRecording:
    """Return an array as a recording, whose written files are NPY.

    Args:
        values: ``[time]`` or ``[channel, time]`` of real numbers.
        rate: samples per second.
        name: what messages call the array.

    Raises:
        RecordingError: the array is empty or of a wrong shape or type, or has no rate.
    """
    channels, frames = _shape(values, name)
    if rate is None:
        raise RateError(f"{name} does not say its rate; give rate, in Hz")
    return MemoryRecording(Path(f"{name}.npy"), rate, channels, frames, values)


def _shape(values: object, name: str) -> tuple[int, int]:
    """Return the number of channels, and the number of samples of each."""
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        shape = f"{list(values.shape)} of {values.dtype}" if isinstance(values, np.ndarray) else "several arrays"
        raise RecordingError(f"{name} must be [time] or [channel, time] of real numbers, not {shape}")
    if not values.size:
        raise RecordingError(f"{name} is empty: it has no samples")
    channels, frames = np.atleast_2d(values).shape
    if channels > _MOST_CHANNELS and channels > frames:
        raise RecordingError(
            f"{name} is {channels} channels of {frames} samples; it must be [channel, time]: transpose it"
        )
    return channels, frames

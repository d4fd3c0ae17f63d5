"""Sound files: WAV and whatever else libsndfile reads (FLAC, AIFF ...), with sample values in -1..1.

Written files keep container, sample type and byte order.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from .recording_types import (
    BLOCK_SAMPLES,
    LARGEST,
    Block,
    Recording,
    RecordingError,
    Writer,
    block_length,
    check_promise,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")

_UNKNOWN = (range(0x7FFFF000, 0x80000001), range(0xFFFFF000, 0x100000000))  # lengths of data in a WAV from a pipe
_MOST_CHUNKS = 10_000  # in a WAV before its data: notes, marks, names
_MOST_SAMPLES = 500  # for each byte of a file: silence in FLAC has more, but nobody records silence alone


@dataclass(frozen=True)
class SoundRecording(Recording):
    """A sound file.

    Attributes:
        format: libsndfile's name of the container, e.g. ``WAV``.
        subtype: libsndfile's name of the sample type, e.g. ``PCM_16``.
        endian: byte order, e.g. ``FILE``.
    """

    format: str
    subtype: str
    endian: str
    unit = "of full scale"

    @property
    def suffix(self) -> str:
        """Suffix for new files of this format, for a file whose own name has none."""
        return f".{self.format.lower()}"

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        with _opened(self.path) as file:
            length = block_length(BLOCK_SAMPLES, self.channels)
            for block in file.blocks(length, dtype="float32", always_2d=True):
                # A damaged frame is decoded to whatever lay in memory, so each reading has to be checked.
                if "MPEG" in self.subtype and not np.abs(block).max() <= LARGEST:
                    raise RecordingError(f"{self.path} is damaged: it is decoded to what is no number")
                yield block.T

    @contextmanager
    def writer(self, path: Path, channels: int | None = None) -> Iterator[Writer]:
        """Open a file for writing, of this one's format, rate and length, with its first ``channels`` (None: all).

        Raises:
            OSError: the disk is full.
        """
        kind = (int(self.rate), channels or self.channels, self.subtype, self.endian, self.format)
        with _disk_full():
            file = soundfile.SoundFile(path, "w", *kind)
        try:
            yield _SoundWriter(file, limited=self.subtype not in ("FLOAT", "DOUBLE"))
        finally:
            with _disk_full():
                file.close()


class _SoundWriter:
    def __init__(self, file: soundfile.SoundFile, limited: bool) -> None:
        self.file, self.limited, self.clipped = file, limited, 0

    def write(self, block: Block) -> None:
        if self.limited:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
        with _disk_full():
            self.file.write(block.T)  # libsndfile clips


@contextmanager
def _disk_full() -> Iterator[None]:
    """Turn libsndfile's errors in writing, which do not say why, into the error of a full disk."""
    try:
        yield
    except soundfile.LibsndfileError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None


def open_sound_file(path: Path, rate: float | None, name: str) -> SoundRecording:
    """Read the header of a sound file.

    Args:
        path: the file.
        rate: the rate that the user gave, which must be the file's own; None: not given.
        name: what messages call the file.

    Raises:
        RecordingError: the file is no sound file, empty, shorter than its header says, or of another rate.
    """
    try:
        with _opened(path) as file:
            recording = SoundRecording(
                path, float(file.samplerate), file.channels, file.frames, file.format, file.subtype, file.endian
            )
    except (soundfile.LibsndfileError, RuntimeError):
        raise RecordingError(
            f"{name} is neither a sound file that can be read (WAV, FLAC ...), nor CSV or NPY"
        ) from None
    at, promised = _data_length(path)
    end = at + 4 + promised
    if at and not _is_unknown(promised) and end > path.stat().st_size:
        raise RecordingError(f"{name} is truncated: {end} bytes were promised, {path.stat().st_size} are there")
    if not recording.frames:
        raise RecordingError(f"{name} is empty: it has no samples")
    check_promise(recording.frames * recording.channels, path.stat().st_size, _MOST_SAMPLES, name)
    if rate is not None and rate != recording.rate:
        raise RecordingError(f"{name} says that its rate is {recording.rate:g} Hz; leave out the rate of {rate:g} Hz")
    return recording


class _WithLength(io.FileIO):
    """A WAV file from a pipe, whose header gives its data length 0, read as if the data went on to the end."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.at, self.length = at, (path.stat().st_size - at - 4).to_bytes(4, "little")

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        start, count = self.tell(), super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        for place, value in enumerate(self.length, self.at - start):
            if 0 <= place < (count or 0):
                view[place] = value
        return count


def _opened(path: Path) -> soundfile.SoundFile:
    at, promised = _data_length(path)
    if at and not promised and at + 4 < path.stat().st_size < 1 << 32 and not _is_chunk(path, at + 4):
        return soundfile.SoundFile(_WithLength(path, at))
    return soundfile.SoundFile(path)


def _is_unknown(length: int) -> bool:
    return length == 0 or any(length in lengths for lengths in _UNKNOWN)


def _is_chunk(path: Path, at: int) -> bool:
    """Say whether a chunk that fits into the file begins at byte ``at``."""
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(8)
    length = int.from_bytes(head[4:], "little")
    return len(head) == 8 and head[:4].isalnum() and at + 8 + length <= path.stat().st_size


def _data_length(path: Path) -> tuple[int, int]:
    """Return the place of the length of a WAV's data, and that length in bytes; (0, 0) for any other file.

    Raises:
        RecordingError: the file has thousands of chunks before its data.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0, 0
        for _ in range(_MOST_CHUNKS):
            if len(chunk := file.read(8)) < 8:
                return 0, 0
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return file.tell() - 4, length
            file.seek(length + length % 2, 1)  # chunks begin at even bytes
    raise RecordingError(f"{path} is damaged: it has more than {_MOST_CHUNKS} chunks before its samples")

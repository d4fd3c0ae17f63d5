"""Sound files: WAV and whatever else libsndfile reads (FLAC, AIFF ...), with sample values in -1..1.

Written files keep container, sample type and byte order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from .recording_types import BLOCK_SAMPLES, Block, Recording, RecordingError, Writer

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")

_UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # of the data chunk of a WAV that was written to a pipe


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
        """Read the file from its start, ``[channel, time]`` at a time."""
        with soundfile.SoundFile(self.path) as file:
            for block in file.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True):
                yield block.T

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
        """Write a file of this one's format, rate, channels and length."""
        with soundfile.SoundFile(
            path, "w", int(self.rate), self.channels, self.subtype, self.endian, self.format
        ) as file:
            yield _SoundWriter(file, limited=self.subtype not in ("FLOAT", "DOUBLE"))


class _SoundWriter:
    def __init__(self, file: soundfile.SoundFile, limited: bool) -> None:
        self.file, self.limited, self.clipped = file, limited, 0

    def write(self, block: Block) -> None:
        if self.limited:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1))
        self.file.write(block.T)  # libsndfile clips


def open_sound_file(path: Path, rate: float | None, name: str) -> SoundRecording:
    """Read the header of a sound file.

    Args:
        path: the file.
        rate: the rate that the user gave, which must be the file's own; None: not given.
        name: what messages call the file.

    Raises:
        RecordingError: no sound file, empty, shorter than its header says, or of another rate.
    """
    try:
        with soundfile.SoundFile(path) as file:
            recording = SoundRecording(
                path, float(file.samplerate), file.channels, file.frames, file.format, file.subtype, file.endian
            )
    except (soundfile.LibsndfileError, RuntimeError):
        raise RecordingError(
            f"{name} is neither a sound file that can be read (WAV, FLAC ...), nor CSV or NPY"
        ) from None
    promised = _promised_bytes(path)
    if promised is not None and promised > path.stat().st_size:
        raise RecordingError(f"{name} is truncated: {promised} bytes were promised, {path.stat().st_size} are there")
    if not recording.frames:
        raise RecordingError(f"{name} is empty: it has no samples")
    if rate is not None and rate != recording.rate:
        raise RecordingError(f"{name} says that its rate is {recording.rate:g} Hz; leave out the rate of {rate:g} Hz")
    return recording


def _promised_bytes(path: Path) -> int | None:
    """Return how long a WAV should be by its data chunk; None where that is not said."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return None if length in _UNKNOWN_SIZE else file.tell() + length
            file.seek(length + length % 2, 1)  # chunks begin at even bytes
    return None

"""Recordings at the rate and with the channels of a task, written into arrays block by block.

The samples are determined by the file, ``VERSION`` and the arguments, which are the key of cached recordings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .recording_types import Block, RecordingError, SilentError
from .recordings import open_recording
from .resampling import resampled, resampled_length

VERSION = 1
"""Version of the samples that are written; part of the key of cached recordings."""

Array = NDArray[np.float32]

STEMS = ("mixture", "drums", "bass", "other", "vocals")
"""Recordings in a MUSDB18 stem file, in this order."""

_LOWEST_RATE = 1000  # Hz
_LARGEST_FILTER = 1 << 24  # numbers: 128 MB
_STEM_SECONDS = 600.0  # length that a stem file of any size may have
_STEM_RATE = 2 * 5 * 48_000.0  # largest number of samples a second in a stem file: five stereo recordings
_STEM_BYTES = 2000  # least bytes of a longer stem file for each second: honest files have twenty times as many


class Readable(Protocol):
    """A recording whose samples have been checked: ``channels`` of ``frames`` finite samples at ``rate`` Hz."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def rate(self) -> float:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def frames(self) -> int:
        """Samples of a channel."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        ...


@dataclass(frozen=True)
class Loaded:
    """Samples ``[channel, time]`` that a library has read from a file; ``Readable``.

    Attributes:
        path: the file.
        rate: samples per second.
        samples: ``[channel, time]``.
        part: name of the part of the file that the samples are from; empty where they are all of it.
        may_be_silent: whether all samples may be equal.

    Raises:
        RecordingError: there are no samples, some are not finite, or all are equal.
    """

    path: Path
    rate: float
    samples: Array
    part: str = ""
    may_be_silent: bool = False

    def __post_init__(self) -> None:
        name = f"{self.path} ({self.part})" if self.part else str(self.path)
        if not self.samples.size:
            raise RecordingError(f"{name} is empty: it has no samples")
        if not np.isfinite(self.samples).all():
            raise RecordingError(f"{name} has a sample that is not a finite number")
        if not self.may_be_silent and self.samples.min() == self.samples.max():
            raise SilentError(f"{name} is silent: all of its samples are {self.samples.flat[0]:g}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.samples)

    @property
    def frames(self) -> int:
        """Samples of a channel."""
        return int(self.samples.shape[1])

    def blocks(self) -> Iterator[Block]:
        """Yield all samples as one block ``[channel, time]``."""
        yield self.samples


class Decoding(NamedTuple):
    """A way to write a decoded file.

    Attributes:
        shapes: shape of each array, by name.
        fill: writes arrays of these shapes.
    """

    shapes: Mapping[str, tuple[int, ...]]
    fill: Callable[[Mapping[str, Array]], None]


def of_file(path: Path, rate: int, channels: int) -> Decoding:
    """Return how to write ``samples [channel, time]`` of a file; arguments and errors as for ``of_recording``."""
    return of_recording(open_recording(path), rate, channels)


def of_recording(recording: Readable, rate: int, channels: int) -> Decoding:
    """Return how to write ``samples [channel, time]`` of a recording.

    Args:
        recording: recording of any rate.
        rate: rate of the written samples, in Hz.
        channels: number of written channels: 1, which is the mean of all (as in the SSGAN paper, 3.1), or as many as
            the recording has.

    Raises:
        RecordingError: the recording has another number of channels, or a rate that cannot be changed to this one.
    """
    if channels not in (1, recording.channels):
        count = f"{recording.channels} channel{'s' if recording.channels > 1 else ''}"
        raise RecordingError(f"{recording.path} has {count}, not {channels}")
    if recording.rate != round(recording.rate):
        raise RecordingError(f"{recording.path} has a rate of {recording.rate:g} Hz, which is not a whole number")
    own = round(recording.rate)
    if own < _LOWEST_RATE:
        raise RecordingError(f"{recording.path} has a rate of {own} Hz; sounds need {_LOWEST_RATE} Hz or more")
    if own * rate // math.gcd(own, rate) ** 2 > _LARGEST_FILTER:
        raise RecordingError(
            f"{recording.path} has {own} Hz, and a change from that to {rate} Hz would need a huge filter"
        )

    def fill(out: Mapping[str, Array]) -> None:
        blocks = (block.astype(np.float32, copy=False) for block in recording.blocks())
        if channels == 1:
            blocks = (block.mean(axis=0, keepdims=True) for block in blocks)
        start = 0
        for block in resampled(blocks, own, rate):
            out["samples"][:, start : start + block.shape[1]] = block
            start += block.shape[1]

    return Decoding({"samples": (channels, resampled_length(recording.frames, own, rate))}, fill)


def of_stem_file(path: Path, rate: int, channels: int) -> Decoding:
    """Return how to write the stems of a MUSDB18 file, ``[channel, time]`` under the names ``STEMS``.

    A stem may be silent; the mixture may not.

    Raises:
        UsageError: musdb, or the ffmpeg that it needs, is not installed.
        RecordingError: the file cannot be read, or is silent.
    """
    try:
        import musdb
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no ffmpeg
        raise UsageError(
            f"{path} can be read with musdb (pip install 'sepray[musdb]') and ffmpeg on the PATH only "
            f"({str(error).splitlines()[0]}); or give MUSDB18-HQ, which is WAV"
        ) from None
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":  # ffmpeg tells files by their content, and some are lists of other files
                raise RecordingError("it is no MP4")
        longest = max(_STEM_SECONDS, path.stat().st_size / _STEM_BYTES)
        # Whatever length the file says, ffmpeg decodes no more than this.
        track = musdb.MultiTrack(path=str(path), name=path.name, stem_id=0, is_wav=False, chunk_duration=longest)
        if track.duration > longest:
            raise RecordingError(f"it promises {track.duration:.4g} s, and has {path.stat().st_size} bytes")
        if (count := track.info.nb_audio_streams) != len(STEMS):
            raise RecordingError(f"it has {count} stems, not {len(STEMS)}: {', '.join(STEMS)}")
        channels_of_all = sum(track.info.channels_streams)
        if (numbers := track.duration * track.rate * channels_of_all) > longest * _STEM_RATE:
            raise RecordingError(f"it would be {numbers:.3g} numbers, of {channels_of_all} channels at {track.rate} Hz")
        stems = np.asarray(track.stems, np.float32)  # [stem, time, channel]
    except Exception as error:  # whatever ffprobe and ffmpeg make of a damaged file
        why = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise RecordingError(f"{path} is no stem file that can be read: {why}") from None
    Loaded(path, track.rate, stems[0].T, STEMS[0])  # refuses a silent mixture
    decodings = {
        name: of_recording(Loaded(path, track.rate, stem.T, name, may_be_silent=True), rate, channels)
        for name, stem in zip(STEMS, stems, strict=True)
    }

    def fill(out: Mapping[str, Array]) -> None:
        for name, decoding in decodings.items():
            decoding.fill({"samples": out[name]})

    return Decoding({name: decoding.shapes["samples"] for name, decoding in decodings.items()}, fill)

"""Recordings at the rate and with the channels of a task, written into arrays block by block.

Imports nothing from sepray but the errors. What is read is anything with the attributes of ``recordings.Recording``.
The rate is changed by torchaudio's windowed sinc, in float64, and the result rounded to 2^-20 (-120 dB of full scale):
so that CPUs whose arithmetic differs in a last bit, and any number of threads, give the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torchaudio.functional
from numpy.typing import NDArray

from ..errors import UsageError

VERSION = 1
"""Of what is written; part of the key of cached recordings."""

Array = NDArray[np.float32]

_LOWPASS_WIDTH = 6  # zero crossings of the sinc at either side; torchaudio's own
_RESOLUTION = 2.0**-20
_LOWEST_RATE = 1000  # Hz
_LARGEST_FILTER = 1 << 24  # numbers: 128 MB
_AT_ONCE = 1 << 19  # samples of a channel


class Readable(Protocol):
    """A recording that was looked through: ``channels`` of ``frames`` finite samples at ``rate`` Hz."""

    @property
    def path(self) -> Path:
        """Of the file."""
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

    def blocks(self) -> Iterator[Array]:
        """Give ``[channel, time]`` at a time, from the start."""
        ...


@dataclass(frozen=True)
class Loaded:
    """Samples ``[channel, time]`` that a library has read from a file; ``Readable``.

    Raises:
        ValueError: there are none, they are not finite, or all are the same.
    """

    path: Path
    rate: float
    samples: Array
    part: str = ""

    def __post_init__(self) -> None:
        what = f"{self.path} ({self.part})" if self.part else str(self.path)
        if not self.samples.size:
            raise ValueError(f"{what} is empty: it has no samples")
        if not np.isfinite(self.samples).all():
            raise ValueError(f"{what} has a sample that is not a finite number")
        if self.samples.min() == self.samples.max():
            raise ValueError(f"{what} is silent: all of its samples are {self.samples.flat[0]:g}")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.samples)

    @property
    def frames(self) -> int:
        """Samples of a channel."""
        return int(self.samples.shape[1])

    def blocks(self) -> Iterator[Array]:
        """Give all of it."""
        yield self.samples


class Decoding(NamedTuple):
    """The shapes of what a file becomes, and what writes it; a ``cache.Plan`` without facts."""

    shapes: Mapping[str, tuple[int, ...]]
    fill: Callable[[Mapping[str, Array]], None]


def decoding(recording: Readable, rate: int, channels: int) -> Decoding:
    """Return how to write ``samples [channel, time]`` of a recording.

    Args:
        recording: of any rate.
        rate: wanted, in Hz.
        channels: wanted: 1, the mean of all that there are (as in SSGAN 3.1), or as many as there are.

    Raises:
        ValueError: the recording has too few channels, or too many, or a rate that is no whole number.
    """
    if channels not in (1, recording.channels):
        count = f"{recording.channels} channel{'s' if recording.channels > 1 else ''}"
        raise ValueError(f"{recording.path} has {count}, not {channels}")
    if recording.rate != round(recording.rate):
        raise ValueError(f"{recording.path} has a rate of {recording.rate:g} Hz, which is not a whole number")
    own = round(recording.rate)
    if own < _LOWEST_RATE:
        raise ValueError(f"{recording.path} has a rate of {own} Hz, which no sound has")
    if own * rate // math.gcd(own, rate) ** 2 > _LARGEST_FILTER:
        raise ValueError(f"{recording.path} has {own} Hz, and a change from that to {rate} Hz would need a huge filter")

    def fill(out: Mapping[str, Array]) -> None:
        blocks = recording.blocks()
        if channels == 1:
            blocks = (block.mean(axis=0, keepdims=True) for block in blocks)
        start = 0
        for block in resampled(blocks, own, rate):
            out["samples"][:, start : start + block.shape[1]] = block
            start += block.shape[1]

    return Decoding({"samples": (channels, resampled_length(recording.frames, own, rate))}, fill)


def stem_file(path: Path, rate: int, channels: int) -> Decoding:
    """Return how to write the stems of a MUSDB18 file, ``[channel, time]`` under their names.

    Raises:
        UsageError: musdb, or the ffmpeg that it needs, is not installed.
        ValueError: the file cannot be read, or a stem is silent.
    """
    try:
        import musdb
    except (ImportError, RuntimeError) as error:  # the second where there is no ffmpeg
        raise UsageError(
            f"{path} can be read with musdb (pip install 'sepray[musdb]') and ffmpeg on the PATH only "
            f"({str(error).splitlines()[0]}); or give MUSDB18-HQ, which is WAV"
        ) from None
    names = ("mixture", "drums", "bass", "other", "vocals")
    try:
        track = musdb.MultiTrack(path=str(path), name=path.name, stem_id=0, is_wav=False)
        stems = np.asarray(track.stems, np.float32)  # [stem, time, channel]
    except Exception as error:  # whatever ffprobe and ffmpeg make of a damaged file
        why = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ValueError(f"{path} is no stem file that can be read: {why}") from None
    if stems.ndim != 3 or len(stems) != len(names):
        raise ValueError(f"{path} has {len(stems)} stems, not {len(names)}: {', '.join(names)}")
    parts = {
        name: decoding(Loaded(path, track.rate, stem.T, name), rate, channels)
        for name, stem in zip(names, stems, strict=True)
    }

    def fill(out: Mapping[str, Array]) -> None:
        for name, part in parts.items():
            part.fill({"samples": out[name]})

    return Decoding({name: part.shapes["samples"] for name, part in parts.items()}, fill)


def resampled_length(frames: int, rate: int, new_rate: int) -> int:
    """Return how many samples ``resampled`` gives of ``frames``."""
    return -(-frames * new_rate // rate)


def resampled(blocks: Iterator[Array], rate: int, new_rate: int) -> Iterator[Array]:
    """Change the rate of ``[channel, time]``, block by block as ``torchaudio.functional.resample`` does at once."""
    if rate == new_rate:
        yield from blocks
        return
    common = math.gcd(rate, new_rate)
    down, up = rate // common, new_rate // common
    # The filter reaches this far, in steps of `down` samples, with which output samples fall on the same phases.
    reach = math.ceil(_LOWPASS_WIDTH * down / min(down, up) / down) + 1
    margin, size = reach * down, max(1, _AT_ONCE // down) * down
    held: Array | None = None  # from `margin` samples before the next output on
    taken = given = 0
    for block in blocks:
        taken += block.shape[1]
        held = np.concatenate((np.zeros((len(block), margin), np.float32) if held is None else held, block), axis=1)
        while held.shape[1] >= size + 2 * margin:
            yield _piece(held[:, : size + 2 * margin], rate, new_rate)[:, reach * up : reach * up + size // down * up]
            given += size // down * up
            held = held[:, size:]
    if held is not None:
        left = resampled_length(taken, rate, new_rate) - given
        whole = np.concatenate((held, np.zeros((len(held), 2 * margin), np.float32)), axis=1)
        yield _piece(whole, rate, new_rate)[:, reach * up : reach * up + left]


def _piece(piece: Array, rate: int, new_rate: int) -> Array:
    signal = torch.from_numpy(piece).double()
    found = torchaudio.functional.resample(signal, rate, new_rate, lowpass_filter_width=_LOWPASS_WIDTH).numpy()
    rounded: Array = (np.round(found / _RESOLUTION) * _RESOLUTION).astype(np.float32)
    return rounded

"""Opens a recording of any kind (sound file, CSV, NPY) and checks every sample, a block at a time."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from . import sound_files, table_files
from .array_files import of_array, open_array_file
from .recording_types import Recording, RecordingError
from .sound_files import open_sound_file

SUFFIXES = (*sound_files.SUFFIXES, *table_files.SUFFIXES, ".npy")
"""Suffixes of the files of a folder that are taken for recordings."""


def open_recording(path: Path, rate: float | None = None, name: str | None = None) -> Recording:
    """Open a recording and read it through once, without keeping it in memory.

    Args:
        path: the file. Its kind is told by the suffix, or without one by its content.
        rate: samples per second, for files that do not say (NPY, and CSV without a time column; over a time column it
            wins).
        name: what messages call the file.

    Raises:
        RecordingError: missing, empty, truncated, of no known kind, not finite, all samples alike, or of unknown rate.
    """
    name = name or str(path)
    if not path.is_file():
        raise RecordingError(f"{name} is a folder, not a recording" if path.is_dir() else f"there is no file {name}")
    if not path.stat().st_size:
        raise RecordingError(f"{name} is empty")
    _check_rate(rate)
    suffix = path.suffix.lower() or _suffix_by_content(path)
    if suffix == ".npy":
        recording: Recording = open_array_file(path, rate, name)
    elif suffix in table_files.SUFFIXES:
        recording = table_files.open_table(path, rate, name)
    else:
        recording = open_sound_file(path, rate, name)
    _check_samples(recording, name)
    return recording


def open_array(values: NDArray[np.generic], rate: float | None, name: str = "recording") -> Recording:
    """Return an array as a recording, its samples checked.

    Args:
        values: ``[time]`` or ``[channel, time]`` of real numbers.
        rate: samples per second.
        name: what messages call the array, and the stem of files that are written of it.

    Raises:
        RecordingError: empty, of a wrong shape or type, not finite, all samples alike, or of unknown rate.
    """
    _check_rate(rate)
    recording = of_array(values, rate, name)
    _check_samples(recording, name)
    return recording


def _check_rate(rate: float | None) -> None:
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise RecordingError(f"a rate must be more than 0 Hz, not {rate:g}")


def _suffix_by_content(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"\x93NUMPY"):
        return ".npy"
    return ".csv" if re.fullmatch(rb"[\x20-\x7e\s]+", head) else ".wav"


def _check_samples(recording: Recording, name: str) -> None:
    """Refuse samples that are not finite, fewer samples than promised, and a recording in which nothing happens."""
    low, high, start = np.inf, -np.inf, 0
    try:
        for block in recording.blocks():
            finite = np.isfinite(block).all(axis=0)
            if not finite.all():
                seconds = (start + int(np.argmin(finite))) / recording.rate
                raise RecordingError(f"{name} has a sample that is not a finite number, at {seconds:.6g} s")
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            start += block.shape[1]
    except soundfile.LibsndfileError:
        seconds = start / recording.rate
        raise RecordingError(f"{name} is damaged or truncated: it cannot be read beyond {seconds:.6g} s") from None
    if start != recording.frames:
        promised = f"{recording.frames} samples were promised, {start} are there"
        raise RecordingError(f"{name} is damaged or truncated: {promised}")
    if low == high:
        raise RecordingError(f"{name} is silent: all of its samples are {low:g}")

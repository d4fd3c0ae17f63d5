"""Opens a recording of any kind (sound file, CSV, NPY, WFDB, EDF) and checks every sample, a block at a time."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..disk.files import is_clutter, refuse_links
from . import record_files, sound_files, table_files
from .array_files import of_array, open_array_file
from .recording_types import LARGEST, RATES, Location, RateError, Recording, RecordingError, SilentError, check_rate
from .sound_files import open_sound_file
from .wfdb_files import files_of

SUFFIXES = (*sound_files.SUFFIXES, *table_files.SUFFIXES, ".npy", *record_files.SUFFIXES)
"""Suffixes of the files of a folder that are taken for recordings."""

_LEVEL_SAMPLES = 1 << 18  # of a channel, evenly spaced, of which the median is taken
_LEVEL_VALUES = 1 << 24  # of all channels together


def recordings_below(folder: Path) -> list[Path]:
    """Return the files in a folder and below it that are taken for recordings, sorted.

    Left out are hidden files and folders, what macOS adds (``._x.csv``, ``__MACOSX``), and all files of a WFDB record
    but its header.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    found = [path for path in found if not is_clutter(path.relative_to(folder))]
    refuse_links(found, folder)
    headers = [path for path in found if _is_header(path)]
    parts = {str(part).lower() for header in headers for part in files_of(header)}
    return [path for path in found if str(path).lower() not in parts]


def others_below(folder: Path) -> list[Path]:
    """Return the files in a folder and below it that sepray does not read, sorted.

    Hidden files, what macOS adds and files of WFDB records are left out.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() not in SUFFIXES and path.is_file()]
    parts = {str(part).lower() for path in recordings_below(folder) if _is_header(path) for part in files_of(path)}
    return [path for path in found if not is_clutter(path.relative_to(folder)) and str(path).lower() not in parts]


def _is_header(path: Path) -> bool:
    return path.suffix.lower() == ".hea"


def written_suffix(path: Path) -> str:
    """Return the suffix of files of a recording's estimates: the recording's, or ``.csv`` for WFDB and EDF."""
    suffix = path.suffix.lower()
    return ".csv" if suffix in record_files.SUFFIXES else suffix


def open_recording(path: Path, rate: float | None = None, name: str | None = None) -> Recording:
    """Open a recording and read it through once, without keeping it in memory.

    Args:
        path: the file; of a WFDB record, the header (``.hea``). Its kind follows from the suffix or, if there is none,
            from the content.
        rate: samples per second, for files that do not say it (NPY, and CSV without a time column); it overrides a
            time column.
        name: what messages call the file.

    Raises:
        RecordingError: the file is missing, empty, truncated, of no known kind or of unknown rate, or its samples are
            not finite or all equal.
    """
    name = name or str(path)
    if not path.is_file():
        raise RecordingError(_no_file(path, name))
    if not path.stat().st_size:
        raise RecordingError(f"{name} is empty")
    _check_rate(rate)
    suffix = path.suffix.lower() or _suffix_by_content(path)
    if suffix == ".npy":
        recording: Recording = open_array_file(path, rate, name)
    elif suffix in record_files.SUFFIXES:
        recording = record_files.open_record_file(path, rate, name)
    elif suffix in table_files.SUFFIXES:
        _refuse_signal_file(path, name)
        recording = table_files.open_table(path, rate, name)
    else:
        recording = open_sound_file(path, rate, name)
    check_rate(recording.rate, name)
    return dataclasses.replace(recording, locations=_checked_locations(recording, name))


def open_in_folder(path: Path, rate: float | None) -> Recording:
    """Open a recording that was found in a folder.

    Args:
        path: the file.
        rate: samples per second, used only if the file does not say its rate; None: not given.

    Raises:
        RecordingError: as ``open_recording``.
    """
    if rate is None:
        return open_recording(path)
    try:
        return open_recording(path)
    except RateError:
        return open_recording(path, rate)


def open_array(values: NDArray[np.generic], rate: float | None, name: str = "recording") -> Recording:
    """Return an array as a recording, its samples checked.

    Args:
        values: ``[time]`` or ``[channel, time]`` of real numbers.
        rate: samples per second.
        name: what messages call the array, and the stem of the names of files of its estimates.

    Raises:
        RecordingError: the array is empty, of a wrong shape or type or of unknown rate, or its samples are not finite
            or all equal.
    """
    _check_rate(rate)
    recording = of_array(values, rate, name)
    return dataclasses.replace(recording, locations=_checked_locations(recording, name))


def _no_file(path: Path, name: str) -> str:
    """Return the message for a path that is no file: a folder, a pipe, or a WFDB record without its suffix."""
    if path.is_dir():
        return f"{name} is a folder, not a recording"
    if path.exists():
        return f"{name} is no plain file, and a recording is read twice: write it to one, or give - for standard input"
    headers = [path.with_name(path.name + suffix) for suffix in (".hea", ".HEA")]
    try:
        header = next((header.name for header in headers if header.is_file()), None)
    except OSError:  # the name is too long for a file
        header = None
    return f"there is no file {name}" + (f"; the WFDB record of that name is {header}" if header else "")


def _check_rate(rate: float | None) -> None:
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise RecordingError(f"a rate must be more than 0 Hz, not {rate:g}")
    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise RecordingError(f"a rate must be between {RATES[0]:g} and {RATES[1]:g} Hz, not {rate:g}")


def _suffix_by_content(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"\x93NUMPY"):
        return ".npy"
    if head.startswith((b"0       ", b"\xffBIOSEMI")):
        return ".edf"
    text = head.startswith((b"\xff\xfe", b"\xfe\xff")) or re.fullmatch(rb"[\x20-\x7e\x80-\xff\s]+", head)
    return ".csv" if text else ".wav"


def _refuse_signal_file(path: Path, name: str) -> None:
    """Refuse the signal file of a WFDB record, which cannot be read without the header."""
    for header in path.parent.glob("*.[hH][eE][aA]") if path.suffix.lower() == ".dat" else ():
        if str(path).lower() in {str(part).lower() for part in files_of(header)}:
            raise RecordingError(f"{name} is a part of the WFDB record {header.name}: give that file")


def _checked_locations(recording: Recording, name: str) -> tuple[Location, ...]:
    """Return the locations of the channels.

    Raises:
        RecordingError: samples are not finite, too large, fewer or more than promised, or all equal.
    """
    low, high, start = np.inf, -np.inf, 0
    stride = max(1, recording.frames // max(1, min(_LEVEL_SAMPLES, _LEVEL_VALUES // recording.channels)))
    some: list[NDArray[np.floating[Any]]] = []
    try:
        for block in recording.blocks():
            finite = np.isfinite(block).all(axis=0)
            if not finite.all():
                seconds = (start + int(np.argmin(finite))) / recording.rate
                raise RecordingError(f"{name} has a sample that is not a finite number, at {seconds:.6g} s")
            if np.abs(block).max() > LARGEST:
                raise RecordingError(f"{name} has a sample of {np.abs(block).max():.3g}, which is no measured value")
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            some.append(block[:, -start % stride :: stride].copy())  # a view would keep the whole block
            start += block.shape[1]
    except soundfile.LibsndfileError:
        seconds = start / recording.rate
        raise RecordingError(f"{name} is damaged or truncated: it cannot be read beyond {seconds:.6g} s") from None
    if start != recording.frames:
        promised = f"{recording.frames} samples were promised, {start} are there"
        raise RecordingError(f"{name} is damaged or truncated: {promised}")
    if low == high:
        raise SilentError(f"{name} is silent: all of its samples are {low:g}")
    found = []
    for channel in range(recording.channels):  # one by one: both take several times the memory of a channel
        kept = np.concatenate([part[channel] for part in some])
        found.append(Location(float(np.median(kept)), float(np.std(kept, dtype=np.float64))))
    return tuple(found)

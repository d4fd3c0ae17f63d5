"""Reads and writes recordings a block at a time: sound files, CSV and NPY. Imports nothing from sepray.

A block is ``[channel, time]``, float32. Sound files are WAV and whatever else libsndfile reads (FLAC, AIFF ...), with
sample values in -1..1; CSV has a column per channel; NPY is ``[time]`` or ``[channel, time]``. What is written has the
format of what was read: container and sample type, separator, header and time column, shape and number type.
"""

from __future__ import annotations

import csv
import datetime
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..errors import UsageError

Block = NDArray[np.float32]
BLOCK = 1 << 16
"""Samples of a channel in a block."""

_TABLES = (".csv", ".tsv", ".txt", ".dat")
_UNKNOWN_SIZE = (0, 0xFFFFFFFF)  # of a WAV that was written to a pipe


class RecordingError(UsageError):
    """A recording cannot be used; the message says which, why and what to do, in one line."""


class Writer(Protocol):
    """Takes a recording's blocks in order."""

    clipped: int
    """Samples so far that the format's number type could not hold."""

    def write(self, block: Block) -> None:
        """Append ``[channel, time]``."""
        ...


@dataclass(frozen=True)
class Recording(ABC):
    """A file that has been looked through: every sample is finite, and not all are the same.

    Attributes:
        path: of the file.
        rate: samples a second.
        channels: number of channels.
        frames: samples of a channel.
    """

    path: Path
    rate: float
    channels: int
    frames: int

    @property
    @abstractmethod
    def suffix(self) -> str:
        """What names of files of this format end in, where the file's own name does not say it."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """Of the samples, for the label of an axis."""

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Read the file from its start, ``[channel, time]`` at a time."""

    @abstractmethod
    def writer(self, path: Path) -> AbstractContextManager[Writer]:
        """Write a file of this one's format, rate, channels and length."""


def open_recording(path: Path, rate: float | None = None, name: str | None = None) -> Recording:
    """Look through a recording, without keeping it in memory.

    Args:
        path: of the file. Its kind is read from the suffix, or without one from its content.
        rate: samples a second, for files that do not say (NPY, and CSV without a time column; over a time column it
            wins).
        name: what messages call the file.

    Raises:
        RecordingError: missing, empty, truncated, of no known kind, not finite, all samples alike, or of unknown rate.
    """
    name = name or str(path)
    if not path.is_file():
        raise RecordingError(f"{name} is a folder, not a recording" if path.is_dir() else f"there is no file {name}")
    size = path.stat().st_size
    if not size:
        raise RecordingError(f"{name} is empty")
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise RecordingError(f"a rate must be more than 0 Hz, not {rate:g}")
    suffix = path.suffix.lower() or _sniffed(path)
    if suffix == ".npy":
        found: Recording = _open_array(path, rate, name)
    elif suffix in _TABLES:
        found = _open_table(path, rate, name)
    else:
        found = _open_sound(path, rate, name)
    _inspect(found, name)
    return found


def _sniffed(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"\x93NUMPY"):
        return ".npy"
    return ".csv" if re.fullmatch(rb"[\x20-\x7e\s]+", head) else ".wav"


def _inspect(recording: Recording, name: str) -> None:
    """Refuse samples that are not finite, and a recording in which nothing happens."""
    low, high, start = np.inf, -np.inf, 0
    try:
        for block in recording.blocks():
            finite = np.isfinite(block).all(axis=0)
            if not finite.all():
                at = (start + int(np.argmin(finite))) / recording.rate
                raise RecordingError(f"{name} has a sample that is not a finite number, at {at:.6g} s")
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            start += block.shape[1]
    except soundfile.LibsndfileError:
        at = start / recording.rate
        raise RecordingError(f"{name} is damaged or truncated: it cannot be read beyond {at:.6g} s") from None
    if start != recording.frames:
        promised = f"{recording.frames} samples were promised, {start} are there"
        raise RecordingError(f"{name} is damaged or truncated: {promised}")
    if low == high:
        raise RecordingError(f"{name} is silent: all of its samples are {low:g}")


# Sound files


@dataclass(frozen=True)
class _Sound(Recording):
    format: str
    subtype: str
    endian: str
    unit = "of full scale"

    @property
    def suffix(self) -> str:
        return f".{self.format.lower()}"

    def blocks(self) -> Iterator[Block]:
        with soundfile.SoundFile(self.path) as file:
            for block in file.blocks(BLOCK, dtype="float32", always_2d=True):
                yield block.T

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
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


def _open_sound(path: Path, rate: float | None, name: str) -> _Sound:
    try:
        with soundfile.SoundFile(path) as file:
            made = _Sound(
                path, float(file.samplerate), file.channels, file.frames, file.format, file.subtype, file.endian
            )
    except (soundfile.LibsndfileError, RuntimeError):
        raise RecordingError(
            f"{name} is neither a sound file that can be read (WAV, FLAC ...), nor CSV or NPY"
        ) from None
    promised = _promised_bytes(path)
    if promised is not None and promised > path.stat().st_size:
        raise RecordingError(f"{name} is truncated: {promised} bytes were promised, {path.stat().st_size} are there")
    if not made.frames:
        raise RecordingError(f"{name} is empty: it has no samples")
    if rate is not None and rate != made.rate:
        raise RecordingError(f"{name} says that its rate is {made.rate:g} Hz; leave out the rate of {rate:g} Hz")
    return made


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
            file.seek(length + length % 2, 1)
    return None


# NPY


@dataclass(frozen=True)
class _Array(Recording):
    suffix = ".npy"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        for start in range(0, self.frames, BLOCK):
            # mapped anew for each block, so that pages that have been read are not counted as memory of this process
            values = np.atleast_2d(np.load(self.path, mmap_mode="r"))
            yield np.asarray(values[:, start : start + BLOCK], dtype=np.float32)

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
        like = np.load(self.path, mmap_mode="r")
        np.lib.format.open_memmap(path, "w+", like.dtype, like.shape).flush()
        yield _ArrayWriter(path, like.dtype)


class _ArrayWriter:
    def __init__(self, path: Path, kind: np.dtype[np.generic]) -> None:
        self.path, self.kind, self.clipped, self.start = path, kind, 0, 0

    def write(self, block: Block) -> None:
        values: NDArray[np.generic] = block
        if self.kind.kind in "iu":
            limits = np.iinfo(self.kind.name)
            rounded = np.rint(block.astype(np.float64))
            self.clipped += int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
            values = np.clip(rounded, limits.min, limits.max)
        stop = self.start + block.shape[1]
        target = np.load(self.path, mmap_mode="r+")
        np.atleast_2d(target)[:, self.start : stop] = values
        self.start = stop


def _open_array(path: Path, rate: float | None, name: str) -> _Array:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        why = str(error).splitlines()[0]
        raise RecordingError(f"{name} is no NPY file that can be read, or is truncated: {why}") from None
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        shape = f"{list(values.shape)} of {values.dtype}" if isinstance(values, np.ndarray) else "several arrays"
        raise RecordingError(f"{name} must be [time] or [channel, time] of real numbers, not {shape}")
    if not values.size:
        raise RecordingError(f"{name} is empty: it has no samples")
    channels, frames = np.atleast_2d(values).shape
    if channels > 64 and channels > frames:
        raise RecordingError(
            f"{name} is {channels} channels of {frames} samples; it must be [channel, time]: transpose it"
        )
    if rate is None:
        raise RecordingError(f"{name} does not say its rate; give --rate, in Hz")
    return _Array(path, rate, channels, frames)


# CSV


@dataclass(frozen=True)
class _Layout:
    """How a table is written."""

    separator: str | None  # None: blanks
    header: bool
    timed: bool  # the first column is time

    def rows(self, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
        """Give (line number, cells) of every line with data."""
        lines = (line for line in file)
        split = csv.reader(lines, delimiter=self.separator) if self.separator else (line.split() for line in lines)
        for number, cells in enumerate(split, 1):
            if cells and not (self.header and number == 1):
                yield number, cells


@dataclass(frozen=True)
class _Table(Recording):
    layout: _Layout
    name: str
    suffix = ".csv"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        for _, values in self.lines():
            yield values

    def lines(self) -> Iterator[tuple[list[str], Block]]:
        """Give the time cells (empty without a time column) and the values of each block."""
        skip = int(self.layout.timed)
        times: list[str] = []
        values: list[list[float]] = []
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in self.layout.rows(file):
                times += cells[:skip]
                values.append(_numbers(cells[skip:], self.channels, self.name, number))
                if len(values) == BLOCK:
                    yield times, np.array(values, dtype=np.float32).T
                    times, values = [], []
        if values:
            yield times, np.array(values, dtype=np.float32).T

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
        with path.open("w", newline="", encoding="utf-8") as file, self.path.open(encoding="utf-8-sig") as source:
            if self.layout.header:
                file.write(source.readline().rstrip("\r\n") + "\n")
            yield _TableWriter(self, file)


class _TableWriter:
    clipped = 0

    def __init__(self, table: _Table, file: IO[str]) -> None:
        self.file = file
        self.join = (table.layout.separator or " ").join
        self.times = (cell for cells, _ in table.lines() for cell in cells) if table.layout.timed else None

    def write(self, block: Block) -> None:
        for row in block.T.tolist():
            cells = [f"{value:.7g}" for value in row]
            if self.times is not None:
                cells.insert(0, next(self.times))
            self.file.write(self.join(cells) + "\n")


def _open_table(path: Path, rate: float | None, name: str) -> _Table:
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = [line for line in (file.readline(), file.readline()) if line.strip()]
        layout = _layout(first)
        return _measured(path, layout, rate, name, [c.strip() for c in _cells(first[0], layout.separator)])
    except (UnicodeDecodeError, csv.Error, IndexError):
        raise RecordingError(f"{name} is not a table of numbers in text (CSV)") from None


def _cells(line: str, separator: str | None) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if separator else line.split()


def _layout(first: list[str]) -> _Layout:
    separator = next((s for s in ("\t", ";", ",") if s in first[0]), None)
    cells = _cells(first[0], separator)
    header = not any(_number(cell) is not None or _date(cell) is not None for cell in cells)
    named = header and re.match(r"(time|date|t\b|sec|timestamp|m?s\b)", cells[0].strip().lower()) is not None
    return _Layout(separator, header, timed=named and len(cells) > 1)


def _measured(path: Path, layout: _Layout, rate: float | None, name: str, head: list[str]) -> _Table:
    """Read a table through once: its columns, rows, and the rate by its time column."""
    columns = len(head)
    times: list[float | None] = []  # of the first and the last row
    rising, frames, previous = columns > 1, 0, -math.inf
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, cells in layout.rows(file):
            if len(cells) != columns:
                raise RecordingError(f"{name} has {len(cells)} columns in line {number}, but {columns} before")
            if columns > 1 and (rising or layout.timed):
                time = _time(cells[0])
                times = [*times[:1], time]
                if rising and (time is None or time <= previous):
                    rising = False
                previous = time if time is not None else previous
            frames += 1
    if not frames:
        raise RecordingError(f"{name} is empty: it has no rows of numbers")
    timed = layout.timed or (not layout.header and rising and frames > 1)
    if rate is None:
        if not timed or len(times) < 2 or times[0] is None or times[1] is None:
            raise RecordingError(f"{name} has no time column to tell its rate; give --rate, in Hz")
        if times[1] <= times[0]:
            raise RecordingError(f"the time column of {name} does not rise; give --rate, in Hz")
        rate = _rate((frames - 1) / (times[1] - times[0]), head[0] if layout.header else "", name)
    return _Table(path, rate, columns - timed, frames, _Layout(layout.separator, layout.header, timed), name)


def _rate(found: float, header: str, name: str) -> float:
    """Return a rate in Hz, from samples per unit of the time column."""
    if re.search(r"(?<![a-z])ms(?![a-z])|milli", header.lower()):
        found *= 1000
    elif found < 1 and not re.search(r"(?<![a-z])(s|sec|seconds?)(?![a-z])", header.lower()):
        raise RecordingError(
            f"the time column of {name} gives {found:.3g} Hz if it is in seconds; give --rate "
            f"({found * 1000:.4g} if it is in milliseconds)"
        )
    # times are printed with few digits, and a model does not mind one in a thousand
    return float(round(found)) if abs(found - round(found)) < 1e-3 * found else found


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _date(cell: str) -> float | None:
    try:
        moment = datetime.datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or datetime.UTC)).timestamp()


def _time(cell: str) -> float | None:
    number = _number(cell)
    return number if number is not None else _date(cell)


def _numbers(cells: list[str], count: int, name: str, line: int) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise RecordingError(f"{name} has what is not a number in line {line}: {str(error)[:80]}") from None
    if len(values) != count:
        raise RecordingError(f"{name} has {len(values)} columns of samples in line {line}, but {count} before")
    return values

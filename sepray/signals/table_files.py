"""Tables of numbers in text (CSV): a column for each channel, and before them a column of time where there is one.

Written files keep separator, header and time column.
"""

from __future__ import annotations

import csv
import datetime
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .recording_types import BLOCK_SAMPLES, Block, RateError, Recording, RecordingError, Writer

SUFFIXES = (".csv", ".tsv", ".txt", ".dat")

_ROUNDING = 1e-3  # of a rate: times are printed with few digits, and a model does not mind one in a thousand


@dataclass(frozen=True)
class Layout:
    """How a table is written.

    Attributes:
        separator: between cells; None: blanks.
        header: the first line names the columns.
        timed: the first column is time.
    """

    separator: str | None
    header: bool
    timed: bool

    def rows(self, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and cells of every line with data."""
        lines = (line for line in file)
        split = csv.reader(lines, delimiter=self.separator) if self.separator else (line.split() for line in lines)
        for number, cells in enumerate(split, 1):
            if cells and not (self.header and number == 1):
                yield number, cells


@dataclass(frozen=True)
class TableRecording(Recording):
    """A table.

    Attributes:
        layout: how it is written.
        name: what messages call the file.
    """

    layout: Layout
    name: str
    suffix = ".csv"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        """Read the file from its start, ``[channel, time]`` at a time."""
        for _, values in self.timed_blocks():
            yield values

    def timed_blocks(self) -> Iterator[tuple[list[str], Block]]:
        """Yield each block with the cells of its time column; without one, no cells."""
        skip = int(self.layout.timed)
        times: list[str] = []
        values: list[list[float]] = []
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in self.layout.rows(file):
                times += cells[:skip]
                values.append(_numbers(cells[skip:], self.channels, self.name, number))
                if len(values) == BLOCK_SAMPLES:
                    yield times, np.array(values, dtype=np.float32).T
                    times, values = [], []
        if values:
            yield times, np.array(values, dtype=np.float32).T

    @contextmanager
    def writer(self, path: Path) -> Iterator[Writer]:
        """Write a table of this one's layout, with its header and its times."""
        with path.open("w", newline="", encoding="utf-8") as file, self.path.open(encoding="utf-8-sig") as source:
            if self.layout.header:
                file.write(source.readline().rstrip("\r\n") + "\n")
            yield _TableWriter(self, file)


class _TableWriter:
    clipped = 0

    def __init__(self, table: TableRecording, file: IO[str]) -> None:
        self.file = file
        self.join = (table.layout.separator or " ").join
        timed = table.layout.timed
        self.times = (cell for cells, _ in table.timed_blocks() for cell in cells) if timed else None

    def write(self, block: Block) -> None:
        for row in block.T.tolist():
            cells = [f"{value:.7g}" for value in row]
            if self.times is not None:
                cells.insert(0, next(self.times))
            self.file.write(self.join(cells) + "\n")


def open_table(path: Path, rate: float | None, name: str) -> TableRecording:
    """Read a table through once, for its layout, its length, and the rate by its time column.

    Args:
        path: the file.
        rate: samples per second, which wins over a time column; None: by the time column.
        name: what messages call the file.

    Raises:
        RecordingError: no table, empty, of uneven columns, or of a rate that cannot be told.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = [line for line in (file.readline(), file.readline()) if line.strip()]
        layout = _layout(first[0])
        columns = [cell.strip() for cell in _cells(first[0], layout.separator)]
        return _measured(path, layout, rate, name, columns)
    except (UnicodeDecodeError, csv.Error, IndexError):
        raise RecordingError(f"{name} is not a table of numbers in text (CSV)") from None


def _cells(line: str, separator: str | None) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if separator else line.split()


def _layout(first_line: str) -> Layout:
    """Return the layout that the first line shows; whether a column without a name is time, its values tell."""
    separator = next((mark for mark in ("\t", ";", ",") if mark in first_line), None)
    cells = _cells(first_line, separator)
    header = not any(_number(cell) is not None or _date(cell) is not None for cell in cells)
    named = header and re.match(r"(time|date|t\b|sec|timestamp|m?s\b)", cells[0].strip().lower()) is not None
    return Layout(separator, header, timed=named and len(cells) > 1)


def _measured(path: Path, layout: Layout, rate: float | None, name: str, columns: list[str]) -> TableRecording:
    """Count the rows of a table, check its columns, and find its rate.

    Args:
        path: the file.
        layout: layout that the first line shows.
        rate: samples per second that the caller gave; None where it gave none.
        name: what messages call the file.
        columns: the cells of the first line.
    """
    ends: list[float | None] = []  # time of the first row, and of the last
    rising, frames, previous = len(columns) > 1, 0, -math.inf
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, cells in layout.rows(file):
            if len(cells) != len(columns):
                raise RecordingError(f"{name} has {len(cells)} columns in line {number}, but {len(columns)} before")
            if len(columns) > 1 and (rising or layout.timed):
                time = _time(cells[0])
                ends = [*ends[:1], time]
                if rising and (time is None or time <= previous):
                    rising = False
                previous = time if time is not None else previous
            frames += 1
    if not frames:
        raise RecordingError(f"{name} holds no rows of numbers")
    timed = layout.timed or (not layout.header and rising and frames > 1)
    if rate is None:
        if not timed or len(ends) < 2 or ends[0] is None or ends[1] is None:
            raise RateError(f"{name} has no time column to tell its rate; give --rate, in Hz")
        if ends[1] <= ends[0]:
            raise RateError(f"the time column of {name} does not rise; give --rate, in Hz")
        rate = _hertz((frames - 1) / (ends[1] - ends[0]), columns[0] if layout.header else "", name)
    layout = Layout(layout.separator, layout.header, timed)
    return TableRecording(path, rate, len(columns) - timed, frames, layout, name)


def _hertz(rate: float, header: str, name: str) -> float:
    """Return a rate in Hz, from samples per unit of the time column, whose header may name the unit."""
    if re.search(r"(?<![a-z])ms(?![a-z])|milli", header.lower()):
        rate *= 1000
    elif rate < 1 and not re.search(r"(?<![a-z])(s|sec|seconds?)(?![a-z])", header.lower()):
        raise RateError(
            f"the time column of {name} gives {rate:.3g} Hz if it is in seconds; give --rate "
            f"({rate * 1000:.4g} if it is in milliseconds)"
        )
    return float(round(rate)) if abs(rate - round(rate)) < _ROUNDING * rate else rate


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _date(cell: str) -> float | None:
    """Return the seconds of a date; one without a time zone is taken as UTC, where no hour is skipped or repeated."""
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
        raise RecordingError(f"{name} has a cell that is not a number in line {line}: {str(error)[:80]}") from None
    if len(values) != count:
        raise RecordingError(f"{name} has {len(values)} columns of samples in line {line}, but {count} before")
    return values

"""Tables of numbers in text (CSV): a column for each channel, and perhaps columns of times or of samples' numbers.

Columns of times and numbers are no channels, and are copied as they are. Written files keep header, separator, decimal
mark, encoding and these columns.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..plain_text import in_csv, is_formula
from .recording_types import BLOCK_SAMPLES, Block, RateError, Recording, RecordingError, Writer, as_block, block_length
from .table_headers import states_a_value
from .table_layout import Layout, is_number, layout_of
from .time_cells import MINUS, names_counter, names_lead, names_time, surely_names_time, time_of
from .time_columns import Stamps

SUFFIXES = (".csv", ".tsv", ".txt", ".dat")

_LOOK_EVERY = 64  # rows after which columns that are surely channels are dropped from those that may be times
_COUNTED_ROWS = 16  # least number of rows by which a table is seen to have no channel
_FEWEST_ROWS = 4  # least number of rows by which a named column is seen to rise evenly
_ONE_RATE = 2e-3  # relative difference up to which two rates of one file are the same
_CELL_VALUES = 4  # a cell, as an object of Python's, takes as much memory as so many samples


@dataclass(frozen=True)
class TableRecording(Recording):
    """A table.

    Attributes:
        layout: how the table is written.
        copied: numbers of the columns that are no channels.
        name: what messages call the file.
        notes: what the user should know of the recording, a line each.
    """

    layout: Layout
    copied: tuple[int, ...]
    name: str
    notes: tuple[str, ...] = ()
    suffix = ".csv"
    unit = "as in the input"

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        for _, values in self.blocks_with_copied():
            yield values

    def blocks_with_copied(self) -> Iterator[tuple[list[list[str]], Block]]:
        """Yield the copied cells of each row of a block, and the block ``[channel, time]``."""
        copied: list[list[str]] = []
        values = array("d")  # row after row: lists of numbers would take five times the memory
        columns = len(self.layout.labels)
        length = block_length(BLOCK_SAMPLES, _CELL_VALUES * columns)
        leading = len(self.copied) if self.copied == tuple(range(len(self.copied))) else None
        with self.path.open(newline="", encoding=self.layout.encoding) as file:
            for line, cells in self.layout.rows(file, self.name):
                if len(cells) != columns:
                    raise _wrong_length(self.layout, cells, line, self.name)
                if leading is not None:
                    copied.append(cells[:leading])
                    samples = cells[leading:]
                else:
                    copied.append([cells[column] for column in self.copied])
                    samples = [cell for column, cell in enumerate(cells) if column not in self.copied]
                try:
                    values.extend(_numbers(samples, self.layout.decimal))
                except ValueError:
                    raise RecordingError(self._not_a_number(cells, line)) from None
                if len(copied) == length:
                    yield copied, as_block(np.frombuffer(values).reshape(length, -1).T)
                    copied, values = [], array("d")
        if values:
            yield copied, as_block(np.frombuffer(values).reshape(len(copied), -1).T)

    def _not_a_number(self, cells: list[str], line: int) -> str:
        """Return the message about the first sample of a row that is no number."""
        for column, cell in enumerate(cells):
            if column not in self.copied and not is_number(cell, self.layout.decimal):
                label = f" ({self.layout.labels[column][:40]})" if self.layout.labels[column] else ""
                where = f"line {line}, column {column + 1}{label}"
                return f"{self.name} has a cell that is not a number in {where}: {cell.strip()[:40]!r}"
        return f"{self.name} has a cell that is not a number in line {line}"

    @contextmanager
    def writer(self, path: Path, channels: int | None = None) -> Iterator[Writer]:
        """Open a table for writing, with this one's layout, header, times and numbers of samples.

        It has only the first ``channels`` channels (None: all). The columns of the others are also left out of header
        lines that have a cell for each column; all other header lines are copied whole.
        """
        encoding = self.layout.encoding
        with path.open("w", newline="", encoding=encoding) as file, self.path.open(encoding=encoding) as source:
            writer = _TableWriter(self, file, self.channels if channels is None else channels)
            for _ in range(self.layout.header):
                writer.write_header(source.readline().rstrip("\n"))
            yield writer


class _TableWriter:
    clipped = 0

    def __init__(self, table: TableRecording, file: IO[str], channels: int) -> None:
        self.table, self.file = table, file
        signals = [column for column in range(len(table.layout.labels)) if column not in table.copied]
        self.left_out = signals[channels:]
        self.copied_columns = [column - sum(out < column for out in self.left_out) for column in table.copied]
        self.copied = (row for rows, _ in table.blocks_with_copied() for row in rows)
        separator = table.layout.separator or " "
        self.rows = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)

    def write_header(self, line: str) -> None:
        """Write a line of the table's header, without the cells of columns that are not written.

        A formula of a spreadsheet in a cell is written as text.
        """
        cells = next(csv.reader([line], delimiter=self.table.layout.separator or " ", skipinitialspace=True), [])
        kept = [in_csv(cell) for cell in cells]
        if (
            self.left_out
            and not states_a_value(line)
            and len(cells) - len(self.table.layout.labels) in (0, self.table.layout.trailing)
        ):
            self.rows.writerow([cell for column, cell in enumerate(kept) if column not in self.left_out])
        elif kept != cells:
            self.rows.writerow(kept)
        else:
            self.file.write(line + "\n")

    def write(self, block: Block) -> None:
        layout, columns = self.table.layout, self.copied_columns
        for row in block.T.tolist():
            cells = [f"{value:.7g}" for value in row]
            if layout.decimal == ",":
                cells = [cell.replace(".", ",") for cell in cells]
            if columns:
                for column, cell in zip(columns, next(self.copied), strict=True):
                    is_text = is_formula(cell) and time_of(cell, layout.decimal) is None
                    cells.insert(column, in_csv(cell) if is_text else cell)
            self.rows.writerow([*cells, *[""] * layout.trailing])


def open_table(path: Path, rate: float | None, name: str) -> TableRecording:
    """Read a table through once, for its layout, its length and its rate.

    Args:
        path: the file.
        rate: samples per second, which overrides the table's own; None: by a column of times, or else by the header.
        name: what messages call the file.

    Raises:
        RecordingError: the file is no table, is empty, has rows of different lengths, or does not give its rate.
    """
    layout = layout_of(path, name)
    try:
        stamps, frames = _measured(path, layout, name)
    except (UnicodeDecodeError, csv.Error):
        raise RecordingError(f"{name} is not a table of numbers in text (CSV)") from None
    if not frames:
        raise RecordingError(f"{name} holds no rows of numbers")
    copied = _copied(layout, stamps, frames)
    if len(copied) == len(layout.labels):
        raise RecordingError(f"{name} has no column of samples, only {_told(layout)}")
    misnamed = _named_as_times(layout, stamps, copied, name)
    clocks = [stamps[k] for k in copied if k in stamps and not stamps[k].counts]
    numbers = [s for s in clocks if _counts(s)]
    timed = [s for s in clocks if s not in numbers and (s.rises or s.starts_again or len(copied) == 1)]
    own = layout.rate
    if timed:
        try:
            own = timed[0].rate(name)
        except RateError:
            if rate is None:
                raise
    notes: tuple[str, ...] = ()
    if own is not None and layout.rate is not None and not math.isclose(own, layout.rate, rel_tol=_ONE_RATE):
        notes = (f"the header of {name} says that its rate is {layout.rate:.6g} Hz, and its times {own:.6g} Hz",)
    if rate is None:
        rate = own
    elif own is not None and not math.isclose(rate, own, rel_tol=_ONE_RATE):
        notes += (f"{name} says that its rate is {own:.6g} Hz, and it is taken at {rate:.6g} Hz, as you say",)
    if rate is None:
        counted = ", only one that counts samples," if copied else ""
        raise RateError(f"{name} has no time column{counted} to tell its rate; give --rate, in Hz")
    gaps = [stamps[k].gaps() for k in copied if k in stamps]
    label = layout.labels[0]
    if 0 in stamps and 0 not in copied and stamps[0].may_be_lead and not (label and names_lead(label)):
        moves, more = (
            "moves evenly and starts again, and is taken for a lead: name it",
            " time or index" if label else "",
        )
        notes += (f"the first column of {name} {moves}{more} if it is none",)
    notes += tuple(note for note in (*misnamed, *[one.parts() for one in timed[:1]], *gaps[:1]) if note)
    return TableRecording(path, rate, len(layout.labels) - len(copied), frames, layout, copied, name, notes)


def _measured(path: Path, layout: Layout, name: str) -> tuple[dict[int, Stamps], int]:
    """Return the columns that may be times or numbers of samples, by number, and the number of rows; check lengths."""
    columns, frames = len(layout.labels), 0
    stamps: dict[int, Stamps] = {}
    for column, label in enumerate(layout.labels):
        named = label and (names_time(label, first=column == 0) or names_counter(label))
        if column < 2 or column in layout.no_signals or named:
            stamps[column] = Stamps(label, layout.decimal)
    kept = {k for k, label in enumerate(layout.labels) if label and (names_counter(label) or names_time(label, k == 0))}
    with path.open(newline="", encoding=layout.encoding) as file:
        for line, cells in layout.rows(file, name):
            if len(cells) != columns:
                raise _wrong_length(layout, cells, line, name)
            if not any(map(str.strip, cells)):
                shown = f" ({layout.labels[0][:40]})" if layout.labels[0] else ""
                raise RecordingError(f"{name} has a cell that is not a number in line {line}, column 1{shown}: ''")
            for column, found in stamps.items():
                found.add(cells[column], line)
            frames += 1
            if frames % _LOOK_EVERY == 0:
                stamps = {column: found for column, found in stamps.items() if column in kept or not found.is_signal}
    return stamps, frames


def _copied(layout: Layout, stamps: dict[int, Stamps], frames: int) -> tuple[int, ...]:
    """Return the numbers of the columns that are no channels."""
    if len(layout.labels) == 1:
        return _copied_alone(layout, stamps, frames)
    copied: list[int] = list(layout.no_signals)
    for column, found in stamps.items():
        label, leading = layout.labels[column], column == len(copied)
        named_time = names_time(label, first=column == 0)
        time = found.textual or (named_time and _is_time(found))
        counter = leading and found.counts and (column == 0 or found.is_even) and names_counter(label)
        fewest = _FEWEST_ROWS if layout.has_names and label else 2
        numbered = not named_time and names_time(label, first=True, numbered=True)
        rising = column == 0 and frames >= fewest and (found.is_even or (found.rises and (numbered or not label)))
        late = column == 0 and found.mostly_rises and (not label or found.is_stamp)
        lead = names_lead(label)
        said = layout.has_names and (not label or named_time or names_counter(label))
        clock = not lead and (said or not found.may_be_lead)
        again = found.starts_again and clock
        falling = column == 0 and (
            (found.falls_evenly and clock) or (not label and found.is_constant and frames >= fewest)
        )
        after_counter = (
            column == 1
            and copied == [0]
            and 0 in stamps
            and stamps[0].counts
            and (again or (found.is_even and not found.repeats))
        )
        named = (
            bool(label)
            and names_counter(label)
            and (
                (found.counts and found.is_even)
                or found.wraps
                or again
                or found.counts_down
                or (leading and found.is_constant)
            )
        )
        counting = leading and found.wraps and (column == 0 or not label) and (clock or not label)
        wrapping = (counting and not lead) or (column == 0 and again)
        if column not in copied and (
            time or counter or named or rising or late or falling or wrapping or (after_counter and frames >= fewest)
        ):
            copied.append(column)
    every = len(copied) == len(layout.labels) and frames < _COUNTED_ROWS  # too few rows to tell
    return tuple(sorted(copied)[: len(copied) - every])


def _is_time(found: Stamps) -> bool:
    """Say whether a column that is named as a time holds times, although its name may be a lead's too."""
    if found.is_stamp and surely_names_time(found.label):
        return True  # in any order: packets may have come late
    return found.is_clock and not (names_lead(found.label) and found.may_be_lead)


def _named_as_times(layout: Layout, stamps: dict[int, Stamps], copied: tuple[int, ...], name: str) -> list[str]:
    """Return a note on each column that is named as a time and does not rise like one.

    Raises:
        RecordingError: such a column has a name that is no lead's.
    """
    notes = []
    for column, found in sorted(stamps.items()):
        label = found.label
        if found.textual or not names_time(label, first=column == 0):
            continue
        shown = f"column {column + 1} of {name} ({label[:40]})"
        known = found.starts_again or found.mostly_rises or (found.falls_evenly and not found.may_be_lead)
        if column in copied and found.falls and not (known or found.broken):
            notes.append(f"{shown} is copied as a time, and falls again and again: name it otherwise if it is a lead")
        if column in copied or _is_time(found):
            continue
        named = f"{shown} is named as a time and does not rise as one"
        if surely_names_time(label) and not names_lead(label) and len(layout.labels) > 1:
            raise RecordingError(f"{named}: leave it out, or give it another name if it is a lead")
        notes.append(f"{named}, and is taken for a lead: leave it out if it is none")
    return notes


def _copied_alone(layout: Layout, stamps: dict[int, Stamps], frames: int) -> tuple[int, ...]:
    """Return the number of the only column if it is no channel: its name says so and it rises, or it rises evenly."""
    found, label = stamps.get(0), layout.labels[0]
    if found is None or frames < _FEWEST_ROWS:
        return ()
    named = bool(label) and (names_counter(label) or names_time(label, first=True))
    clock = found.textual or found.is_even or found.mostly_rises or found.starts_again
    return (0,) if (named and clock) or (found.is_ramp and frames >= _COUNTED_ROWS) else ()


def _wrong_length(layout: Layout, cells: list[str], line: int, name: str) -> RecordingError:
    columns = len(layout.labels)
    if columns < len(cells) <= columns + layout.trailing:
        nothing = f"has nothing in column {columns + 1} before line {line}, and {cells[columns].strip()[:40]!r} there"
        return RecordingError(f"{name} {nothing}: leave the rows without samples out")
    return RecordingError(f"{name} has {len(cells)} columns in line {line}, but {columns} before")


def _counts(found: Stamps) -> bool:
    """Say whether a column that is no channel numbers samples or packets: downwards, or again and again."""
    if found.counts_down:
        return True
    if found.textual or names_time(found.label, first=True):
        return False
    numbers = found.whole and not found.is_stamp and (names_counter(found.label) or found.repeats > 0)
    return found.is_constant or (found.starts_again and numbers)


def _told(layout: Layout) -> str:
    """Return words for the columns of a table without channels, for a message."""
    labels = [label for label in layout.labels if label]
    return "times or numbers of samples" + (f" ({', '.join(labels)[:80]})" if labels else "")


def _numbers(cells: list[str], decimal: str) -> list[float]:
    try:
        if "_" in "".join(cells):
            raise ValueError("an underscore")  # Python takes 1_1 for 11
        if decimal == ",":
            return [float(cell.replace(".", "?").replace(",", ".")) for cell in cells]
        return [float(cell) for cell in cells]
    except ValueError:
        if not any(MINUS in cell for cell in cells):
            raise
    return _numbers([cell.replace(MINUS, "-") for cell in cells], decimal)

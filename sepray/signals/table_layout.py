"""Finds how a table of numbers in text is written, from its first lines: encoding, marks and header.

The usual pairs of separator and decimal mark are tried. The pair counts by which most of the first lines are rows of
numbers, all of one length. All lines before the first such row are the header.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .recording_types import RecordingError
from .table_checks import (
    are_column_numbers,
    cells_without_end,
    column_without_numbers,
    may_be_times,
    refuse_other_names,
    refuse_rows_above,
    refuse_split_numbers,
    two_decimal_marks,
)
from .table_headers import (
    COMMENT,
    are_units,
    channel_titles,
    empatica,
    is_comment,
    is_setting,
    naming_comment,
    open_signals,
    rate_below,
    said_rate,
    states_a_value,
)
from .time_cells import names_counter, names_time, number, time_of

_HEAD_BYTES = 1 << 16  # of a file, from which its layout is found
_LINE_BYTES = 1 << 20  # at least one line ends in so many bytes
_MOST_COLUMNS = 4096
_MOST_EMPTY = 1 << 20  # empty rows, as a spreadsheet may have, beside one for each row of numbers (double spacing)
_MOST_TRAILING = 1 << 14  # empty cells at the end of a row: as many as a spreadsheet has columns
_MOST_LINES = 64  # of a row whose cells have line breaks in quotes
_SAMPLE = 50  # rows of numbers by which a pair of marks is judged
_LOOKED_AT = 1000  # rows whose cells are compared
_MARKS = (
    ("\t", "."),
    (";", "."),
    (";", ","),
    ("\t", ","),
    (",", "."),
    ("|", "."),
    ("|", ","),
    (None, "."),
    (None, ","),
    (",", ","),
)


@dataclass(frozen=True)
class Layout:
    """Layout of a table in text: encoding, marks, header and columns.

    Attributes:
        encoding: encoding of the file's text.
        separator: text between cells; None: blanks.
        decimal: decimal mark.
        header: number of lines before the first row of numbers.
        labels: names of the columns, with units where a line of the header has them; all empty where none has names.
        has_names: whether a line of the header names the columns.
        trailing: number of empty cells that rows end with.
        rate: rate that the header states, in Hz; None where it does not.
        no_signals: numbers of the columns that are no signals by the header.
    """

    encoding: str
    separator: str | None
    decimal: str
    header: int
    labels: tuple[str, ...]
    has_names: bool
    trailing: int
    rate: float | None = None
    no_signals: tuple[int, ...] = ()

    def rows(self, file: IO[str], name: str) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and cells of every row, without blank lines, and without rows of empty cells at the end.

        Args:
            file: the table, opened at its start.
            name: what messages call it.

        Raises:
            RecordingError: there are a million more lines without numbers than with numbers.
        """
        for _ in range(self.header):
            file.readline()
        held: list[tuple[int, list[str]]] = []
        columns, left = len(self.labels), _MOST_EMPTY
        for line, cells in _split(file, self.separator, self.header + 1):
            if not any(cells) or cells[0][:1] in COMMENT or not any(map(str.strip, cells)):
                left -= 1
                if left < 0:
                    raise RecordingError(f"{name} has a million empty lines before line {line}: leave them out")
                if len(cells) > 1 and not held and cells[0][:1] not in COMMENT:
                    held = [(line, cells)]  # the first is enough: it is refused if a row of numbers follows
                continue
            left += 1
            if held:
                yield from held
                held = []
            yield line, cells if len(cells) == columns else _without_trailing(cells, columns)


def layout_of(path: Path, name: str) -> Layout:
    """Find the layout of a file.

    Args:
        path: the file.
        name: what messages call the file.

    Raises:
        RecordingError: the file is not a table, or its first row has a cell that is no number.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        _refuse_endless_lines(file, name)
    encoding = _encoding(head)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        text = "\0"
    lines = re.split(r"\r\n|\r|\n", text)
    if len(head) == _HEAD_BYTES and len(lines) > 1:
        lines.pop()  # which may be cut
    if re.search(r"[\x00-\x08\x0e-\x1f]", text) or not lines:
        raise RecordingError(f"{name} is not a table of numbers in text (CSV)")
    trials = [_trial(lines, separator, decimal) for separator, decimal in _MARKS]
    best = max(trials, key=lambda trial: trial.score)
    if not best.score:
        no_table = f"{name} is not a table of numbers in text (CSV)"
        raise RecordingError(
            f"{name} holds no rows of numbers"
            if _is_header(lines)
            else column_without_numbers(lines, name) or two_decimal_marks(lines, name) or no_table
        )
    if best.columns > _MOST_COLUMNS:
        raise RecordingError(f"{name} has {best.columns} columns, and a table has at most {_MOST_COLUMNS}")
    return _described(lines, best, encoding, name)


def _refuse_endless_lines(file: IO[bytes], name: str) -> None:
    """Refuse a file with a line longer than any table has: lines are read whole, so all of it would be in memory."""
    while len(part := file.read(_LINE_BYTES)) == _LINE_BYTES:
        if b"\n" not in part and b"\r" not in part:
            raise RecordingError(
                f"{name} is not a table of numbers in text (CSV): a line of it is more than a megabyte"
            )


def is_number(cell: str, decimal: str) -> bool:
    """Say whether a cell holds a number."""
    return number(cell, decimal) is not None


@dataclass(frozen=True)
class _Trial:
    """Result of splitting the lines by one pair of marks."""

    separator: str | None
    decimal: str
    score: int  # rows of numbers of one length among the first lines
    columns: int = 0
    start: int = 0  # line of the first such row
    trailing: int = 0


def _trial(lines: list[str], separator: str | None, decimal: str) -> _Trial:
    lengths: Counter[int] = Counter()
    first: dict[int, int] = {}
    ends_blank: dict[int, int] = {}  # fewest empty cells at the end of rows of this length
    for place, line in enumerate(lines):
        cells = _cells(line, separator)
        if is_comment(line) or not any(cell.strip() for cell in cells):
            continue
        kept = cells_without_end(cells)
        blank, cells = len(cells) - len(kept), kept
        values = [is_number(cell, decimal) for cell in cells]
        if any(values) and all(v or time_of(c, decimal) for v, c in zip(values, cells, strict=True)):
            lengths[len(cells)] += 1
            ends_blank[len(cells)] = min(blank, ends_blank.get(len(cells), blank))
            first.setdefault(len(cells), place)
        if lengths.total() >= _SAMPLE:
            break
    if not lengths:
        return _Trial(separator, decimal, 0)
    columns, score = max(lengths.items(), key=lambda item: item[1])
    # Where separator and decimal mark are the same, numbers are in quotes.
    uses = separator is None or columns > 1 or ends_blank[columns] > 0 or separator == decimal
    one_named = _names_one_column(lines[: first[columns]])
    mark = separator == "," and columns == 2 and one_named
    guess = decimal == "," and separator is None and columns == 1 and not one_named
    if not uses or mark or guess:
        return _Trial(separator, decimal, 0)
    return _Trial(separator, decimal, score, columns, first[columns], ends_blank[columns])


def _names_one_column(header: list[str]) -> bool:
    """Say whether a header names a single column, so that a comma in its rows is a decimal mark."""
    named = [line for line in header if line.strip() and not is_comment(line)]
    return bool(named) and all(re.fullmatch(r"\s*[^\s,;|]+\s*", line) is not None for line in named)


def _described(lines: list[str], best: _Trial, encoding: str, name: str) -> Layout:
    header = lines[: best.start]
    rows = [
        _cells(line, best.separator)[: best.columns]
        for line in lines[best.start : best.start + _LOOKED_AT]
        if not is_comment(line)
    ]
    rows = [cells for cells in rows if len(cells) == best.columns]
    above: list[tuple[int, list[str]]] = []
    named: list[list[str]] = []
    may_name = [place for place, line in enumerate(header) if _are_names(line, best)]
    names_at = max(may_name, default=-1)
    named_at = max((k for k in may_name if not are_units(_cells(header[k], best.separator))), default=-1)
    for place, line in enumerate(header):
        if not line.strip() or is_comment(line) or is_setting(line):
            continue
        cells = _without_trailing(_cells(line, best.separator), best.columns)
        if len(cells) == best.columns + best.trailing:  # names of empty columns at the end
            cells = cells[: best.columns]
        if states_a_value(line) and (best.columns == 1 or said_rate([line]) is not None):
            continue
        if place < names_at and _is_setting(cells, best, numbers_name=place > named_at):
            continue
        above += [(place + 1, cells)]
        named += [_names(line, cells, best)]
    refuse_rows_above(above, rows, best.decimal, name)
    comments = [line.lstrip("#%; ") for line in header if is_comment(line)]
    names_nothing = not named
    if not named and (titles := channel_titles(header, best.columns)):
        named, names_nothing = [titles], False
    if not named and comments:
        cells_of = [_names(line, _cells(line, best.separator), best) for line in comments]
        named = [naming_comment(cells_of, best.columns, rises=may_be_times(rows, best.decimal))]
    fitting = [cells for cells in named if len(cells) == best.columns]
    if not fitting:
        if best.separator == ",":
            refuse_split_numbers(rows, name)
        if not names_nothing:
            named = refuse_other_names(named, rows, best.separator, name)
            fitting = [cells for cells in named if len(cells) == best.columns]
    labels = tuple(" ".join(cell.strip(" '\"") for cell in cells) for cells in zip(*fitting, strict=True))
    rate = said_rate(header)
    columns, others = open_signals(comments)
    if len(columns) == best.columns:
        labels = columns
    else:
        others = ()
    if best.columns == 1 and (below := rate_below(lines, best.start)) is not None:
        rate, names_of_one, more = below
        marks = (best.separator, best.decimal)
        return Layout(
            encoding, *marks, best.start + more, names_of_one or ("",), bool(names_of_one), best.trailing, rate
        )
    more, found = 0, empatica(lines, best.start, best.separator, best.decimal)
    if found is not None:
        more, rate = found
    elif names_nothing and are_column_numbers(rows, best.decimal):
        more = 1
    names = bool(labels)
    labels = labels or ("",) * best.columns
    marks = (best.separator, best.decimal)
    return Layout(encoding, *marks, best.start + more, labels, names, best.trailing, rate, others)


def _is_setting(cells: list[str], best: _Trial, numbers_name: bool) -> bool:
    """Say whether a line above the names is a word and its values.

    Where only units follow (``numbers_name``), it may be the names instead, some of them whole numbers.
    """
    first, others = cells[0], [cell.strip() for cell in cells[1:] if cell.strip()]
    numbered = (
        numbers_name
        and all(cell.isdigit() for cell in others)
        and (names_time(first, first=True) or names_counter(first))
    )
    is_value = states_a_value(",".join([first, *others])) or any(is_number(cell, best.decimal) for cell in others)
    return first.strip()[:1].isalpha() and is_value and not numbered


def _are_names(line: str, best: _Trial) -> bool:
    """Say whether a line of a header may name the columns: a cell for each, and none is a number or a time."""
    cells = [] if is_comment(line) else cells_without_end(_cells(line, best.separator))
    return len(cells) == best.columns and not any(time_of(cell, best.decimal) for cell in cells)


def _names(line: str, cells: list[str], best: _Trial) -> list[str]:
    """Return the cells of a header line; in a table separated by blanks, a name may have a single blank in it."""
    if best.separator is None and len(cells) != best.columns:
        apart = re.split(r"\s{2,}|\t", line.strip())
        return apart if len(apart) == best.columns else cells
    return cells


def _split(lines: Iterator[str] | IO[str], separator: str | None, start: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every row, counted from ``start``."""
    taken = 0  # lines of the row that is being read

    def few() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            if taken > _MOST_LINES:
                raise csv.Error("a quotation mark that nothing closes")
            yield line

    split = csv.reader(few(), delimiter=separator) if separator else (line.split() for line in lines)
    for place, cells in enumerate(split, start):
        taken = 0
        yield place, cells


def _cells(line: str, separator: str | None) -> list[str]:
    return next(csv.reader([line], delimiter=separator), []) if separator else line.split()


def _without_trailing(cells: list[str], columns: int) -> list[str]:
    """Return cells without the empty ones after the last column, which stem from separators at the end of the line."""
    if len(cells) > columns + _MOST_TRAILING:
        return cells
    kept = len(cells)
    while kept > columns and not cells[kept - 1].strip():
        kept -= 1
    return cells[:kept]


def _is_header(lines: list[str]) -> bool:
    """Say whether the lines look like a header alone."""
    return len([line for line in lines if line.strip()]) <= 1


def _encoding(head: bytes) -> str:
    """Return the encoding of a text by its first bytes: UTF-8, UTF-16, or else Latin-1."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) > 3 and head[1] == 0 and head[3] == 0 and head[0]:
        return "utf-16-le"
    if len(head) > 3 and head[0] == 0 and head[2] == 0 and head[1]:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"

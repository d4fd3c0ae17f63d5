"""Refuses tables that would be read wrongly, says what is wrong with them, and tells headers from rows."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Sequence

from .recording_types import RecordingError
from .time_cells import number, time_of

_LOOKED_AT = 1000  # lines
_MARKS = ("-", "--", "---", "na", "n/a", "#n/a", "null", "none", "?", "*")  # written in the place of a missing sample
_MISSING = ("", *_MARKS)
_RISES_FOR_A_FALL = 8  # a first column that falls more often than once in so many rows is no column of times
_SHOWN = 40  # characters of a cell, or of names
_WHOLE = re.compile(r"[+-]?\d+")
_DIGITS = re.compile(r"\d+")


def refuse_rows_above(
    above: Sequence[tuple[int, list[str]]], rows: Sequence[Sequence[str]], decimal: str, name: str
) -> None:
    """Refuse lines above the first row of numbers that are no header, but rows with a missing sample.

    Args:
        above: number and cells of each line above that row, comments left out.
        rows: cells of the first rows of numbers.
        decimal: decimal mark.
        name: what messages call the file.

    Raises:
        RecordingError: a line is a row with a missing sample, or with a cell that is no number.
    """
    columns = len(rows[0]) if rows else 0
    signals = not may_be_times(rows, decimal)
    fitting = [place for place, (_, cells) in enumerate(above) if len(cells) == columns and _names(cells, decimal)]
    names_at = fitting[-1] if fitting else -1
    missing = _MISSING if signals and fitting else _MARKS  # a column of times may have no name, and no unit
    absent = 0  # lines with a mark for each sample; the first such line may be the units
    for place, (line, cells) in enumerate(above):
        below_names = place > names_at
        broken = _broken(cells, decimal, missing if below_names else ())
        if broken is None and rows and len(cells) == columns:
            broken = _lacking(cells, rows[0], decimal, below_names)
            absent += below_names and _are_marks(cells)
            broken = cells[0].strip() if broken is None and absent > 1 else broken
        if broken is not None and not (below_names and fitting) and _is_word(cells):
            shown = f"{', '.join(cells)[:_SHOWN]!r} in line {line}"
            why = "which neither names the columns nor is a row of numbers"
            raise RecordingError(f"{name} has {shown}, {why}: leave that line out, or begin it with #")
        if broken is not None:
            raise RecordingError(f"{name} has a cell that is not a number in line {line}: {broken[:80]!r}")
        if below_names and fitting and len(cells) < columns and _goes_on(cells, rows[0], decimal, signals):
            raise RecordingError(f"{name} has {len(cells)} columns in line {line}, but {columns} below")


def may_be_times(rows: Sequence[Sequence[str]], decimal: str) -> bool:
    """Say whether the first column of the rows may be times or numbers of samples, which seldom fall."""
    firsts = [value for cells in rows if (value := number(cells[0], decimal)) is not None]
    falls = sum(after < before for before, after in itertools.pairwise(firsts))
    return _RISES_FOR_A_FALL * falls <= len(firsts)


def _broken(cells: Sequence[str], decimal: str, missing: Sequence[str]) -> str | None:
    """Return the cell that spoils a row of numbers; None if the cells name columns, perhaps by whole numbers.

    The texts ``missing`` stand for missing samples, and are no names.
    """
    numbers = [cell.strip() for cell in cells if number(cell, decimal) is not None]
    others = [cell.strip() for cell in cells if number(cell, decimal) is None]
    if not numbers or not others:
        return None
    if all(cell.lower() in missing for cell in others):
        return others[0]
    names = number(cells[0], decimal) is None and all(cell.isdigit() for cell in numbers)
    return None if names and not any(cell[:1].isdigit() for cell in others) else others[0]


def _is_word(cells: Sequence[str]) -> bool:
    """Say whether a line begins with a word that is no mark of a missing sample."""
    return cells[0].strip().lower() not in _MISSING and cells[0].strip()[:1].isalpha()


def _lacking(cells: Sequence[str], row: Sequence[str], decimal: str, below_names: bool) -> str | None:
    """Return the cell of a missing sample, in a line with a clock time or date where ``row`` has one; else None."""
    times = [place for place, cell in enumerate(row) if number(cell, decimal) is None]
    shown = [place for place in times if number(cells[place], decimal) is None and time_of(cells[place], decimal)]
    others = [cell.strip() for place, cell in enumerate(cells) if place not in shown and number(cell, decimal) is None]
    if not shown or not others:
        return None
    of_row = below_names and shown[0] == 0
    return others[0] if of_row or all(cell.lower() in _MISSING for cell in others) else None


def _goes_on(cells: Sequence[str], row: Sequence[str], decimal: str, signals: bool) -> bool:
    """Say whether a short line is a row: its first cell is a time like the next row's, and no other cell is a name."""
    first, next_one = number(cells[0], decimal), number(row[0], decimal)
    if any(number(cell, decimal) is None and cell.strip().lower() not in _MISSING for cell in cells[1:]):
        return False
    if first is None or next_one is None:
        return first is None and next_one is None and time_of(cells[0], decimal) is not None
    return not signals and first < next_one


def _names(cells: Sequence[str], decimal: str) -> bool:
    """Say whether cells are names or units: no numbers, no times, and not only marks of missing samples."""
    return all(time_of(cell, decimal) is None for cell in cells) and not all(
        cell.strip().lower() in _MISSING for cell in cells
    )


def _are_marks(cells: Sequence[str]) -> bool:
    return any(map(str.strip, cells)) and all(cell.strip().lower() in _MISSING for cell in cells)


def refuse_split_numbers(rows: Sequence[Sequence[str]], name: str) -> None:
    """Refuse numbers with decimal commas that would be read as two columns each.

    Fractions have leading zeros (``4,004``) or follow ``-0``, and nobody writes whole numbers so. So the table is
    refused where a column of unsigned numbers has such cells, and the one before it has whole numbers without leading
    zeros. Whole numbers that are all padded to one width have leading zeros too, and are no fractions.

    Args:
        rows: cells between commas; the header does not name as many columns.
        name: what messages call the file.

    Raises:
        RecordingError: two columns are one number with a decimal comma.
    """
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    for place, (before, after) in enumerate(itertools.pairwise(columns)):
        if not (all(map(_WHOLE.fullmatch, before)) and all(map(_DIGITS.fullmatch, after))):
            continue
        if any(re.match(r"[+-]?0\d", cell) for cell in before) or len({*map(len, before), *map(len, after)}) == 1:
            continue
        padded = [k for k, cell in enumerate(after) if re.match(r"0\d", cell) or before[k] == "-0"]
        if padded:
            cells = [column[padded[0]] for column in columns]
            _refuse_commas(",".join(cells[place : place + 2]), name)


def _refuse_commas(example: str, name: str) -> None:
    raise RecordingError(
        f"{name} has commas that look like decimal marks, as in {example}: write points, or separate the columns by "
        "semicolons under a line with their names"
    )


def refuse_other_names(
    named: list[list[str]], rows: Sequence[Sequence[str]], separator: str | None, name: str
) -> list[list[str]]:
    """Return lines of names, after refusing those that name more or fewer columns than the rows have.

    R names all columns except the first, which counts the rows: that column gets an empty name.

    Args:
        named: cells of the header's lines, none of which has a cell for each column.
        rows: cells of the rows.
        separator: between cells; None: blanks, which names have too.
        name: what messages call the file.

    Raises:
        RecordingError: the last line names another number of columns.
    """
    last = [cell.strip(" '\"") for cell in named[-1]] if named else []
    if len(last) < 2 or not rows or any(number(cell) is not None for cell in last):
        return named
    columns = len(rows[0])
    firsts = [number(cells[0].strip(" '\"")) for cells in rows]
    rising = [b - a == 1 for a, b in itertools.pairwise(firsts) if a is not None and b is not None]
    if len(last) == columns - 1 and len(rising) == len(firsts) - 1 and all(rising):
        return [["", *cells] for cells in named if len(cells) == len(last)]
    if separator is None:
        return named
    if separator == "," and all(_WHOLE.fullmatch(cell.strip()) for cells in rows for cell in cells):
        _refuse_commas(",".join(cell.strip() for cell in rows[-1])[:_SHOWN], name)
    told = ", ".join(last)
    told = told if len(told) <= _SHOWN else f"{told[:_SHOWN]} ..."
    raise RecordingError(
        f"{name} names {len(last)} columns ({told}) above rows of {columns} cells: name each column, or begin the line "
        "with # if it names none"
    )


def are_column_numbers(rows: Sequence[Sequence[str]], decimal: str) -> bool:
    """Say whether the first row numbers the columns from 0, as pandas does, or from 1.

    The row holds samples instead if the first column goes on evenly from it, or if the values below are like it: whole
    numbers that lie around it.
    """
    if not rows:
        return False
    count = len(rows[0])
    start = next((k for k in (0, 1) if [cell.strip() for cell in rows[0]] == [str(k + n) for n in range(count)]), None)
    if start is None or count < 2 or len(rows) < 3:
        return False
    below = [[number(cell, decimal) for cell in cells] for cells in rows[1:]]
    if any(value is None for cells in below for value in cells):
        return False
    first, second = float(below[0][0] or 0.0), float(below[1][0] or 0.0)
    if first > start and abs(second - 2 * first + start) < 1e-3 * (first - start):
        return False
    for place in range(count):
        values = [float(cells[place] or 0.0) for cells in below]
        written = any(not _WHOLE.fullmatch(cells[place].strip()) for cells in rows[1:])
        if not (written or start + place < min(values) or start + place > max(values)):
            return False
    return True


def cells_without_end(cells: list[str]) -> list[str]:
    """Return the cells of a row, two or more, without the empty ones at its end."""
    kept = len(cells)
    while kept > 1 and not cells[kept - 1].strip():
        kept -= 1
    return cells[:kept]


def column_without_numbers(lines: Sequence[str], name: str) -> str:
    """Return what is wrong with lines that no separator splits into rows of numbers; empty if that is not known.

    It is known where a column is empty, or holds text, beside columns of numbers.
    """
    best: tuple[int, str, list[tuple[int, list[str]]]] = (0, "", [])
    for separator in ("\t", ";", ",", "|"):
        split = [(k, next(csv.reader([line], delimiter=separator), [])) for k, line in enumerate(lines[:_LOOKED_AT], 1)]
        rows = [(k, cells) for k, cells in split if any(_is_number(cell) for cell in cells) and len(cells) > 1]
        length = Counter(len(cells) for _, cells in rows).most_common(1)
        if length and length[0][1] > best[0]:
            best = (length[0][1], separator, [(k, cells) for k, cells in rows if len(cells) == length[0][0]])
    seen, separator, rows = best
    if seen < 2 or 2 * seen < len([line for line in lines[:_LOOKED_AT] if line.strip()]):
        return ""
    for column in range(len(rows[0][1])):
        line, cells = rows[1]  # the first may be a header
        if all(not _is_number(own[column]) for _, own in rows[1:]):
            what = f"text: {cells[column].strip()[:_SHOWN]!r}" if cells[column].strip() else "nothing"
            header = next(csv.reader(lines[:1], delimiter=separator), [])
            label = header[column].strip() if len(header) == len(cells) and rows[0][0] > 1 else ""
            named = f" ({label[:_SHOWN]})" if label else ""
            return (
                f"{name} has {what} in column {column + 1}{named}, as in line {line}: leave that column out, or "
                "fill it with numbers"
            )
    return ""


def two_decimal_marks(lines: Sequence[str], name: str) -> str:
    """Return what is wrong with lines that have decimal points and decimal commas; empty if no line has both."""
    for number_of_line, line in enumerate(lines[:_LOOKED_AT], 1):
        for separator in ("\t", ";", "|"):
            cells = [cell.strip() for cell in line.split(separator)]
            marks = {mark for mark in ".," for cell in cells if mark in cell}
            if len(marks) == 2 and len(cells) > 1 and all(map(_is_number, cells)):
                example = separator.join(cells)[:_SHOWN]
                return f"{name} has decimal points and decimal commas, as in line {number_of_line}: {example!r}"
    return ""


def _is_number(cell: str) -> bool:
    return number(cell) is not None or number(cell, ",") is not None

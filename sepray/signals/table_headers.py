"""Reads what headers of tables say beside names: the rate, in words or as LabChart and Empatica's devices write it."""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Sequence

from .table_checks import cells_without_end
from .time_cells import names_counter, names_time, number

COMMENT = ("#", "%")
"""First characters of a line that is a comment."""

_NUMBER = r"\d{1,20}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?"
_SAID_RATE = re.compile(  # of bounded length: otherwise a long line of such words would take for ever
    r"sampl\w{0,20}[ _-]{0,4}(?:rate|freq\w{0,10})\W{0,20}?(?:\(?(k?hz)\)?\W{0,20})?"
    rf"({_NUMBER})[ \t]{{0,4}}(khz)?",
    re.IGNORECASE,
)
_SAID_FS = re.compile(  # in Hz, and no full scale in volts
    rf"(?<![\w(])fs {{0,9}}(?:[(\[]?(k?hz)[)\]]?)? {{0,9}}[:= ] {{0,9}}({_NUMBER})(?![\d.]|,\d)"
    r"(?: {0,9}(k?hz)\b|(?! {0,9}[a-zµ%]))",
    re.IGNORECASE,
)
_FS_CELL = re.compile(
    r"(\W{0,9}fs\b[^,;|\t\d]{0,9})[,;|\t]", re.IGNORECASE
)  # a first cell, with its value in the next one
_INTERVAL = re.compile(rf"Interval=[ \t]{{0,9}}((?i:{_NUMBER}))[ \t]{{0,9}}(s|ms|us)?[ \t]{{0,9}}")
_INTERVAL_UNITS = {"": 1.0, "s": 1.0, "ms": 1e3, "us": 1e6}
_SAID_INTERVAL = re.compile(
    r"sampl\w{0,20}[ _-]{0,4}(?:interval|period)[\W_]{0,20}?(?:([mµμu]?s)(?:ec)?[\W_]{1,20}?)?"
    rf"({_NUMBER})(?![\d.]|,\d)[ \t]{{0,4}}([mµμu]?s)?\b",
    re.IGNORECASE,
)
_UNIT = re.compile(  # of time or of samples, or none
    r"\W*(?:(?:[pnuµμmk]|milli|micro)?(?:v(?:olts?)?|s(?:ec(?:onds?)?)?|pa|g|hz)|h(?:ours?)?|min(?:utes?)?|mmhg|bpm"
    r"|adu|au|a\.u\.|lsb|counts?|hh:mm:ss\S{0,9}|mm:ss\S{0,9}|)\W*",
    re.IGNORECASE,
)
_KEY = re.compile(r"[A-Za-z]\w{0,40}=(?:\t|$)")  # of a line of LabChart's header
_VALUE = (  # a number, perhaps with a unit, or a date
    r"[+\u2212-]?\d+(?:[.:/-]\d+){0,6}(?:e[+-]?\d+)?(?: {0,3}[a-zµμ/%]{1,20})?"
)
_PAIR = re.compile(  # a word and its value
    rf"\s*[\"']?(?=[^\d\W])([^,;|\t:=]{{1,80}}?)[\"']?\s{{0,9}}[,;|\t:=]\s{{0,9}}[\"']?{_VALUE}[\"']?[\s,;|]{{0,99}}",
    re.IGNORECASE,
)
_AROUND = " \t,;|'\""  # characters that may surround a word or a number
_EMPATICA = ((1e9, 1e17), (1e-3, 1e4))  # limits of its two header rows: the Unix time of the start, and the rate
_E4_RATES = (1, 4, 32, 64)  # of the signals of a device that writes its start as a date
_LOOKED_AT = 100  # lines, in which Empatica's rows are looked for


def is_comment(line: str) -> bool:
    """Say whether a line is a comment."""
    return line.lstrip().startswith(COMMENT)


def is_setting(line: str) -> bool:
    """Say whether a line of a header is a setting of LabChart's (``Name=value``), which names no columns."""
    return _KEY.match(line) is not None


def states_a_value(line: str) -> bool:
    """Say whether a line of a header is only a word and its value, as ``Gain,0.5`` or ``Date: 2020-01-01``."""
    return _PAIR.fullmatch(line) is not None


def are_units(cells: Sequence[str]) -> bool:
    """Say whether the cells of a line of a header are units, and no names."""
    return any(map(str.strip, cells)) and all(len(cell) < 20 and _UNIT.fullmatch(cell) for cell in cells)


def said_rate(header: Sequence[str]) -> float | None:
    """Return the rate in Hz that a header's lines state, perhaps by an interval; None if they state none or several."""
    plain = [line.replace('"', "") for line in header]
    said = {
        float(value) * (1000 if "k" in (before + after).lower() else 1)
        for line in plain
        for before, value, after in (
            *_SAID_RATE.findall(line),
            *_SAID_FS.findall(_FS_CELL.sub(r"\1:", line, count=1) if _FS_CELL.match(line) else line),
        )
        if float(value) > 0
    }
    for line in plain:
        for before, value, after in _SAID_INTERVAL.findall(line):
            unit = re.sub("[µμ]", "u", (after or before).lower())
            if unit and float(value) > 0:
                said.add(round(_INTERVAL_UNITS[unit] / float(value), 6))
    for line in header:
        found = _INTERVAL.fullmatch(line)
        if found is not None and float(found[1]) > 0:
            said.add(round(_INTERVAL_UNITS[found[2] or ""] / float(found[1]), 6))
    return said.pop() if len(said) == 1 else None


def rate_below(lines: Sequence[str], start: int) -> tuple[float, tuple[str, ...], int] | None:
    """Return the rate in the first row of a table of one column, where a line such as ``Sample rate`` is above it.

    Args:
        lines: lines of the file.
        start: place of the first row of numbers.

    Returns:
        the rate in Hz; the name of the column, from a line between rate and samples (empty where there is none); and
        how many lines from ``start`` on are no samples. None: the first row is a sample.
    """
    word = next((line.strip(_AROUND) for line in reversed(lines[:start]) if line.strip()), "")
    rate = said_rate([f"{word} {lines[start].strip(_AROUND)}"]) if said_rate([word]) is None else None
    if rate is None or len(lines) <= start + 1:
        return None
    name = lines[start + 1].strip(_AROUND)
    named = number(name) is None and any(map(str.isalpha, name))
    return rate, (name,) if named else (), 1 + named


def channel_titles(header: Sequence[str], columns: int) -> list[str]:
    """Return a name for each column from LabChart's line of the channels' titles; none where there is no such line.

    If there is one column more than titles, the first column has an empty name.
    """
    titles = next((line.split("\t")[1:] for line in header if line.startswith("ChannelTitle=\t")), [])
    while len(titles) > 1 and not titles[-1].strip():
        titles = titles[:-1]
    return titles if len(titles) == columns else ["", *titles] if titles and len(titles) == columns - 1 else []


def naming_comment(named: Sequence[list[str]], columns: int, rises: bool) -> list[str]:
    """Return the cells of the comment that names the columns: one that names a first column of times, else the last.

    Args:
        named: cells of each comment.
        columns: number of columns.
        rises: whether the first column may be times or numbers of samples.
    """
    for cells in reversed(named if rises else ()):
        label = cells[0].strip(" '\"") if len(cells) == columns else ""
        if any(map(str.isalpha, label)) and (names_time(label, True, numbered=True) or names_counter(label)):
            return cells
    return named[-1]


def empatica(lines: Sequence[str], start: int, separator: str | None, decimal: str) -> tuple[int, float] | None:
    """Return length and rate of Empatica's header, if a table has one.

    The header is two rows of numbers, the Unix time of the start and the rate, or a row with that time as a date and a
    row with the rate. Each row has the same cell for all columns.

    Args:
        lines: lines of the file.
        start: place of the first row of numbers.
        separator: text between cells; None: blanks.
        decimal: decimal mark.

    Returns:
        how many lines from ``start`` on belong to the header, and the rate in Hz; None: there is no such header.
    """
    rows = [(place, line) for place, line in enumerate(lines) if line.strip() and not is_comment(line)]
    before = [line for place, line in rows if place < start][-1:]
    found = [(k, _split(line, separator)) for k, line in rows if start <= k < start + _LOOKED_AT]
    if len(found) < 3:
        return None
    values = [[number(cell, decimal) for cell in cells] for _, cells in found[:3]]
    (limits, rates), first = _EMPATICA, values[0][0]
    if before and _is_date(before[0], separator, len(values[0])) and _is_dated_rate(found, decimal):
        return found[0][0] + 1 - start, float(first or 0.0)
    if any(len(set(row)) != 1 for row in values[:2]):
        return None
    rate = values[1][0]
    if first is None or rate is None or not (limits[0] <= first <= limits[1] and rates[0] <= rate <= rates[1]):
        return None
    if any(value is None or value >= limits[0] for value in values[2]):
        return None
    return found[1][0] + 1 - start, float(rate)


def _is_date(line: str, separator: str | None, columns: int) -> bool:
    """Say whether each cell of a line, one for each column, is the same date with a time."""
    cells = {cell.strip(" '\"") for cell in (_split(line, separator) if separator else [line.strip()])}
    if len(cells) != 1 or (separator and len(_split(line, separator)) != columns):
        return False
    date = cells.pop()
    try:
        datetime.datetime.fromisoformat(date)
    except ValueError:
        return False
    return ":" in date


def _is_dated_rate(rows: Sequence[tuple[int, list[str]]], decimal: str) -> bool:
    """Say whether the first row is a rate of Empatica's, and no sample.

    A rate has more or fewer digits after the decimal mark than samples have, or six digits and lies beyond all samples.
    """
    first = {cell.strip() for cell in rows[0][1]}
    text = first.pop()
    rate = number(text, decimal)
    below = [cell.strip() for _, cells in rows[1:] for cell in cells]
    if first or rate not in _E4_RATES or decimal not in text:
        return False
    digits = {_digits(cell, decimal) for cell in below}
    samples = [number(cell, decimal) for cell in below]
    if any(value is None for value in samples):
        return False
    known = [value for value in samples if value is not None]
    beyond = _digits(text, decimal) == 6 and not min(known) <= rate <= max(known)
    return beyond or (len(digits) == 1 and _digits(text, decimal) not in digits)


def _digits(cell: str, decimal: str) -> int:
    return len(cell.partition(decimal)[2])


def _split(line: str, separator: str | None) -> list[str]:
    cells = next(csv.reader([line], delimiter=separator), []) if separator else line.split()
    return cells_without_end(cells)


def open_signals(comments: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the columns of an OpenSignals file (biosignalsplux, BITalino), and the numbers of those without samples.

    The columns of several devices stand side by side.
    """
    for line in comments:
        try:
            devices = json.loads(line)
        except (ValueError, RecursionError):
            continue
        columns: list[str] = []
        others: list[int] = []
        for device in devices.values() if isinstance(devices, dict) else ():
            column, label = (device.get(key) for key in ("column", "label")) if isinstance(device, dict) else (0, 0)
            if isinstance(column, list) and isinstance(label, list) and label:
                own, signals = list(map(str, column)), set(map(str, label))
                if signals <= set(own):
                    others += [len(columns) + place for place, one in enumerate(own) if one not in signals]
                columns += own
        if columns:
            return tuple(columns), tuple(others)
    return (), ()

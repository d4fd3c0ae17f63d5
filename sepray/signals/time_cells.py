"""Reads cells of tables (a number, a clock time or a date), and tells from a column's name what the column holds.

Clock times are ``mm:ss.mmm``, ``hh:mm:ss`` (also of twelve hours, with AM or PM) or PhysioNet's
``[hh:mm:ss.mmm dd/mm/yyyy]``, dates ISO 8601.
"""

from __future__ import annotations

import datetime
import re

EXACT_DIGITS = 15
"""Digits of a whole number that a float holds."""

MINUS = "\u2212"
"""The minus sign of typography, which some locales write before negative numbers."""

_LONGEST = 80  # characters of a time: in a long run of digits, a clock time would be looked for at each digit
_NEVER = 1e15  # seconds after which a time with days begins again: later than any

_TIME = re.compile(r"time.*|date.*|.*stamps?|elapsed|(uhr)?zeit|temps|tiempo")
_TIME_AS_FIRST = re.compile(r"ts?|sec|secs|seconds?|m?s|msec|clock")
_UNITS = (
    (r"(milli|m)s(ec)?|milli(second)?s?", 1e-3),
    (r"[uµμ]s(ec)?|micro(second)?s?", 1e-6),
    (r"ns(ec)?|nano(second)?s?", 1e-9),
    (r"s|secs?|seconds?", 1.0),
    (r"min|mins|minutes?", 60.0),
    (r"h|hours?", 3600.0),
    (r"days?|datenum", 86400.0),
)
_COUNTER = re.compile(r"|samples?|index|idx|nseq|seq|sequence|counter|count|frames?|packets?|rows?|unnamed|n|no|nr|id")
_LEAD = re.compile(
    r"i{1,3}|av[rlf]|v|mli{1,3}|leads?|channels?|ch|e[ck]g|e[em]g|ppg|pleth.*|bvp|resp.*|a?bp|abd.*|signals?"
)
_WORD = re.compile(r"([a-zµμ]+)(?:[ _.-]?(\d))?")  # a word, and a digit behind it
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,4}):(\d{2})(?:[.,](\d+)|:(\d{3,6}))?(?![\d:])")
_HALF_DAY = re.compile(r"\s?([ap])\.?m\b")  # after a clock time
_DAYS = re.compile(r"(-?\d+) days? ")  # before a clock time, as pandas writes it


def names_time(label: str, first: bool, numbered: bool = False) -> bool:
    """Say whether a column's name says that it is time; the first column's may be as short as ``t`` or ``ms``.

    A short name with a number behind it, such as ``T1`` or ``s_1``, is rather a lead's.

    Args:
        label: the column's name.
        first: whether it is the first column.
        numbered: whether short names with a number count as names of times, too.
    """
    found = [(word[1], bool(word[2])) for word in _WORD.finditer(label.lower())][:3]
    return surely_names_time(label) or any(
        first and (numbered or not with_number) and _TIME_AS_FIRST.fullmatch(word) for word, with_number in found
    )


def surely_names_time(label: str) -> bool:
    """Say whether a column's name has a word for time, longer than the short names of leads and units."""
    return any(map(_TIME.fullmatch, words(label)[:3]))


def named_unit(label: str) -> float | None:
    """Return the unit in seconds that a column's name states; None if it does not."""
    for word in words(label):
        for pattern, unit in _UNITS:
            if re.fullmatch(pattern, word):
                return unit
    return None


def names_counter(label: str) -> bool:
    """Say whether a column's name, or its lack of one, says that it counts samples."""
    return _COUNTER.fullmatch((words(label) or [""])[0]) is not None


def names_lead(label: str) -> bool:
    """Say whether a column's name is that of a lead or another signal of a patient."""
    return _LEAD.fullmatch((words(label) or [""])[0]) is not None


def time_of(cell: str, decimal: str = ".") -> tuple[float, float] | None:
    """Return the time in a cell, and the period after which such times begin again at 0 (0: never); None if no time.

    A plain number is in an unknown unit, all other times are in seconds. A date without a time zone is taken as UTC,
    where no hour is skipped or repeated.
    """
    text = cell.strip().strip("'\"[]").strip()
    if len(text) > _LONGEST:
        return None
    if (before := _DAYS.match(text)) is not None:
        text = text[before.end() :]
    elif (value := number(text, decimal)) is not None:
        return value, 0.0
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        found = _CLOCK.search(text)
        if found is None or re.search(r"[a-z]{3}", text.lower()):
            return None
        hours, minutes, seconds, fraction, thousandths = found.groups()
        clock = float(minutes) * 60 + float(seconds) + float(f"0.{fraction or thousandths or 0}")
        if hours is not None and int(hours) <= 12 and (half := _HALF_DAY.match(text.lower(), found.end())) is not None:
            hours = str(int(hours) % 12 + 12 * (half[1] == "p"))
        if before is not None:
            return float(before[1]) * 86400 + float(hours or 0) * 3600 + clock, _NEVER
        return (clock, 3600.0) if hours is None else (clock + float(hours) * 3600, 86400.0)
    return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp(), 0.0


def number(cell: str, decimal: str = ".") -> float | None:
    """Return the number in a cell, as an ``int`` where it has many digits; None if there is none."""
    text = cell.strip().replace(MINUS, "-")
    if "_" in text:  # which Python takes for a mark between digits: 1_1 is a name
        return None
    if decimal == ",":
        if "." in text:
            return None
        text = text.replace(",", ".")
    try:
        return int(text) if len(text) > EXACT_DIGITS and text.isdigit() else float(text)
    except ValueError:
        return None


def words(label: str) -> list[str]:
    """Return the words of a column's name, in small letters."""
    return [word for word in re.split(r"[^a-zµμ]+", label.lower()) if word]

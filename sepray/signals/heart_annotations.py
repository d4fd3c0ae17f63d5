"""Annotations of real recordings: when a heart beats, or how fast, in files beside the recording.

For a recording ``NAME.SUFFIX`` and a source such as ``fetal``, these are looked for in this order:

- ``NAME.fetal.csv``: times of beats in seconds, one in a line; lines of words (a header) are left out. They are on the
  recording's own clock where it has a column of times (``recording_clock``), else from its first sample;
- ``NAME.fqrs`` or ``NAME.qrs`` (WFDB): fetal beats, as in PhysioNet's fetal ECG; ``NAME.atr``: beats of the first
  heart; ``NAME.SUFFIX.qrs`` too, as beside EDF files;
- a row of ``rates.csv`` in the folder: ``record,source,rate``, in beats a minute, 0 for a heart that is not there. A
  column ``leads`` may name the leads that are scored, counted from 1: ``1-5`` or ``1 3``.
"""

from __future__ import annotations

import csv
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..disk.files import refuse_links
from ..plain_text import in_one_line
from .recording_clock import Clock
from .recording_types import RecordingError
from .wfdb_annotations import read_beats

RATES = "rates.csv"
"""Name of the table of rates in a folder of recordings."""

_FETAL, _FIRST = ("fqrs", "qrs"), ("atr",)
_MOST_BYTES = 1 << 24  # of a file of beats
_MOST_TABLE_BYTES = 1 << 22  # of a table of rates: a hundred thousand records
_MOST_LEADS = 4096
_MOST_LEADS_IN_ALL = 1 << 18  # of a table; a text that occurs again is counted once
_MOST_COLUMNS = 64


@dataclass(frozen=True)
class Annotation:
    """Known beats or rates of one heart in a recording.

    Attributes:
        rate: beats a minute; 0 where there is no such heart, NaN where only the beats are known.
        beats: times of its beats in seconds from the first sample; None where only the rate is known.
        origin: name of the file of the annotation.
    """

    rate: float
    beats: NDArray[np.float64] | None
    origin: str

    @property
    def absent(self) -> bool:
        """Say whether the recording has no such heart."""
        return self.rate == 0

    def rate_in(self, start: float, stop: float) -> float:
        """Return beats a minute between two times in seconds, by the median interval; NaN with fewer than three."""
        if self.beats is None:
            return self.rate
        inside = self.beats_in(start, stop)
        interval = float(np.median(np.diff(inside))) if len(inside) > 2 else math.nan
        return 60 / interval if interval > 0 else math.nan

    def beats_in(self, start: float, stop: float) -> NDArray[np.float64]:
        """Return the beats ``[beat]`` from ``start`` to before ``stop``, in seconds from ``start``."""
        times = np.empty(0) if self.beats is None else self.beats
        return times[(times >= start) & (times < stop)] - start


@dataclass(frozen=True)
class Row:
    """A row of ``rates.csv`` for one record: rates by source, and the leads that are scored (none: all)."""

    rates: Mapping[str, float]
    leads: tuple[int, ...] = ()


def read_rates(folder: Path) -> dict[str, Row]:
    """Return the rows of the table of rates in a folder, by the records' names as the table has them.

    Raises:
        RecordingError: the table lacks a column, or a row is wrong.
        UsageError: the table is a link that leads out of the folder.
    """
    path = folder / RATES
    if not path.is_file():
        return {}
    refuse_links([path], folder)
    if path.stat().st_size > _MOST_TABLE_BYTES:
        raise RecordingError(f"{path} is too large for a table of rates")
    rows: dict[str, Row] = {}
    known = _Leads()
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file, skipinitialspace=True)
            missing = {"record", "source", "rate"} - set(reader.fieldnames or ())
            if missing:
                raise RecordingError(
                    f"{path} lacks the column {sorted(missing)[0]}: its first line is record,source,rate"
                )
            if (columns := len(reader.fieldnames or ())) > _MOST_COLUMNS:
                raise RecordingError(f"{path} is no table of rates: it has {columns} columns")
            for row in reader:
                name = PurePosixPath((row["record"] or "").strip().replace("\\", "/")).as_posix()
                leads = known.read(row.get("leads") or "", f"{path}, line {reader.line_num}")
                rate = _rate(row["rate"], f"{path}, line {reader.line_num}")
                one = Row({(row["source"] or "").strip(): rate}, leads)
                rows[name] = _merged(rows.get(name), one, f"{path}, line {reader.line_num}")
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecordingError(f"{path} is no table of rates: {error}") from None
    return rows


def row_of(rows: Mapping[str, Row], record: str) -> Row | None:
    """Return the row of a record, whose name in the table may lack the suffix of its file; None where there is none.

    Args:
        rows: as ``read_rates`` returns them.
        record: path of the recording within the folder.

    Raises:
        RecordingError: there are rows with and without the suffix, with different rates of one source.
    """
    names = (record, PurePosixPath(record).with_suffix("").as_posix())
    found: Row | None = None
    for name in names:
        if name in rows:
            found = _merged(found, rows[name], f"{RATES}, {name}")
    return found


def unused(rows: Mapping[str, Row], records: Sequence[str], sources: Sequence[str]) -> tuple[str, ...]:
    """Return a note on each rate in the table that belongs to no recording, or to no heart that is scored.

    Args:
        rows: as ``read_rates`` returns them.
        records: paths of all recordings within the folder.
        sources: the hearts that are scored.
    """
    known = {name for record in records for name in (record, PurePosixPath(record).with_suffix("").as_posix())}
    notes = []
    for name, row in rows.items():
        if name not in known:
            same = [r for r in records if PurePosixPath(r).stem == PurePosixPath(name).stem or r.startswith(f"{name}.")]
            hint = f"; is it {same[0]}?" if same else ""
            notes.append(f"{RATES} has a rate of {name}, and there is no such recording{hint}")
        else:
            other = [source for source in row.rates if source not in sources]
            notes += [f"{RATES} has a rate of {s} in {name}, and hearts are {', '.join(sources)}" for s in other]
    return tuple(notes)


def _merged(known: Row | None, more: Row, where: str) -> Row:
    """Return two rows as one; refuse different rates of one source."""
    if known is None:
        return more
    for source, rate in more.rates.items():
        if known.rates.get(source, rate) != rate:
            raise RecordingError(
                f"{where}: {in_one_line(source)[:60]} has two rates, {known.rates[source]:g} and {rate:g}"
            )
    return Row({**known.rates, **more.rates}, more.leads or known.leads)


def annotation(
    path: Path, source: str, sources: Sequence[str], rate: float, row: Row | None, clock: Clock | None = None
) -> Annotation | None:
    """Return the annotation of one source of a recording; None where nothing is known.

    Args:
        path: the recording.
        source: name of the source.
        sources: names of all sources with a heart; ``.atr`` belongs to the first.
        rate: sampling rate of the recording in Hz, for WFDB annotations, which are in samples.
        row: the recording's row in the table of rates.
        clock: clock of the recording, on which times of beats may be; None: it has none.

    Raises:
        RecordingError: an annotation is damaged.
        UsageError: the file of an annotation is a link that leads out of the recording's folder.
    """
    beside = _beside(path, source)
    if beside.is_file():
        refuse_links([beside], path.parent)
        times = _times(beside, least=0.0 if clock is None else -math.inf)
        return Annotation(math.nan, times if clock is None else clock.from_start(times), beside.name)
    extensions = (*(_FETAL if source == "fetal" else ()), *(_FIRST if source == sources[0] else ()))
    for extension in extensions:
        for record in (path.with_suffix(""), path):
            if (file := Path(f"{record}.{extension}")).is_file():
                refuse_links([file], path.parent)
                beats = read_beats(file, rate)
                return Annotation(math.nan, np.sort(beats[beats >= 0]), file.name)
    if row is not None and source in row.rates:
        return Annotation(row.rates[source], None, RATES)
    return None


def is_annotation(path: Path, sources: Sequence[str]) -> bool:
    """Return whether a file holds annotations, and no recording."""
    return path.name == RATES or any(path.name.endswith(f".{source}.csv") for source in sources)


def has_times(path: Path, sources: Sequence[str]) -> bool:
    """Return whether a file of beats in seconds lies beside a recording, for any of the sources."""
    return any(_beside(path, source).is_file() for source in sources)


def _beside(path: Path, source: str) -> Path:
    return path.with_name(f"{path.stem}.{source}.csv")


def _times(path: Path, least: float) -> NDArray[np.float64]:
    if path.stat().st_size > _MOST_BYTES:
        raise RecordingError(f"{path} is too large for times of beats")
    times = array("d")  # 8 bytes for each, unlike a list's objects
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.strip().rstrip(",;")
            try:
                times.append(_number(text))
            except ValueError:
                if text.lstrip("+-")[:1].isdigit():  # a decimal comma, a clock time or a second column
                    shown = f"{_short(text)} in line {number}"
                    raise RecordingError(f"{path} has {shown}: it needs seconds such as 1.25, one in a line") from None
    found = np.sort(np.array(times, dtype=np.float64))
    if not len(found) or not np.isfinite(found).all() or found[0] < least:
        raise RecordingError(f"{path} has no times of beats: it needs seconds from the first sample, one in a line")
    return found


def _number(text: str) -> float:
    """Return a number, which Python would read as 11 if it were ``1_1``.

    Raises:
        ValueError: the text is no number.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _rate(text: str | None, where: str) -> float:
    try:
        rate = _number((text or "").strip() or "nan")
    except ValueError:
        rate = math.nan
    if not (rate == 0 or 10 <= rate <= 400):
        raise RecordingError(
            f"{where}: a rate is beats a minute, or 0 where there is no such heart, not {_short(text)}"
        )
    return rate


class _Leads:
    """The leads of a table's rows; each text is read once, because a few letters may stand for thousands of leads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, ...]] = {}
        self._total = 0

    def read(self, text: str, where: str) -> tuple[int, ...]:
        if text not in self._known:
            self._known[text] = _leads(text, where)
            self._total += len(self._known[text])
            if self._total > _MOST_LEADS_IN_ALL:
                raise RecordingError(f"{where}: there are more than {_MOST_LEADS_IN_ALL} leads up to here")
        return self._known[text]


def _leads(text: str, where: str) -> tuple[int, ...]:
    """Return the numbers, from 0, of leads such as ``1-5`` or ``1 3``."""
    leads: list[int] = []
    for part in text.replace(";", " ").split():
        found = re.fullmatch(r"0*(\d{1,4})(?:-0*(\d{1,4}))?", part, re.ASCII)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= _MOST_LEADS:
            raise RecordingError(f"{where}: leads are numbers from 1, such as 1-5 or 1 3, not {_short(text)}")
        if len(leads) + last - first >= _MOST_LEADS:
            raise RecordingError(f"{where}: {_short(text)} are more than {_MOST_LEADS} leads")
        leads += range(first - 1, last)
    return tuple(leads)


def _short(text: str | None) -> str:
    return repr(in_one_line(text or "")[:60])

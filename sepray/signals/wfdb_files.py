"""WFDB records (PhysioNet's format): a header ``NAME.hea`` and the signals, mostly ``NAME.dat``; read by library wfdb.

Signals of several rates in one record keep their rates. The segments of a multi-segment record are read as one signal.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..disk.files import refuse_links
from ..errors import MissingLibraryError, UsageError
from ..plain_text import in_one_line
from .recording_types import check_promise, check_rate

_LARGEST_HEADER = 1 << 20  # bytes: enough for tens of thousands of segments
_MOST_SIGNALS = 1024  # in a header: wfdb takes a millisecond for each
_LONGEST_NAME = 200  # characters of a file's name
_NOTHING = "~"  # the name of a gap between segments, and of the file of a signal that has no samples
_MOST_SAMPLES = 64  # for each byte of a record's files: they may be compressed, or have long gaps between segments


class Signals(NamedTuple):
    """Signals of a file, each at its own rate.

    Attributes:
        names: names of the signals.
        units: their units.
        rates: their rates in Hz.
        samples: their samples ``[time]``, float64.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    rates: tuple[float, ...]
    samples: tuple[NDArray[np.float64], ...]


def read_channel(header: Path, channel: Callable[[Sequence[str]], int | None]) -> tuple[NDArray[np.float64], float]:
    """Return one channel ``[time]`` of a WFDB record in its physical unit, and its rate in Hz.

    Args:
        header: the record's ``.hea`` file.
        channel: function that takes the names of all channels and returns the number of the chosen one, or None if it
            chooses none, which is refused.

    Raises:
        MissingLibraryError: the library wfdb is not installed.
        UsageError: the record is damaged, cut short or silent, has a sample that is not a number, or lacks the channel.
    """
    found = read_signals(header, channel)
    (name,), (samples,), (rate,) = found.names, found.samples, found.rates
    missing = ~np.isfinite(samples)
    if missing.any():
        seconds = int(np.argmax(missing)) / rate
        raise UsageError(f"{header} has a sample that is not a number, in {name} at {seconds:.6g} s")
    if not len(samples) or np.ptp(samples) == 0:
        raise UsageError(f"{header} is silent: {name} has no sample that differs from another")
    return samples, rate


def read_signals(header: Path, channel: Callable[[Sequence[str]], int | None] | None = None) -> Signals:
    """Return the signals of a WFDB record in their physical units; missing samples are NaN.

    Args:
        header: the record's ``.hea`` file, in small or capital letters.
        channel: function that chooses one, as for ``read_channel``; None: all channels are read.

    Raises:
        MissingLibraryError: the library wfdb is not installed.
        UsageError: the record is damaged or cut short, lacks the channel, names a link out of its folder, or has ``::``
            in its path.
    """
    wfdb = _wfdb()
    _refuse_links(header)
    _refuse_repeated_segments(header)
    _refuse_missing_files(header)
    with _in_small_letters(header) as record:
        try:
            described = wfdb.rdheader(record, rd_segments=True)
            several = hasattr(described, "get_sig_name")  # segments
            names = [str(name) for name in (described.get_sig_name() if several else described.sig_name) or ()]
        except Exception as error:  # wfdb lets errors of any kind through
            raise UsageError(f"{header} is no sound WFDB header: {_one_line(error)}") from None
        _check_promises(header, described, len(names))
        numbers = list(range(len(names)))
        if channel is not None:
            chosen = channel(names)
            if chosen is None or not 0 <= chosen < len(names):
                has = ", ".join(names) or "none"
                raise UsageError(f"{header} does not have the channel that is wanted; it has {has}")
            numbers = [chosen]
        try:
            read = wfdb.rdrecord(record, channels=numbers, smooth_frames=False)
            samples = tuple(np.asarray(values, dtype=np.float64) for values in read.e_p_signal)
            rates = tuple(float(read.fs) * frame for frame in read.samps_per_frame)
            units = tuple(str(unit) for unit in read.units)
        except Exception as error:
            if several and "~" in list(getattr(described, "seg_name", None) or ()):
                parts = [f"{part}.hea" for part in _named(header)[0]]
                raise UsageError(
                    f"{header} has a gap between its segments: give them one by one, {', '.join(parts[:3])}"
                    f"{' ...' if len(parts) > 3 else ''}"
                ) from None
            raise UsageError(f"{header} is damaged or cut short: {_one_line(error)}") from None
    return Signals(tuple(names[number] for number in numbers), units, rates, samples)


def _refuse_links(header: Path) -> None:
    """Refuse a record whose files are links that lead out of its folder, or whose header has impossible names."""
    if "::" in str(header.absolute()):  # wfdb would open what is before the ::, a file that has not been checked
        raise UsageError(f"{header} has :: in its path, which wfdb takes for an address: rename the file or folder")
    waiting, seen, listed = [header], {header}, _listed(header.parent)
    while waiting:
        one = waiting.pop()
        named, (lines, are_segments) = files_of(one), _named(one)
        if not are_segments and len(lines) > _MOST_SIGNALS:
            raise UsageError(f"{one} has {len(lines)} signals, and a record has at most {_MOST_SIGNALS}")
        if wrong := [name for name in lines if not _is_possible(name)]:
            raise UsageError(f"{header} is no sound WFDB header: it names {in_one_line(wrong[0])[:60]!r}, no such file")
        there = [path for name in {path.name.lower() for path in named} for path in listed.get(name, ())]
        refuse_links(there, header.parent)
        inner = {path for path in there if path.suffix.lower() == ".hea"} - seen  # segments may have segments
        seen |= inner
        waiting += inner


def _listed(folder: Path) -> dict[str, list[Path]]:
    """Return the files in a folder by their names in small letters."""
    found: dict[str, list[Path]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        found.setdefault(path.name.lower(), []).append(path)
    return found


def _refuse_repeated_segments(header: Path) -> None:
    """Refuse a header that names a segment twice, or itself: a small file could make a record of any length."""
    names, several = _named(header)
    if several and (len(set(names)) < len(names) or header.stem in names):
        raise UsageError(f"{header} is no sound WFDB header: it names a segment more than once")


def _refuse_missing_files(header: Path) -> None:
    """Refuse a record that lacks one of its files: wfdb's message would name a place that the user does not know."""
    names = _listed(header.parent).keys()
    for path in sorted(files_of(header)):
        if path.name.lower() not in names and path.name != _NOTHING and header.is_file():
            raise UsageError(f"{header} names {path.name}, and there is no such file beside it")


def _check_promises(header: Path, described: Any, signals: int) -> None:
    """Refuse a record whose header promises more samples than its files can hold, or a rate that cannot be."""
    try:
        check_rate(float(described.fs), str(header))
        frames = [*(getattr(described, "samps_per_frame", None) or ()), 1]
        shifts = [*(getattr(described, "skew", None) or ()), 0]
        parts = files_of(header)
        files = parts | {inner for part in parts if part.suffix == ".hea" for inner in files_of(part)}
        size = sum(path.stat().st_size for path in files if path.is_file())
        length = int(described.sig_len or 0) + max(int(shift or 0) for shift in shifts)
        check_promise(length * signals * max(int(frame or 1) for frame in frames), size, _MOST_SAMPLES, str(header))
    except (TypeError, OverflowError):
        raise UsageError(f"{header} is no sound WFDB header: it says what cannot be") from None


def files_of(header: Path) -> set[Path]:
    """Return the files that a record's header names: those of its signals, and the headers of its segments."""
    names, several = _named(header)
    return {header.with_name(name + ".hea" if several else name) for name in names if _is_possible(name)}


def frame_rate(header: Path) -> float | None:
    """Return the frames a second that a record's header states, the unit of annotations' times; None: it states none.

    Raises:
        UsageError: the header is a link that leads out of its folder.
    """
    lines = _lines(header)
    refuse_links([header], header.parent)
    said = re.match(r"[-\w]+/?\d*[ \t]+\d+[ \t]+(\d+\.?\d*)", lines[0], re.ASCII) if lines else None
    return float(said[1]) if said else None


def _is_possible(name: str) -> bool:
    return name not in (".", "..") and "/" not in name and "\0" not in name and len(name) <= _LONGEST_NAME


def _named(header: Path) -> tuple[list[str], bool]:
    """Return the files or segments that a header names, one for each of its lines, and whether they are segments.

    Names are read exactly as wfdb reads them, because it opens a file of any name: as ASCII without other bytes, and
    with ``-`` and ``~`` as names of files, except for the gap ``~`` between segments.
    """
    lines = _lines(header)
    several = bool(lines) and re.match(r"[-\w]+/\d", lines[0]) is not None
    names = [line.split()[0] for line in lines[1:]]
    return [name for name in names if not (several and name == _NOTHING)], several


def _lines(header: Path) -> list[str]:
    """Return the lines of a header that are no comments, as wfdb reads them."""
    if not header.is_file():  # such as a pipe of that name beside a recording
        return []
    if header.stat().st_size > _LARGEST_HEADER:
        raise UsageError(f"{header} is too large for a header of WFDB: {header.stat().st_size} bytes")
    try:
        lines = [line.strip() for line in header.read_text(encoding="ascii", errors="ignore").splitlines()]
    except OSError:
        return []
    return [line for line in lines if line and not line.startswith("#")]


@contextlib.contextmanager
def _in_small_letters(header: Path) -> Iterator[str]:
    """Yield a record's name for wfdb; where its files have names in capital letters, a record of links to them."""
    named = [path for path in (header, *files_of(header)) if path.suffix == ".hea" or path.is_file()]
    if header.suffix == ".hea" and len(named) == 1 + len(files_of(header)):
        yield str(header.with_suffix(""))
        return
    there = {path.name.lower(): path for path in header.parent.iterdir()} if header.parent.is_dir() else {}
    there[header.name.lower()] = header  # and no other file whose name differs only in capital letters
    with tempfile.TemporaryDirectory(prefix="sepray-") as folder:
        wanted = [Path(header.stem + ".hea"), *files_of(header)]
        for path in wanted:
            if (found := there.get(path.name.lower())) is not None:
                (Path(folder) / path.name).symlink_to(found.absolute())
        yield str(Path(folder) / header.stem)


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError:
        raise MissingLibraryError("reading WFDB records needs the library wfdb: pip install 'sepray[wfdb]'") from None
    return wfdb


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""WFDB records (PhysioNet's format): a header ``NAME.hea`` and the signals, mostly ``NAME.dat``; the library is wfdb.

Signals of several rates in one record keep theirs, and the segments of a multi-segment record are read as one signal.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingLibraryError, UsageError


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
    """Return one channel of a WFDB record in its physical unit, and its rate in Hz.

    Args:
        header: the record's ``.hea`` file.
        channel: chooses one by the names of all channels, and returns its number; None is refused.

    Raises:
        MissingLibraryError: the library wfdb is not installed.
        UsageError: the record is damaged, cut short, silent, has a sample that is not a number, or not that channel.
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
        channel: chooses one of them as for ``read_channel``; None: all.

    Raises:
        MissingLibraryError: the library wfdb is not installed.
        UsageError: the record is damaged or cut short, or has not that channel.
    """
    wfdb = _wfdb()
    with _in_small_letters(header) as record:
        try:
            described = wfdb.rdheader(record, rd_segments=True)
            several = hasattr(described, "get_sig_name")  # segments
            names = [str(name) for name in (described.get_sig_name() if several else described.sig_name) or ()]
        except Exception as error:  # wfdb lets errors of any kind through
            raise UsageError(f"{header} is no sound WFDB header: {_one_line(error)}") from None
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
            raise UsageError(f"{header} is damaged or cut short: {_one_line(error)}") from None
    return Signals(tuple(names[number] for number in numbers), units, rates, samples)


def files_of(header: Path) -> set[Path]:
    """Return the files that a record's header names: those of its signals, and the headers of its segments."""
    try:
        lines = [line.split() for line in header.read_text(encoding="latin-1").splitlines()]
    except OSError:
        return set()
    lines = [words for words in lines if words and not words[0].startswith("#")]
    several = bool(lines) and "/" in lines[0][0]
    return {header.with_name(words[0] + (".hea" if several else "")) for words in lines[1:] if words[0] not in "~-"}


@contextlib.contextmanager
def _in_small_letters(header: Path) -> Iterator[str]:
    """Give a record's name as wfdb takes it; where its files are written in capital letters, that of links to them."""
    named = [path for path in (header, *files_of(header)) if path.suffix == ".hea" or path.is_file()]
    if header.suffix == ".hea" and len(named) == 1 + len(files_of(header)):
        yield str(header.with_suffix(""))
        return
    there = {path.name.lower(): path for path in header.parent.iterdir()} if header.parent.is_dir() else {}
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

"""Recordings of several named signals: WFDB records and EDF files. They are read whole, and written as CSV.

All signals are brought to the highest of their rates. The written table has a column of time and the signals' names.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..plain_text import in_csv, in_one_line
from .edf_files import read_edf
from .overlap_add import resampled
from .recording_types import (
    BLOCK_SAMPLES,
    Block,
    Recording,
    RecordingError,
    Writer,
    as_block,
    check_promise,
    check_rate,
)
from .wfdb_files import Signals, read_signals

SUFFIXES = (".hea", ".edf", ".bdf")

_MOST_GROWTH = 64  # largest factor by which the number of samples may grow when all signals get the highest rate


@dataclass(frozen=True)
class SignalsRecording(Recording):
    """Signals that have been read from a file.

    Attributes:
        values: ``[channel, time]``.
        names: names of the channels.
        units: units of the channels.
    """

    values: Block
    names: tuple[str, ...]
    units: tuple[str, ...]
    suffix = ".csv"
    written_suffix = ".csv"

    @property
    def unit(self) -> str:
        """Unit of the samples, for the label of an axis."""
        return self.units[0] if len(set(self.units)) == 1 and self.units[0] else "as in the input"

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in blocks ``[channel, time]``, from the start."""
        for start in range(0, self.frames, BLOCK_SAMPLES):
            yield self.values[:, start : start + BLOCK_SAMPLES]

    @contextmanager
    def writer(self, path: Path, channels: int | None = None) -> Iterator[Writer]:
        """Open a table for writing, with columns of the time in seconds and of the first ``channels`` (None: all)."""
        with path.open("w", newline="", encoding="utf-8") as file:
            named = [f"{n} ({u})" if u else n for n, u in zip(self.names, self.units, strict=True)][:channels]
            cells = [in_csv(in_one_line(name.replace(",", " "))) for name in named]  # names may be any text
            csv.writer(file, lineterminator="\n").writerow(["time (s)", *cells])
            yield _Writer(file, self.rate)


class _Writer:
    clipped = 0

    def __init__(self, file: IO[str], rate: float) -> None:
        self.file, self.rate, self.written = file, rate, 0

    def write(self, block: Block) -> None:
        for row in block.T.tolist():
            cells = [f"{self.written / self.rate:.10g}", *(f"{value:.7g}" for value in row)]
            self.file.write(",".join(cells) + "\n")
            self.written += 1


def open_record_file(path: Path, rate: float | None, name: str) -> SignalsRecording:
    """Read a WFDB record by its header, or an EDF file.

    Args:
        path: the file.
        rate: the rate that the user gave, which must be the file's own; None: not given.
        name: what messages call the file.

    Raises:
        MissingLibraryError: the library wfdb is not installed.
        RecordingError: the file is no EDF, damaged, empty, or of another rate.
        UsageError: a WFDB record is damaged or empty.
    """
    signals = read_signals(path) if path.suffix.lower() == ".hea" else read_edf(path, name)
    if not signals.samples or not all(len(samples) for samples in signals.samples):
        raise RecordingError(f"{name} is empty: it has no samples")
    for own in signals.rates:
        check_rate(own, name)
    _refuse_missing(signals, name)
    fastest = max(signals.rates)
    held = sum(map(len, signals.samples))
    longest = min(len(samples) / own for samples, own in zip(signals.samples, signals.rates, strict=True)) * fastest
    check_promise(longest * len(signals.samples), held, _MOST_GROWTH, name)
    if rate is not None and not math.isclose(rate, fastest):
        raise RecordingError(f"{name} says that its rate is {fastest:g} Hz; leave out the rate of {rate:g} Hz")
    values = _at_one_rate(signals, fastest)
    return SignalsRecording(path, fastest, len(values), values.shape[1], values, signals.names, signals.units)


def _refuse_missing(signals: Signals, name: str) -> None:
    """Refuse missing samples, such as those of a lead that a segment of a WFDB record lacks; messages name the lead."""
    leads = [(lead, ~np.isfinite(samples)) for lead, samples in zip(signals.names, signals.samples, strict=True)]
    for lead, missing in leads:
        if missing.all():
            raise RecordingError(f"{name} has no sample of {lead}, which it names: give its segments one by one")
    for (lead, missing), rate in zip(leads, signals.rates, strict=True):
        if missing.any():
            start = int(np.argmax(missing))
            seconds, count = start / rate, int(np.argmin(np.append(missing[start:], False)))
            if count >= rate:
                until = f"from {seconds:.6g} to {(start + count) / rate:.6g} s"
                raise RecordingError(f"{name} has no samples of {lead} {until}: give the parts that have it one by one")
            raise RecordingError(f"{name} has a sample that is not a finite number, in {lead} at {seconds:.6g} s")


def _at_one_rate(signals: Signals, rate: float) -> Block:
    """Return ``[channel, time]`` at one rate, cut to the shortest."""
    parts = []
    for samples, own in zip(signals.samples, signals.rates, strict=True):
        part = as_block(samples[None])
        if own != rate:
            single = part.astype(np.float32)
            part = np.concatenate(list(resampled(iter([single]), own, rate)), axis=1)
        parts.append(part)
    frames = min(part.shape[1] for part in parts)
    values: Block = np.concatenate([part[:, :frames] for part in parts])
    return values

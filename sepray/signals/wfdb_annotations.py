"""Reads beats from WFDB's annotation files, within the bounds of the file.

(A damaged file makes the library wfdb go on for ever.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .recording_types import RATES, RecordingError
from .wfdb_files import frame_rate

_BEATS = frozenset((*range(1, 14), 25, 30, 34, 35, 38, 41))  # codes of beats; others are rhythms, noise, waves
_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")  # symbols of beats
_NOTE, _SKIP, _EXTRA, _TEXT = 22, 59, (60, 61, 62), 63
_MOST_BYTES = 1 << 22  # a day of beats has a quarter of a megabyte


def read_beats(path: Path, rate: float) -> NDArray[np.float64]:
    """Return the times ``[beat]`` of the beats in an annotation file, in seconds, in the file's order.

    The file gives times in samples, at the rate that it states, else at that of the record's header beside it.

    Args:
        path: the file, such as ``r.atr``; the header is ``r.hea``.
        rate: sampling rate in Hz where neither file states one.

    Raises:
        RecordingError: the file is damaged, or too large.
        UsageError: the header is a link that leads out of its folder.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise RecordingError(f"{path} is too large for an annotation of WFDB")
    content = path.read_bytes()
    try:
        samples, codes, notes = _annotations(content)
    except IndexError:
        raise RecordingError(f"{path} is no annotation of WFDB: it is damaged or cut short") from None
    own, beats = _definitions(notes)
    own = own or frame_rate(path.with_suffix(".hea")) or rate
    if not RATES[0] <= own <= RATES[1]:
        raise RecordingError(f"{path} is no annotation of WFDB: it says that its rate is {own:.6g} Hz")
    chosen = [sample for sample, code in zip(samples, codes, strict=True) if code in beats]
    return np.asarray(chosen, dtype=np.float64) / own


def _annotations(content: bytes) -> tuple[list[int], list[int], list[str]]:
    """Return samples and codes of all annotations, and the texts of the notes at sample 0, which hold definitions.

    Raises:
        IndexError: the content ends within an annotation.
    """
    samples: list[int] = []
    codes: list[int] = []
    notes: list[str] = []
    now = at = 0
    while at < len(content):
        low, high = content[at], content[at + 1]
        code, value = high >> 2, low + ((high & 3) << 8)
        at += 2
        if code == _SKIP:
            first, second, third, fourth = content[at], content[at + 1], content[at + 2], content[at + 3]
            now += int.from_bytes((third, fourth, first, second), "little", signed=True)
            at += 4
        elif code == _TEXT:
            if at + low > len(content):
                raise IndexError
            if codes and codes[-1] == _NOTE and now == 0:
                notes.append(content[at : at + low].decode("latin-1"))
            at += low + low % 2
        elif code == 0 and value == 0:
            break  # the end of the annotations
        elif code not in _EXTRA:
            now += value
            samples.append(now)
            codes.append(code)
    return samples, codes, notes


def _definitions(notes: Sequence[str]) -> tuple[float | None, frozenset[int]]:
    """Return the rate that notes state, and all codes of beats, with the changes that notes define."""
    beats = set(_BEATS)
    rate: float | None = None
    defining = False
    for note in notes:
        if rate is None and (said := re.match(r"## time resolution: (\d+\.?\d*)", note, re.ASCII)):
            rate = float(said[1])
        elif note.startswith("## "):
            defining = note == "## annotation type definitions"
        elif defining and (defined := re.match(r"(\d{1,3}) (\S+) ", note, re.ASCII)):
            (beats.add if defined[2] in _SYMBOLS else beats.discard)(int(defined[1]))
    return rate, frozenset(beats)

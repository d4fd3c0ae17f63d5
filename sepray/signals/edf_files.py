"""EDF and BDF files (European Data Format: edfplus.info/specs), in physical units and without annotations.

They are read here because wfdb's ``read_edf`` averages signals of higher rates down to the lowest rate.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .recording_types import RecordingError
from .wfdb_files import Signals

_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # of a signal's fields in the header, in characters


def read_edf(path: Path, name: str) -> Signals:
    """Return the signals of an EDF or BDF file, each at its own rate.

    Args:
        path: the file.
        name: what messages call the file.

    Raises:
        RecordingError: the file is no EDF or BDF, is cut short, has no signals, or has interruptions (EDF+D).
    """
    content = path.read_bytes()
    try:
        head = content[:256].decode("latin-1")
        length, records = int(head[184:192]), int(head[236:244])
        duration, count = float(head[244:252]) or 1.0, int(head[252:256])
        fields, at = [], 256
        for width in _WIDTHS:
            text = content[at : at + width * count].decode("latin-1")
            fields.append([text[k * width : (k + 1) * width].strip() for k in range(count)])
            at += width * count
        labels, _, units, *limits, _, samples, _ = fields
        low, high, least, most = (np.array([float(value) for value in values]) for values in limits)
        sizes = [int(value) for value in samples]
    except (ValueError, OverflowError):
        raise RecordingError(f"{name} is no EDF file: its header cannot be read") from None
    sound = count > 0 and length >= at and min(sizes) >= 0 and math.isfinite(duration) and duration > 0
    if not sound or not np.isfinite([low, high, least, most]).all():
        raise RecordingError(f"{name} is no EDF file: its header says what cannot be")
    if head[192:197] in ("EDF+D", "BDF+D"):
        raise RecordingError(f"{name} has interruptions (EDF+D), and what is between them is not known")
    if length > len(content):
        raise RecordingError(f"{name} is truncated: its header alone has {length} bytes, the file {len(content)}")
    wide = 3 if content[:1] == b"\xff" else 2
    record = wide * sum(sizes)
    there = (len(content) - length) // record if record > 0 else 0
    if records > there:
        raise RecordingError(f"{name} is truncated: {records} records were promised, {there} are there")
    frames = np.frombuffer(content, np.uint8, record * (there if records < 0 else records), length)
    numbers = _numbers(frames.reshape(-1, sum(sizes), wide)) if record else np.zeros((0, 0))
    kept = [k for k in range(count) if not labels[k].endswith("Annotations") and sizes[k] and most[k] > least[k]]
    if not kept or not len(numbers):
        raise RecordingError(f"{name} is empty: it has no samples")
    ends = np.cumsum([0, *sizes])
    gain = (high - low) / np.where(most > least, most - least, 1)
    values = [numbers[:, ends[k] : ends[k + 1]].ravel() for k in kept]
    return Signals(
        tuple(labels[k] for k in kept),
        tuple(units[k] for k in kept),
        tuple(sizes[k] / duration for k in kept),
        tuple(low[k] + gain[k] * (value - least[k]) for k, value in zip(kept, values, strict=True)),
    )


def _numbers(raw: np.ndarray) -> np.ndarray:
    """Return integers ``[record, sample]`` from their little-endian bytes ``[record, sample, byte]``."""
    if raw.shape[2] == 2:
        return np.ascontiguousarray(raw).view("<i2")[..., 0]
    wide = np.zeros((*raw.shape[:2], 4), np.uint8)
    wide[..., 1:] = raw
    return wide.view("<i4")[..., 0] >> 8

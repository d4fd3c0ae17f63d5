"""Recordings of hearts in WFDB format, the pulses in them, and who was recorded. Imports wfdb where it is used.

WFDB is PhysioNet's format: a header ``NAME.hea`` and the signals, mostly ``NAME.dat``. What cannot be read is refused
with a ValueError of one line that names the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Samples = NDArray[np.float64]
"""``[time]``."""

SPLITS = ("train", "validation", "test")
PHASES = 256
"""Samples of a pulse, from its onset to the next one's."""

_HELD_BACK = 0.15  # of the subjects, for validation and again for test
_ALIKE = 0.9  # correlation with the median pulse, of a pulse without artefacts
_PULSES = 200  # of one recording, at most


def read_record(header: Path, channel: Callable[[Sequence[str]], int | None]) -> tuple[Samples, float]:
    """Return one channel of a WFDB record in its physical unit, and its rate in Hz.

    Args:
        header: the record's ``.hea`` file.
        channel: chooses, by the names of all channels; None is refused.

    Raises:
        UsageError: the library wfdb is not installed.
        ValueError: the record is damaged, cut short, silent, has a sample that is not a number, or not that channel.
    """
    wfdb = _wfdb()
    try:
        described = wfdb.rdheader(str(header.with_suffix("")))
        names = [str(name) for name in described.sig_name or ()]
    except Exception as error:  # wfdb raises what it comes across
        raise ValueError(f"{header} is no sound WFDB header: {_said(error)}") from None
    chosen = channel(names)
    if chosen is None or not 0 <= chosen < len(names):
        raise ValueError(f"{header} does not have the channel that is wanted; it has {', '.join(names) or 'none'}")
    try:
        read = wfdb.rdrecord(str(header.with_suffix("")), channels=[chosen])
        samples = np.asarray(read.p_signal[:, 0], dtype=np.float64)
    except Exception as error:
        raise ValueError(f"{header} is damaged or cut short: {_said(error)}") from None
    missing = ~np.isfinite(samples)
    if missing.any():
        at = int(np.argmax(missing)) / read.fs
        raise ValueError(f"{header} has a sample that is not a number, in {names[chosen]} at {at:.6g} s")
    if not len(samples) or np.ptp(samples) == 0:
        raise ValueError(f"{header} is silent: {names[chosen]} has no sample that differs from another")
    return samples, float(read.fs)


def resampled(samples: Samples, rate: float, new_rate: float) -> Samples:
    """Return samples at another rate, by a polyphase filter without delay."""
    from scipy.signal import resample_poly

    ratio = Fraction(new_rate / rate).limit_denominator(10_000)
    found: Samples = resample_poly(samples, ratio.numerator, ratio.denominator, padtype="line")
    return found


def deal(names: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Return the names of recordings by split: no subject's are in two, where that can be told.

    A subject is what comes before the first underscore of a file's name (``sub01_snr00dB_l1``, ``s3_walk``); where that
    makes fewer than three of them, each recording is dealt by itself. 70, 15 and 15 percent, at least one each.

    Raises:
        ValueError: there are fewer than three recordings.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(name.rpartition("/")[2].partition("_")[0], []).append(name)
    if len(groups) < len(SPLITS):
        groups = {name: [name] for name in sorted(names)}
    if len(groups) < len(SPLITS):
        raise ValueError(
            f"{len(groups)} recordings cannot be dealt to three splits that share none; at least 3 are needed"
        )
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,))).permutation(len(groups))
    held = max(1, round(_HELD_BACK * len(groups)))
    kinds = [list(groups)[k] for k in order]
    parts = {"test": kinds[:held], "validation": kinds[held : 2 * held], "train": kinds[2 * held :]}
    return {split: [name for kind in parts[split] for name in groups[kind]] for split in SPLITS}


def sound_ones(
    names: Sequence[str], read: Callable[[str], NDArray[Any]], skip_bad: bool
) -> tuple[dict[str, NDArray[Any]], Mapping[str, str]]:
    """Return what could be read of the recordings, each only once, and of the others why not.

    Raises:
        ValueError: one could not be read, and bad ones are not to be skipped; or none could.
    """
    found: dict[str, NDArray[Any]] = {}
    left_out: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name in names:
        try:
            samples = read(name)
            first = seen.setdefault(hashlib.sha256(samples.tobytes()).hexdigest(), name)
            if first == name:
                found[name] = samples
            else:
                left_out[name] = f"{name} is a copy of {first}"
        except UsageError:
            raise
        except ValueError as error:
            if not skip_bad:
                raise ValueError(f"{error}; --task.skip-bad leaves such recordings out") from None
            left_out[name] = str(error)
    if not found:
        raise ValueError(next(iter(left_out.values()), "there is no recording"))
    return found, left_out


def pulses(samples: Samples, rate: float, period: float) -> NDArray[np.float64]:
    """Return the sound pulses of a PPG, ``[pulse, phase]``: each from 0 at its onset to 0 at the next, highest at 1.

    A beat's onset is the lowest sample before its peak. Pulses that do not resemble the median pulse (correlation below
    0.9), or are not within a third of the usual length, are artefacts and left out.

    Args:
        samples: PPG, rising with the pressure.
        rate: in Hz.
        period: seconds from beat to beat, about.
    """
    from scipy.signal import find_peaks

    spread = np.subtract(*np.percentile(samples, (95, 5)))
    peaks, _ = find_peaks(samples, distance=max(1, round(0.6 * period * rate)), prominence=0.3 * spread)
    reach = max(2, round(0.4 * period * rate))
    onsets = [peak - reach + int(np.argmin(samples[peak - reach : peak])) for peak in peaks if peak >= reach]
    usual = float(np.median(np.diff(onsets))) if len(onsets) > 2 else period * rate
    found = []
    for start, end in pairwise(onsets):
        if abs(end - start - usual) <= usual / 3:
            place = start + (end - start) * np.arange(PHASES) / PHASES
            pulse = np.interp(place, np.arange(len(samples)), samples)
            pulse = pulse - np.linspace(samples[start], samples[end], PHASES, endpoint=False)
            if pulse.max() > 0:
                found.append(pulse / pulse.max())
    if not found:
        return np.zeros((0, PHASES))
    every = np.array(found)
    alike = [np.corrcoef(pulse, np.median(every, axis=0))[0, 1] >= _ALIKE for pulse in every]
    sound: NDArray[np.float64] = every[np.array(alike)]
    return sound[np.linspace(0, len(sound) - 1, min(len(sound), _PULSES)).astype(int)] if len(sound) else sound


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError:
        raise UsageError("reading WFDB records needs the library wfdb: pip install 'sepray[wfdb]'") from None
    return wfdb


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

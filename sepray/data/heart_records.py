"""Records of hearts: choice of those to read, the pulses in a PPG, and the division of subjects among the splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Signal, Split, TaskData
from ..errors import MissingLibraryError, UsageError
from . import left_out
from .cache import cached, content_hash

Samples = NDArray[np.float64]
"""Samples of a recording, ``[time]``."""

PHASES = 256
"""Samples of a pulse, from its onset to the next one's."""

_LEFT_OUT = "left_out"  # name of the tensor that is kept beside those of recordings
_HELD_OUT = 0.15  # share of the subjects for validation, and again for test
_LEAST_CORRELATION = 0.9  # of a pulse without artefacts with the median pulse
_MOST_PULSES = 200  # of one recording


def ppg_signal(samples: int, rate: float, rates: tuple[float, float]) -> Signal:
    """Return the ``Signal`` of tasks that separate a PPG of one channel into the heart's part and the breath's.

    Args:
        samples: length of an item.
        rate: sampling rate in Hz.
        rates: lowest and highest heart rate that beats are looked for at, in beats a minute.
    """
    hearts = ("heart",)
    return Signal(
        sources=("heart", "respiration"),
        channels=1,
        shape=(samples,),
        sample_rate=float(rate),
        heart_sources=hearts,
        heart_rates=(("heart", *rates),),
        pulse_sources=hearts,
    )


def resampled(samples: Samples, rate: float, new_rate: float) -> Samples:
    """Return samples ``[time]`` at another rate (both in Hz), by a polyphase filter without delay."""
    from scipy.signal import resample_poly

    exact = Fraction(new_rate / rate)
    ratio = exact.limit_denominator(10_000) or exact.limit_denominator(100_000)
    changed: Samples = resample_poly(samples, ratio.numerator, ratio.denominator, padtype="line")
    return changed


def subjects_of(names: Sequence[str]) -> dict[str, str]:
    """Return the subject of each recording, by name; see ``split_by_subject``."""
    found = {name: name.rpartition("/")[2].partition("_")[0] for name in sorted(names)}
    return found if len(set(found.values())) >= len(SPLITS) else {name: name for name in found}


def subject_word(subjects: Mapping[str, str]) -> str:
    """Return the word for the subjects of ``subjects_of``, in the plural: recordings, where each has only one."""
    return "subjects" if len(set(subjects.values())) < len(subjects) else "recordings"


def split_by_subject(names: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Return the names of the recordings of each split; no subject is in two splits.

    The subject is what comes before the first underscore of a file's name (``sub01_snr00dB_l1``, ``s3_walk``). Where
    this makes fewer than three subjects, each recording counts as a subject. The splits get 70, 15 and 15 percent of
    the subjects, and at least one each.

    Raises:
        UsageError: there are fewer than three recordings.
    """
    groups: dict[str, list[str]] = {}
    for name, subject in subjects_of(names).items():
        groups.setdefault(subject, []).append(name)
    if len(groups) < len(SPLITS):
        raise UsageError(f"{len(groups)} recordings cannot be divided among three splits; at least 3 are needed")
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,))).permutation(len(groups))
    held_out = max(1, round(_HELD_OUT * len(groups)))
    dealt = [list(groups)[k] for k in order]
    parts = {"test": dealt[:held_out], "validation": dealt[held_out : 2 * held_out], "train": dealt[2 * held_out :]}
    return {split: [name for subject in parts[split] for name in groups[subject]] for split in SPLITS}


def read_once(
    cache: Path,
    name: str,
    key: Mapping[str, object],
    names: Sequence[str],
    read: Callable[[str], NDArray[Any]],
    skip_bad: bool,
) -> tuple[dict[str, Tensor], list[str]]:
    """Return recordings that are read once and kept in the cache.

    Args:
        cache: folder of the cache.
        name: as for ``cache.cached``.
        key: as for ``cache.cached``.
        names: as for ``read_all``, which has the errors too.
        read: as for ``read_all``.
        skip_bad: as for ``read_all``.

    Returns:
        the recordings ``[..., time]`` by name, and the reasons why others were left out.
    """

    def build() -> dict[str, Tensor]:
        recordings, reasons = read_all(names, read, skip_bad)
        if _LEFT_OUT in recordings:
            raise UsageError(f"a recording cannot have the name {_LEFT_OUT}: rename it")
        tensors = {own: torch.from_numpy(samples) for own, samples in recordings.items()}
        return tensors | {_LEFT_OUT: left_out.to_tensor(list(reasons.values()))}

    kept = dict(cached(cache, name, key, build))
    reasons = left_out.from_tensor(kept.pop(_LEFT_OUT))
    return kept, reasons


def by_split(recordings: Mapping[str, Tensor], seed: int) -> dict[str, dict[str, Tensor]]:
    """Return the recordings of each split by name; see ``split_by_subject``."""
    divided = split_by_subject(list(recordings), seed)
    return {split: {name: recordings[name] for name in names} for split, names in divided.items()}


def read_all(
    names: Sequence[str], read: Callable[[str], NDArray[Any]], skip_bad: bool
) -> tuple[dict[str, NDArray[Any]], Mapping[str, str]]:
    """Read recordings, each content only once.

    Args:
        names: names of the recordings.
        read: returns the samples of a recording, ``[..., time]``; refuses a bad one by a ``UsageError``.
        skip_bad: whether to leave bad ones out.

    Returns:
        the recordings that could be read, and the reasons why others were left out, both by name.

    Raises:
        MissingLibraryError: from ``read``.
        UsageError: a recording cannot be read, and bad ones are not to be skipped; or none can be read.
    """
    recordings: dict[str, NDArray[Any]] = {}
    left_out: dict[str, str] = {}
    first_with: dict[str, str] = {}
    for name in names:
        try:
            samples = read(name)
        except MissingLibraryError:
            raise
        except UsageError as error:
            if not skip_bad:
                raise UsageError(f"{error}; --task.skip-bad leaves such recordings out") from None
            left_out[name] = str(error)
            continue
        first = first_with.setdefault(hashlib.sha256(samples.tobytes()).hexdigest(), name)
        if first == name:
            recordings[name] = samples
        else:
            left_out[name] = f"{name} is a copy of {first}"
    if not recordings:
        raise UsageError(next(iter(left_out.values()), "there is no recording"))
    return recordings, left_out


def task_data(splits: Mapping[str, Split], signal: Signal, unit_names: tuple[str, ...] = ("recordings",)) -> TaskData:
    """Return a task's data, with the fingerprint of its mixtures and sources; ``unit_names`` as in ``TaskData``."""
    content: dict[str, Tensor] = {}
    for name, split in splits.items():
        content |= {f"{name}/mixture": split.mixture, f"{name}/sources": split.sources}
    facts = {"sources": signal.sources, "sample_rate": signal.sample_rate}
    fingerprint = content_hash(content, facts)
    train, validation, test = (splits[name] for name in SPLITS)
    return TaskData(signal, train, validation, test, fingerprint, unit_names=unit_names)


def pulses(samples: Samples, rate: float, period: float) -> NDArray[np.float64]:
    """Return the pulses of a PPG without artefacts, ``[pulse, phase]``: 0 at this and the next onset, 1 at the peak.

    A beat's onset is the lowest sample before its peak. Artefacts are pulses whose correlation with the median pulse is
    below 0.9, and those that are not within a third of the median length.

    Args:
        samples: PPG ``[time]``, rising with the pressure.
        rate: sampling rate in Hz.
        period: approximate seconds from beat to beat.
    """
    from scipy.signal import find_peaks

    spread = np.subtract(*np.percentile(samples, (95, 5)))
    peaks, _ = find_peaks(samples, distance=max(1, round(0.6 * period * rate)), prominence=0.3 * spread)
    reach = max(2, round(0.4 * period * rate))
    onsets = [peak - reach + int(np.argmin(samples[peak - reach : peak])) for peak in peaks if peak >= reach]
    usual = float(np.median(np.diff(onsets))) if len(onsets) > 2 else period * rate
    cut = []
    for start, end in pairwise(onsets):
        if abs(end - start - usual) <= usual / 3:
            positions = start + (end - start) * np.arange(PHASES) / PHASES
            pulse = np.interp(positions, np.arange(len(samples)), samples)
            pulse = pulse - np.linspace(samples[start], samples[end], PHASES, endpoint=False)
            if pulse.max() > 0:
                cut.append(pulse / pulse.max())
    if not cut:
        return np.zeros((0, PHASES))
    stacked = np.array(cut)
    median = np.median(stacked, axis=0)
    correlations = np.array([np.corrcoef(pulse, median)[0, 1] for pulse in stacked])
    sound: NDArray[np.float64] = stacked[correlations >= _LEAST_CORRELATION]
    if len(sound) > _MOST_PULSES:
        sound = sound[np.linspace(0, len(sound) - 1, _MOST_PULSES).astype(int)]
    return sound

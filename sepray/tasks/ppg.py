"""The heart's and the breath's part of a photoplethysmogram (PPG) at rest, as in section 4.1 of the CASS paper.

The paper generates heart and respiratory PPG from random heart and breathing rates, with pulses from a database of
wrist PPG (Jarchi and Casson 2016, its [13]), at rest, with little motion. It gives neither rates, lengths, amplitudes
nor splits. Here items have 15.75 s, which hold at least three breaths, at 32 Hz (a resting PPG has nothing above
10 Hz):

- Rates are uniform in 60-100 beats and 12-20 breaths a minute, the usual ranges of an adult at rest.
- A pulse is a systolic and a smaller, later diastolic Gaussian in the phase of the beat (the model of Martin-Martinez
  et al. 2013); centres, widths and ratio are random for each item. With ``references``: a pulse of a real recording.
- The rate varies as a heart's does: with the breath (respiratory sinus arrhythmia, up to 5%) and at 0.1 Hz (up to 3%).
- The breath is a cosine whose inspiration takes a third to nearly half of the cycle; its rate drifts by up to 5%.
- A pulse is 1 from foot to peak, and its mean is subtracted; the breath's amplitude is 0.1 to 0.5 (the baseline of the
  PPG); only the mixture has white noise, of up to 0.01. Amplitudes are relative: a PPG has no unit.

``references`` is a folder of WFDB records (the channel whose name has "ppg" or "pleth", or the only one) and of CSV
files. All pulses of a recording, and of a subject (the name up to the first underscore), are in one split.

Example: a study of ``StudySpec(separator="cass", task="ppg", ...)``, started with ``--task.references ~/wrist``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Split, TaskData, units_of_items
from ..data import heart_records, left_out, limits, pulse_waves
from ..data.cache import item_digests
from ..data.heart_records import PHASES
from ..disk.files import is_clutter, refuse_links
from ..errors import UsageError
from ..signals import wfdb_files
from ..signals.beats import ADULT_PULSE, widened
from ..signals.heart_rate import heart_rate
from ..signals.recording_types import RateError
from ..signals.recordings import open_recording

_RESOLUTION = 2.0**-14  # CPUs whose sines differ in the last bit make the same samples
_EXCERPT_SECONDS = 30.0  # of a recording, within which one heart rate is assumed
_VERSION = 3  # of how pulses are found in recordings


@dataclass(frozen=True)
class Config:
    """Heart and respiration in a PPG: synthetic, or with the pulses of WFDB and CSV recordings in references."""

    train: int = 1000
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 504
    """Length of a mixture in samples."""
    sample_rate: int = 32
    """Sample rate in Hz."""
    heart_bpm: tuple[float, float] = (60.0, 100.0)
    """Lowest and highest heart rate, in beats a minute."""
    breaths: tuple[float, float] = (12.0, 20.0)
    """Lowest and highest breathing rate, in breaths a minute."""
    breath_amplitude: tuple[float, float] = (0.1, 0.5)
    """Lowest and highest amplitude of the breath, the pulse being 1 from foot to peak."""
    noise: tuple[float, float] = (0.0, 0.01)
    """Lowest and highest standard deviation of the noise, the pulse being 1 from foot to peak."""
    references: str = ""
    """Folder of at least three recordings (WFDB, CSV) whose pulses are used; empty: synthetic pulses."""
    reference_rate: float = 100.0
    """Sample rate in Hz of the CSV files in references that have no time column; needed to find the pulses."""
    skip_bad: bool = False
    """Leave out damaged recordings, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split and of the mixtures."""

    def __post_init__(self) -> None:
        sizes = {"item_samples": (16, 2**20), "sample_rate": (16, 4096), "reference_rate": (10, 10_000)}
        limits.check(self, {**limits.items(10**6), **sizes, "seed": limits.SEED})
        ranges = {"heart_bpm": (30, 240), "breaths": (4, 60), "breath_amplitude": (0.001, 1000), "noise": (0, 1000)}
        limits.check_ranges(self, ranges)

    def load(self, cache: Path) -> TaskData:
        """Return the data, made anew each time in a second; pulses of recordings are kept in the folder ``cache``.

        Raises:
            UsageError: ``references`` holds no recordings, or too few, or a damaged one; the message names it.
        """
        pulses = self._references(cache) if self.references else {}
        subjects = heart_records.subjects_of([name for own in pulses.values() for name in own])
        splits = {name: self._make(name, pulses.get(name, {}), subjects) for name in SPLITS}
        rates = widened(ADULT_PULSE, self.heart_bpm)
        signal = heart_records.ppg_signal(self.item_samples, self.sample_rate, rates)
        return heart_records.task_data(splits, signal, (heart_records.subject_word(subjects),))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its sources and, where pulses are real, of the pulses."""
        pulses = self._references(cache) if self.references else {}
        identities = {}
        for name in SPLITS:
            own = pulses.get(name, {})
            sources = self._make(name, own, dict(zip(own, own, strict=True))).sources.flatten(0, 1)
            digests = item_digests([*sources, *(pulse for several in own.values() for pulse in several)])
            identities[name] = tuple(dict.fromkeys(digests))  # a recording may repeat a pulse
        return identities

    def _make(self, split: str, recorded: Mapping[str, Tensor], subjects: Mapping[str, str]) -> Split:
        """Return the mixtures of one split.

        Args:
            split: name of the split.
            recorded: pulses ``[pulse, phase]`` of each recording; none: synthetic pulses.
            subjects: subject of each recording.
        """
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split),)))
        seconds = np.arange(self.item_samples) / self.sample_rate
        breathing, breath = pulse_waves.breath(random, items, self.breaths, seconds)
        breath *= random.uniform(*self.breath_amplitude, (items, 1))
        beats = pulse_waves.beats(random, self.heart_bpm, seconds, breathing)
        if not recorded:
            pulse = pulse_waves.synthetic_pulses(random, items)
            units = units_of_items(split, items)
        else:
            pulses = np.concatenate([own.double().numpy() for own in recorded.values()])
            of = [subjects[name] for name, own in recorded.items() for _ in own]
            drawn = random.integers(len(pulses), size=items)
            pulse, units = pulses[drawn], tuple((of[k],) for k in drawn)
        heart = pulse_waves.at_phase(pulse - pulse.mean(axis=1, keepdims=True), beats)
        noise = random.uniform(*self.noise, (items, 1)) * random.standard_normal(heart.shape)
        heart, breath, noise = (np.round(part / _RESOLUTION) * _RESOLUTION for part in (heart, breath, noise))
        sources = torch.from_numpy(np.stack((heart, breath), axis=1)[:, :, None].astype(np.float32))
        mixture = torch.from_numpy((heart + breath + noise)[:, None].astype(np.float32))
        times = torch.from_numpy(np.stack([pulse_waves.tops(pulse, beats, self.sample_rate)] * 2, axis=1))
        times[:, 1] = torch.nan
        return Split(mixture, sources, units=units, beats=times)

    def _references(self, cache: Path) -> dict[str, dict[str, Tensor]]:
        """Return the pulses ``[pulse, phase]`` of each recording, by split and name, from the cache or newly found."""
        folder = Path(self.references).expanduser()
        found = [p for p in folder.rglob("*") if p.suffix.lower() in (".hea", ".csv") and p.is_file()]
        parts = {part for p in found if p.suffix.lower() == ".hea" for part in wfdb_files.files_of(p)}
        named = {p.relative_to(folder): p for p in found if p not in parts}
        files = {name.as_posix(): p for name, p in named.items() if not is_clutter(name)}
        if not files:
            raise UsageError(f"{folder} holds no recording: neither a WFDB header (.hea) nor a CSV file")
        refuse_links(files.values(), folder)
        stamps = {name: [path.stat().st_size, path.stat().st_mtime_ns] for name, path in sorted(files.items())}
        key = {
            "folder": str(folder.absolute()),
            "files": stamps,
            "skip_bad": self.skip_bad,
            "rate": self.reference_rate,
            "seed": self.seed,
            "version": _VERSION,
        }
        pulses, reasons = heart_records.read_once(
            cache, "ppg-pulses", key, sorted(files), lambda name: self._pulses(files[name]), self.skip_bad
        )
        left_out.report(reasons, folder, len(files), "recordings")
        return heart_records.by_split(pulses, self.seed)

    def _pulses(self, path: Path) -> NDArray[np.float32]:
        """Return the pulses of a recording without artefacts, ``[pulse, phase]``."""
        if path.suffix.lower() == ".hea":
            samples, rate = wfdb_files.read_channel(path, _pulse_channel)
        else:
            samples, rate = _table(path, self.reference_rate)
        length = min(len(samples), round(_EXCERPT_SECONDS * rate))
        cut = []
        for start in range(0, len(samples) - length + 1, length):
            excerpt = samples[start : start + length]
            bpm = float(heart_rate(torch.from_numpy(excerpt.copy()), rate))
            if bpm > 0:
                cut.append(heart_records.pulses(excerpt, rate, 60 / bpm))
        stacked = np.concatenate(cut) if cut else np.zeros((0, PHASES))
        if not len(stacked):
            raise UsageError(f"{path} has no pulses that repeat themselves")
        return stacked.astype(np.float32)


def _table(path: Path, rate: float) -> tuple[NDArray[np.float64], float]:
    """Return the first channel ``[time]`` of a CSV file, and its rate in Hz; ``rate`` if the file does not say it."""
    try:
        table = open_recording(path)
    except RateError:
        table = open_recording(path, rate)
    return np.concatenate([block[0] for block in table.blocks()]).astype(np.float64), table.rate


def _pulse_channel(names: Sequence[str]) -> int | None:
    """Return the number of the channel that is a PPG, by the channels' names; None if no name tells."""
    named = [k for k, name in enumerate(names) if "ppg" in name.lower() or "pleth" in name.lower()]
    return named[0] if named else 0 if len(names) == 1 else None


DEBUG = Config(train=24, validation=8, test=8, item_samples=248)
"""Forty synthetic items of 8 s."""

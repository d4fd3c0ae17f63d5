"""Maternal and fetal ECG in an abdominal lead, synthetic, as in section 4.1 of the CASS paper.

Heart rates are uniform in 80-90 (maternal) and 120-160 (fetal) beats a minute, and the maternal amplitude is 2 to 10
times the fetal (uniform). A sinusoid of random frequency, amplitude and phase is added to the mixture as respiratory
noise; it is not a target. The paper does not say how long its signals are, how many, or how they are split, nor the
noise's ranges. Here each split has recordings of its own, and its mixtures are pairs of random crops of them. The
highest R peak of a maternal recording is 1, that of a fetal one 1 / ratio, both above the isoelectric line (the
median). The noise's frequency is 9 to 30 breaths a minute, its amplitude 0.02 to 0.1 of the maternal R peak.

With ``folder``, the signals are WFDB records in the layout of the FECGSYN database (PhysioNet's fecgsyndb), which the
paper's authors used too. Each simulation has a record of the mother (``..._mecg``), of the fetus (``..._fecg1``) and
perhaps of noise (``..._noise1``): ``sub01/snr00dB/sub01_snr00dB_l1_c0_mecg.hea``. The same channel of all three is
taken, resampled, and divided by the mother's largest absolute value; mixtures are random crops of the sums. No subject
is in two splits; with fewer than three subjects, no simulation is. The fields that say how synthetic signals are made
are then ignored.

Example: ``python studies/cass_alpha_sweep.py --name fecgsyn --task.folder ~/fecgsyndb --task.channel 10``
"""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Signal, Split, TaskData
from ..data import heart_records, left_out, limits, synthetic_ecg
from ..data.cache import cached, item_digests
from ..disk.files import is_clutter, refuse_links
from ..errors import UsageError
from ..signals import wfdb_files
from ..signals.beats import ADULT, FETUS, widened
from ..signals.recording_types import check_change

_SOURCES = ("maternal", "fetal")
_VERSION = 2  # of how records are read
_NOISE_RESOLUTION = 2.0**-14  # as the recordings': CPUs whose sines differ in the last bit make the same samples


@dataclass(frozen=True)
class Config:
    """Maternal and fetal ECG: synthetic (made once, in about 20 s of two cores), or WFDB records in folder."""

    train: int = 1000
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 504
    """Length of a mixture in samples."""
    sample_rate: int = 128
    """Sample rate in Hz."""
    train_recordings: int = 50
    """Recordings of each source that the training mixtures are cropped from."""
    validation_recordings: int = 15
    """Recordings of each source that the validation mixtures are cropped from."""
    test_recordings: int = 15
    """Recordings of each source that the test mixtures are cropped from."""
    recording_seconds: float = 15.0
    """Length of a recording in seconds. Recordings of 3, 7, 15, 31 s and so on (a power of two less 1 s) are generated;
    a recording of another length is the beginning of the next longer one."""
    maternal_bpm: tuple[float, float] = (80.0, 90.0)
    """Lowest and highest maternal heart rate, in beats a minute."""
    fetal_bpm: tuple[float, float] = (120.0, 160.0)
    """Lowest and highest fetal heart rate, in beats a minute."""
    bpm_std: float = 1.0
    """Standard deviation of the heart rate within a recording, in beats a minute."""
    amplitude_ratio: tuple[float, float] = (2.0, 10.0)
    """Lowest and highest maternal amplitude, as a multiple of the fetal."""
    noise_frequency: tuple[float, float] = (0.15, 0.5)
    """Lowest and highest frequency of the respiratory noise, in Hz."""
    noise_amplitude: tuple[float, float] = (0.02, 0.1)
    """Lowest and highest amplitude of the respiratory noise, as a multiple of the maternal R peak."""
    folder: str = ""
    """Folder of WFDB records in FECGSYN's layout (mecg, fecg1, noise1); empty: synthetic signals. Needs wfdb."""
    channel: int = 0
    """Channel of the records in folder, counted from 0."""
    skip_bad: bool = False
    """Leave out damaged records, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the recordings, the split and the mixtures."""

    def __post_init__(self) -> None:
        limits.check(
            self,
            {
                **limits.items(10**7),
                **{f"{split}_recordings": (1, 10**5) for split in SPLITS},
                "sample_rate": (64, 4096),
                "recording_seconds": (2, 1023),
                "channel": (0, 10**4),
                "bpm_std": (0, 5),
                "seed": limits.SEED,
            },
        )
        longest = 10**7 if self.folder else round(self.recording_seconds * self.sample_rate)
        limits.check(self, {"item_samples": (2, longest)})
        limits.check_ranges(
            self,
            {
                "maternal_bpm": (30, 240),
                "fetal_bpm": (30, 240),
                "amplitude_ratio": (0.001, 1000),
                "noise_frequency": (0, self.sample_rate / 2),
                "noise_amplitude": (0, 1000),
            },
        )

    def load(self, cache: Path) -> TaskData:
        """Return the data; its recordings are made, or read, once and kept in the folder ``cache``.

        Raises:
            UsageError: ``folder`` holds no records, or too few, or a damaged one; the message names it.
        """
        unit_names: tuple[str, ...] = ("recordings", "recordings")
        if self.folder:
            records = self._records(cache)
            subjects = heart_records.subjects_of([name for own in records.values() for name in own])
            splits = {split: self._cropped(records[split], split, subjects) for split in SPLITS}
            unit_names = (heart_records.subject_word(subjects),)
        else:
            recordings = self._recordings(cache)
            splits = {split: self._mixed(recordings, split) for split in SPLITS}
        rates = (("maternal", *widened(ADULT, self.maternal_bpm)), ("fetal", *widened(FETUS, self.fetal_bpm)))
        signal = Signal(_SOURCES, 1, (self.item_samples,), float(self.sample_rate), _SOURCES, heart_rates=rates)
        return heart_records.task_data(splits, signal, unit_names)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the samples of its recordings."""
        if self.folder:
            return {split: item_digests(records.values()) for split, records in self._records(cache).items()}
        made = self._recordings(cache)
        return {
            split: tuple(digest for source in _SOURCES for digest in item_digests(made[f"{split}/{source}"]))
            for split in SPLITS
        }

    def _records(self, cache: Path) -> dict[str, dict[str, Tensor]]:
        """Return the records ``[maternal, fetal or noise; time]`` of each split by name, from the cache or decoded."""
        folder = Path(self.folder).expanduser()
        ending = "_mecg.hea"
        found = [p.relative_to(folder) for p in sorted(folder.rglob(f"*{ending}")) if p.is_file()]
        names = [p.as_posix().removesuffix(ending) for p in found if not is_clutter(p)]
        if not names:
            raise UsageError(f"{folder} holds no record in FECGSYN's layout: no file that ends in {ending}")
        near = (p for name in names for p in folder.glob(f"{glob.escape(name)}_*"))
        files = sorted(p for p in near if p.suffix in (".hea", ".dat") and p.is_file())
        refuse_links(files, folder)
        key = {
            "folder": str(folder.absolute()),
            "files": [[p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns] for p in files],
            "form": [self.channel, self.sample_rate, self.item_samples, self.skip_bad],
            "version": _VERSION,
        }
        records, reasons = heart_records.read_once(
            cache, "fecgsyn", key, names, lambda name: self._simulation(folder, name), self.skip_bad
        )
        left_out.report(reasons, folder, len(names), "records")
        return heart_records.by_split(records, self.seed)

    def _simulation(self, folder: Path, name: str) -> NDArray[np.float32]:
        """Return one simulation's signals ``[maternal, fetal or noise; time]`` at the task's rate."""
        parts: list[NDArray[np.float64]] = []
        for kind in ("mecg", "fecg1", "noise1"):
            header = folder / f"{name}_{kind}.hea"
            if kind == "noise1" and not header.exists():
                parts.append(np.zeros_like(parts[0]))
                continue
            samples, rate = wfdb_files.read_channel(header, lambda _: self.channel)
            check_change(rate, self.sample_rate, str(header))
            parts.append(heart_records.resampled(samples, rate, self.sample_rate))
        if len({len(part) for part in parts}) > 1:
            lengths = ", ".join(str(len(part)) for part in parts)
            raise UsageError(f"{folder / name}: its records differ in length ({lengths} samples)")
        if len(parts[0]) < self.item_samples:
            raise UsageError(f"{folder / name} has {len(parts[0])} samples, fewer than an item's {self.item_samples}")
        scaled: NDArray[np.float64] = np.stack(parts) / np.abs(parts[0]).max()
        return scaled.astype(np.float32)

    def _cropped(self, named: dict[str, Tensor], split: str, subjects: Mapping[str, str]) -> Split:
        """Return mixtures that are random crops of records ``[maternal, fetal or noise; time]``."""
        items = getattr(self, split)
        names, records = list(named), list(named.values())
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split),)))
        which = random.integers(len(records), size=items)
        starts = [random.integers(records[k].shape[1] - self.item_samples + 1) for k in which]
        crops = [records[k][:, start : start + self.item_samples] for k, start in zip(which, starts, strict=True)]
        parts = torch.stack(crops)[:, :, None]
        units = tuple((subjects[names[k]],) for k in which)
        return Split(parts.sum(1), parts[:, :2].clone(), units=units)

    def _recordings(self, cache: Path) -> dict[str, Tensor]:
        """Return the recordings ``[recording, time]`` by ``"split/source"``, from the cache or newly made."""
        counts = {f"{split}/{source}": getattr(self, f"{split}_recordings") for split in SPLITS for source in _SOURCES}
        key = {
            "counts": counts,
            "maternal_bpm": self.maternal_bpm,
            "fetal_bpm": self.fetal_bpm,
            "bpm_std": self.bpm_std,
            "sample_rate": self.sample_rate,
            "seconds": self.recording_seconds,
            "seed": self.seed,
            "versions": [synthetic_ecg.VERSION, version("signalz"), version("numpy")],
        }
        return cached(cache, "ecg", key, lambda: self._synthesised(counts))

    def _synthesised(self, counts: dict[str, int]) -> dict[str, Tensor]:
        specs = [
            synthetic_ecg.RecordingSpec(
                self.seed,
                (SPLITS.index(split), _SOURCES.index(source), index),
                self.maternal_bpm if source == "maternal" else self.fetal_bpm,
                self.bpm_std,
                self.sample_rate,
                self.recording_seconds,
            )
            for split, source in (name.split("/") for name in counts)
            for index in range(counts[f"{split}/{source}"])
        ]
        made = iter(synthetic_ecg.synthesise_all(specs))
        return {name: torch.from_numpy(np.stack([next(made) for _ in range(count)])) for name, count in counts.items()}

    def _mixed(self, recordings: dict[str, Tensor], split: str) -> Split:
        """Return the mixtures of one split: random pairs, crops, ratios and noise."""
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split),)))
        own = (recordings[f"{split}/{source}"].numpy() for source in _SOURCES)
        (maternal, mothers), (fetal, fetuses) = (_crops(of, items, self.item_samples, random) for of in own)
        fetal = (fetal / random.uniform(*self.amplitude_ratio, (items, 1))).astype(np.float32)
        frequency = random.uniform(*self.noise_frequency, (items, 1))
        amplitude = random.uniform(*self.noise_amplitude, (items, 1))
        phase = random.uniform(0, 2 * math.pi, (items, 1))
        seconds = np.arange(self.item_samples) / self.sample_rate
        noise = amplitude * np.sin(2 * math.pi * frequency * seconds + phase)
        noise = (np.round(noise / _NOISE_RESOLUTION) * _NOISE_RESOLUTION).astype(np.float32)
        sources = torch.from_numpy(np.stack((maternal, fetal), axis=1)[:, :, None])
        units = tuple((f"{split} {m}", f"{split} {f}") for m, f in zip(mothers, fetuses, strict=True))
        return Split(torch.from_numpy((maternal + fetal + noise)[:, None]), sources, units=units)


def _crops(
    recordings: NDArray[np.float32], items: int, samples: int, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return random crops ``[item, time]`` of random recordings ``[recording, time]``, and the recordings' indices."""
    which = random.integers(len(recordings), size=(items, 1))
    start = random.integers(recordings.shape[1] - samples + 1, size=(items, 1))
    crops: NDArray[np.float32] = recordings[which, start + np.arange(samples)]
    return crops, which[:, 0]


QUICK = Config(
    train=300,
    validation=100,
    test=100,
    train_recordings=30,
    validation_recordings=10,
    test_recordings=20,
    recording_seconds=7.0,
)
"""Configuration for a study of minutes on two cores: recordings of half the length, more of them for the test."""
DEBUG = Config(
    train=24,
    validation=8,
    test=8,
    item_samples=248,
    train_recordings=2,
    validation_recordings=1,
    test_recordings=1,
    recording_seconds=3.0,
)
"""Eight short recordings, made in half a second."""
PAPER = Config()
"""The signals of the CASS paper: what ``ecg`` alone means."""

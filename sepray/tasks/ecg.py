"""Maternal and fetal ECG in an abdominal lead, synthetic, as in section 4.1 of the CASS paper.

Heart rates are uniform in 80-90 (maternal) and 120-160 (fetal) beats a minute, the maternal amplitude is 2 to 10 times
the fetal (uniform), and a sinusoid of random frequency, amplitude and phase is added to the mixture as respiratory
noise; it is not a target. The paper does not say how long its signals are, how many, or how they are split, nor the
noise's ranges. Here: each split has recordings of its own, and its mixtures are pairs of random crops of them. A
maternal recording's highest R peak is 1, a fetal one's 1 / ratio, both above the isoelectric line (the median). The
noise breathes 9 to 30 times a minute, at 0.02 to 0.1 of the maternal R peak.

With ``folder``, the signals are those of WFDB records in the layout of the FECGSYN database (PhysioNet's fecgsyndb),
which the paper's authors used too: a record of the mother (``..._mecg``), of the fetus (``..._fecg1``) and of noise
(``..._noise1``, where there is one) for each simulation, e.g. ``sub01/snr00dB/sub01_snr00dB_l1_c0_mecg.hea``. One
channel of the three is taken, resampled, and divided by the mother's largest absolute value; mixtures are random crops
of their sums. No subject is in two splits (of fewer than three subjects, no simulation). The fields that say how
synthetic signals are made are not looked at then.

Example: ``python studies/cass_alpha_sweep.py --name fecgsyn --task.folder ~/fecgsyndb --task.channel 10``
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Signal, Split, TaskData
from ..data import heart_records as physiology
from ..data import synthetic_ecg as ecgsyn
from ..data.cache import cached, content_hash

_SOURCES = ("maternal", "fetal")
_SPLITS = ("train", "validation", "test")
_VERSION = 1  # of how records are read
_NOISE_RESOLUTION = 2.0**-14  # as the recordings': the same bits on CPUs whose sine differs in the last one


@dataclass(frozen=True)
class Config:
    """The ECG task; synthetic (the defaults take about 20 s of two cores, once), or WFDB records in ``folder``."""

    train: int = 1000
    """Mixtures in the training split."""
    validation: int = 200
    """Mixtures in the validation split."""
    test: int = 200
    """Mixtures in the test split."""
    item_samples: int = 504
    """Samples in a mixture."""
    sample_rate: int = 128
    """Samples a second."""
    train_recordings: int = 50
    """Recordings of each source that the training mixtures are cropped from."""
    validation_recordings: int = 15
    """Recordings of each source that the validation mixtures are cropped from."""
    test_recordings: int = 15
    """Recordings of each source that the test mixtures are cropped from."""
    recording_seconds: float = 15.0
    """Length of a recording; one less than a power of two is the most for the time that it takes to make."""
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
    """Folder of WFDB records in FECGSYN's layout (mecg, fecg1, noise1), instead of synthetic signals; needs wfdb."""
    channel: int = 0
    """Channel of those records, counted from 0."""
    skip_bad: bool = False
    """Leave damaged records out, and say which, instead of refusing the folder."""
    seed: int = 0
    """Of everything random in the data."""

    def __post_init__(self) -> None:
        for split in _SPLITS:
            _whole_within(split, getattr(self, split), 1, 10**7)
            _whole_within(f"{split}_recordings", getattr(self, f"{split}_recordings"), 1, 10**5)
        _whole_within("sample_rate", self.sample_rate, 64, 4096)
        _within("recording_seconds", self.recording_seconds, 2, 1023)
        longest = 10**7 if self.folder else round(self.recording_seconds * self.sample_rate)
        _whole_within("item_samples", self.item_samples, 2, longest)
        _whole_within("channel", self.channel, 0, 10**4)
        _within("bpm_std", self.bpm_std, 0, 5)
        _whole_within("seed", self.seed, 0, 2**63 - 1)
        for name, low, high in (
            ("maternal_bpm", 30, 240),
            ("fetal_bpm", 30, 240),
            ("amplitude_ratio", 0.001, 1000),
            ("noise_frequency", 0, self.sample_rate / 2),
            ("noise_amplitude", 0, 1000),
        ):
            _range_within(name, getattr(self, name), low, high)

    def load(self, cache: Path) -> TaskData:
        """Return the data; its recordings are made, or read, once and kept in the folder ``cache``.

        Raises:
            ValueError: the records in ``folder`` are not there, too few, or one is damaged; the message names it.
        """
        if self.folder:
            read = self._read(cache)
            train, validation, test = (self._cropped(read[split], split) for split in _SPLITS)
        else:
            recordings = self._recordings(cache)
            train, validation, test = (self._mix(recordings, split) for split in _SPLITS)
        signal = Signal(_SOURCES, 1, (self.item_samples,), float(self.sample_rate), heart_sources=_SOURCES)
        content: dict[str, Tensor] = {}
        for name, split in zip(_SPLITS, (train, validation, test), strict=True):
            content |= {f"{name}/mixture": split.mixture, f"{name}/sources": split.sources}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate}
        return TaskData(signal, train, validation, test, content_hash(content, facts))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split what identifies the recordings that it is made of: the digests of their samples."""
        if self.folder:
            read = self._read(cache)
            return {
                split: tuple(hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in read[split])
                for split in _SPLITS
            }
        found: dict[str, tuple[str, ...]] = {}
        for name, recordings in self._recordings(cache).items():
            split = name.partition("/")[0]
            digests = (hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in recordings)
            found[split] = (*found.get(split, ()), *digests)
        return found

    def _read(self, cache: Path) -> dict[str, list[Tensor]]:
        """Return the records of each split, ``[3, time]``: maternal, fetal, noise; from the cache if they are there."""
        folder = Path(self.folder).expanduser()
        ending = "_mecg.hea"
        names = [p.relative_to(folder).as_posix().removesuffix(ending) for p in sorted(folder.rglob(f"*{ending}"))]
        if not names:
            raise ValueError(f"{folder} holds no record in FECGSYN's layout: no file that ends in {ending}")
        files = sorted(p for n in names for p in folder.glob(f"{n}_*") if p.suffix in (".hea", ".dat"))
        key = {
            "folder": str(folder.absolute()),
            "files": [[p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns] for p in files],
            "form": [self.channel, self.sample_rate, self.item_samples, self.skip_bad],
            "version": _VERSION,
        }
        kept = dict(cached(cache, "fecgsyn", key, lambda: self._decoded(folder, names)))
        left_out: list[str] = json.loads(kept.pop("left_out").numpy().tobytes())
        if left_out:
            print(f"{folder}: left out {len(left_out)} of {len(names)} records", *left_out, sep="\n  ", file=sys.stderr)
        return {split: [kept[n] for n in dealt] for split, dealt in physiology.deal(list(kept), self.seed).items()}

    def _decoded(self, folder: Path, names: list[str]) -> dict[str, Tensor]:
        found, left_out = physiology.sound_ones(names, lambda name: self._simulation(folder, name), self.skip_bad)
        notes = np.frombuffer(json.dumps(list(left_out.values())).encode(), dtype=np.uint8).copy()
        return {name: torch.from_numpy(one) for name, one in found.items()} | {"left_out": torch.from_numpy(notes)}

    def _simulation(self, folder: Path, name: str) -> NDArray[np.float32]:
        """Return one simulation's signals ``[maternal, fetal or noise; time]`` at the task's rate."""
        parts: list[NDArray[np.float64]] = []
        for kind in ("mecg", "fecg1", "noise1"):
            header = folder / f"{name}_{kind}.hea"
            if kind == "noise1" and not header.exists():
                parts.append(np.zeros_like(parts[0]))
                continue
            samples, rate = physiology.read_record(header, lambda _: self.channel)
            parts.append(physiology.resampled(samples, rate, self.sample_rate))
        if len({len(part) for part in parts}) > 1:
            lengths = ", ".join(str(len(part)) for part in parts)
            raise ValueError(f"{folder / name}: its records differ in length ({lengths} samples)")
        if len(parts[0]) < self.item_samples:
            raise ValueError(f"{folder / name} has {len(parts[0])} samples, fewer than an item's {self.item_samples}")
        scaled: NDArray[np.float64] = np.stack(parts) / np.abs(parts[0]).max()
        return scaled.astype(np.float32)

    def _cropped(self, records: list[Tensor], split: str) -> Split:
        """Return mixtures that are random crops of records ``[maternal, fetal or noise; time]``."""
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_SPLITS.index(split),)))
        which = random.integers(len(records), size=items)
        starts = [random.integers(records[k].shape[1] - self.item_samples + 1) for k in which]
        crops = [records[k][:, start : start + self.item_samples] for k, start in zip(which, starts, strict=True)]
        parts = torch.stack(crops)[:, :, None]
        return Split(parts.sum(1), parts[:, :2].clone())

    def _recordings(self, cache: Path) -> dict[str, Tensor]:
        """Return the recordings ``"split/source"`` -> ``[recording, time]``, from the cache where they are there."""
        counts = {f"{split}/{source}": getattr(self, f"{split}_recordings") for split in _SPLITS for source in _SOURCES}
        key = {
            "counts": counts,
            "maternal_bpm": self.maternal_bpm,
            "fetal_bpm": self.fetal_bpm,
            "bpm_std": self.bpm_std,
            "sample_rate": self.sample_rate,
            "seconds": self.recording_seconds,
            "seed": self.seed,
            "versions": [ecgsyn.VERSION, version("signalz"), version("numpy")],
        }
        return cached(cache, "ecg", key, lambda: self._record(counts))

    def _record(self, counts: dict[str, int]) -> dict[str, Tensor]:
        wanted = [
            ecgsyn.Recording(
                self.seed,
                (_SPLITS.index(split), _SOURCES.index(source), index),
                self.maternal_bpm if source == "maternal" else self.fetal_bpm,
                self.bpm_std,
                self.sample_rate,
                self.recording_seconds,
            )
            for split, source in (name.split("/") for name in counts)
            for index in range(counts[f"{split}/{source}"])
        ]
        made = iter(ecgsyn.record_all(wanted))
        return {name: torch.from_numpy(np.stack([next(made) for _ in range(count)])) for name, count in counts.items()}

    def _mix(self, recordings: dict[str, Tensor], split: str) -> Split:
        """Return the mixtures of one split: random pairs, crops, ratios and noise."""
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_SPLITS.index(split),)))
        maternal = _crops(recordings[f"{split}/maternal"].numpy(), items, self.item_samples, random)
        fetal = _crops(recordings[f"{split}/fetal"].numpy(), items, self.item_samples, random)
        fetal = (fetal / random.uniform(*self.amplitude_ratio, (items, 1))).astype(np.float32)
        frequency = random.uniform(*self.noise_frequency, (items, 1))
        amplitude = random.uniform(*self.noise_amplitude, (items, 1))
        phase = random.uniform(0, 2 * math.pi, (items, 1))
        seconds = np.arange(self.item_samples) / self.sample_rate
        noise = amplitude * np.sin(2 * math.pi * frequency * seconds + phase)
        noise = (np.round(noise / _NOISE_RESOLUTION) * _NOISE_RESOLUTION).astype(np.float32)
        sources = torch.from_numpy(np.stack((maternal, fetal), axis=1)[:, :, None])
        return Split(torch.from_numpy((maternal + fetal + noise)[:, None]), sources)


def _crops(
    recordings: NDArray[np.float32], items: int, samples: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return random crops ``[item, time]`` of random recordings ``[recording, time]``."""
    which = random.integers(len(recordings), size=(items, 1))
    start = random.integers(recordings.shape[1] - samples + 1, size=(items, 1))
    crops: NDArray[np.float32] = recordings[which, start + np.arange(samples)]
    return crops


def _whole_within(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number between {low} and {high}, not {value}")
    _within(name, value, low, high)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")


def _range_within(name: str, value: tuple[float, float], low: float, high: float) -> None:
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"{name} must be two rising numbers between {low} and {high}, not {value}")


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

"""Maternal and fetal ECG in an abdominal lead, synthetic, as in section 4.1 of the CASS paper.

Heart rates are uniform in 80-90 (maternal) and 120-160 (fetal) beats a minute, the maternal amplitude is 2 to 10 times
the fetal (uniform), and a sinusoid of random frequency, amplitude and phase is added to the mixture as respiratory
noise; it is not a target. The paper does not say how long its signals are, how many, or how they are split, nor the
noise's ranges. Here: each split has recordings of its own, and its mixtures are pairs of random crops of them. A
maternal recording's highest R peak is 1, a fetal one's 1 / ratio, both above the isoelectric line (the median). The
noise breathes 9 to 30 times a minute, at 0.02 to 0.1 of the maternal R peak.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import ecgsyn
from ..cache import cached, content_hash
from ..contracts import Signal, Split, TaskData

_SOURCES = ("maternal", "fetal")
_SPLITS = ("train", "validation", "test")
_NOISE_RESOLUTION = 2.0**-14  # as the recordings': the same bits on CPUs whose sine differs in the last one


@dataclass(frozen=True)
class Config:
    """The ECG task; the defaults take about 20 s of two cores to make, once."""

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
    seed: int = 0
    """Of everything random in the data."""

    def __post_init__(self) -> None:
        for split in _SPLITS:
            _whole_within(split, getattr(self, split), 1, 10**7)
            _whole_within(f"{split}_recordings", getattr(self, f"{split}_recordings"), 1, 10**5)
        _whole_within("sample_rate", self.sample_rate, 64, 4096)
        _within("recording_seconds", self.recording_seconds, 2, 1023)
        _whole_within("item_samples", self.item_samples, 2, round(self.recording_seconds * self.sample_rate))
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
        """Return the data; its recordings are made once and kept in the folder ``cache``."""
        recordings = self._recordings(cache)
        train, validation, test = (self._mix(recordings, split) for split in _SPLITS)
        signal = Signal(_SOURCES, 1, (self.item_samples,), float(self.sample_rate))
        content: dict[str, Tensor] = {}
        for name, split in zip(_SPLITS, (train, validation, test), strict=True):
            content |= {f"{name}/mixture": split.mixture, f"{name}/sources": split.sources}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate}
        return TaskData(signal, train, validation, test, content_hash(content, facts))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split what identifies the recordings that it is made of: the digests of their samples."""
        found: dict[str, tuple[str, ...]] = {}
        for name, recordings in self._recordings(cache).items():
            split = name.partition("/")[0]
            digests = (hashlib.sha256(one.numpy().tobytes()).hexdigest() for one in recordings)
            found[split] = (*found.get(split, ()), *digests)
        return found

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

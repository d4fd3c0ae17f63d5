"""Heart and respiration in a PPG of any morphology, with drift and motion, synthetic. Known as ``ppg:varied``.

Signals vary more than the CASS paper's (``ppg``), as recordings of patients do: 45 to 150 beats and 8 to 30 breaths a
minute, and

- pulses of four classes, equally often: a notch, a plateau, a bend, or neither, as a systolic and a later Gaussian
  (after Dawber et al., "Characteristics of the dicrotic notch of the arterial pulse wave in coronary heart disease",
  Angiology 24, 1973);
- the breath in the baseline (the source, 0.05 to 1 of the pulse), in the pulses' amplitude (up to 30%) and in their
  rate (up to 8%);
- only in the mixture: drift whose power falls with the squared frequency from 1 Hz on (0.02 to 1), white noise (up to
  0.05), and in 30% of the items a motion of 1 to 4 s, of 0.3 to 3 times the pulse.

In training batches a share of the mixtures is made anew from sources of different items (``remix``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import SPLITS, Augmentation, Split, TaskData, units_of_items
from ..data import heart_records, limits, pulse_waves, varied_ecg
from ..data.cache import content_hash, item_digests
from ..data.heart_records import PHASES
from ..signals.beats import ADULT_PULSE, widened

VARIANT_OF = "ppg"
"""This module's configurations are named ``ppg:varied...`` (``registry``)."""

_RESOLUTION = 2.0**-14  # CPUs whose sines differ in the last bit make the same samples
_SYSTOLE = (0.20, 0.28)  # place of the systolic wave, in beats
# Ranges for each class: width of the systolic wave; distance, width and height of the later one (systolic height = 1).
_CLASSES = (
    ((0.05, 0.07), (0.32, 0.40), (0.05, 0.08), (0.35, 0.60)),  # a notch between them
    ((0.08, 0.10), (0.22, 0.25), (0.09, 0.11), (0.40, 0.55)),  # a plateau
    ((0.08, 0.10), (0.20, 0.25), (0.10, 0.14), (0.20, 0.35)),  # a bend
    ((0.10, 0.14), (0.20, 0.26), (0.10, 0.15), (0.00, 0.15)),  # neither
)
_MOTION_SECONDS, _MOTION = (1.0, 4.0), (0.3, 3.0)


@dataclass(frozen=True)
class Config:
    """Heart and respiration in a PPG of any morphology, with drift and motion, synthetic."""

    train: int = 1200
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 504
    """Length of a mixture in samples."""
    sample_rate: int = 32
    """Sample rate in Hz."""
    heart_bpm: tuple[float, float] = (45.0, 150.0)
    """Lowest and highest heart rate, in beats a minute."""
    breaths: tuple[float, float] = (8.0, 30.0)
    """Lowest and highest breathing rate, in breaths a minute."""
    breath_amplitude: tuple[float, float] = (0.05, 1.0)
    """Lowest and highest amplitude of the breath, the pulse being 1 from foot to peak."""
    modulation: tuple[float, float] = (0.0, 0.3)
    """Lowest and highest share of the pulses' amplitude that goes with the breath."""
    arrhythmia: tuple[float, float] = (0.0, 0.08)
    """Lowest and highest share of the heart rate that goes with the breath."""
    drift: tuple[float, float] = (0.02, 1.0)
    """Lowest and highest standard deviation of the drift, the pulse being 1 from foot to peak."""
    noise: tuple[float, float] = (0.0, 0.05)
    """Lowest and highest standard deviation of the white noise, the pulse being 1 from foot to peak."""
    motion: float = 0.3
    """Share of the mixtures with a motion."""
    remix: float = 0.75
    """Share of a training batch's mixtures that are made anew, each source from another item."""
    seed: int = 0
    """Random seed of everything."""

    FORMER_FIELDS: ClassVar[Mapping[str, object]] = {"variant": "varied"}
    """Field by which stored configurations are told from those of ``ppg``."""

    def __post_init__(self) -> None:
        sizes = {"item_samples": (16, 2**20), "sample_rate": (16, 4096), "motion": (0, 1), "remix": (0, 1)}
        limits.check(self, {**limits.items(10**6), **sizes, "seed": limits.SEED})
        strengths = dict.fromkeys(("drift", "noise"), (0.0, 1000.0))
        shares = dict.fromkeys(("modulation", "arrhythmia"), (0.0, 0.9))
        rates = {"heart_bpm": (30.0, 240.0), "breaths": (4.0, 60.0), "breath_amplitude": (0.001, 1000.0)}
        limits.check_ranges(self, {**rates, **strengths, **shares})

    def load(self, cache: Path) -> TaskData:
        """Return the data, made anew each time in a second."""
        splits = {split: self._make(split) for split in SPLITS}
        rates = widened(ADULT_PULSE, self.heart_bpm)
        signal = heart_records.ppg_signal(self.item_samples, self.sample_rate, rates)
        augmentation = Augmentation(remix=self.remix)
        content = {f"{name}/mixture": split.mixture for name, split in splits.items()}
        content |= {f"{name}/sources": split.sources for name, split in splits.items()}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate, "augmentation": asdict(augmentation)}
        fingerprint = content_hash(content, facts)
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], fingerprint, augmentation)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its sources."""
        return {split: item_digests(self._make(split).sources.flatten(0, 1)) for split in SPLITS}

    def _make(self, split: str) -> Split:
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split),)))
        seconds = np.arange(self.item_samples) / self.sample_rate
        phase, wave = pulse_waves.breath(random, items, self.breaths, seconds)
        depth = random.uniform(*self.modulation, (items, 1))
        hertz = random.uniform(*self.heart_bpm, (items, 1)) / 60
        sway = 1 + random.uniform(*self.arrhythmia, (items, 1)) * np.sin(2 * np.pi * phase)
        beats = random.uniform(0, 1, (items, 1)) + np.cumsum(hertz * sway / self.sample_rate, axis=1)
        pulse = pulses(random, items)
        heart = (1 + depth * wave) * pulse_waves.at_phase(pulse - pulse.mean(axis=1, keepdims=True), beats)
        breath = wave * random.uniform(*self.breath_amplitude, (items, 1))
        rest = random.uniform(*self.drift, (items, 1)) * varied_ecg.coloured(
            random, items, self.item_samples, self.sample_rate, 2, 0.0
        )
        rest += random.uniform(*self.noise, (items, 1)) * random.standard_normal(heart.shape)
        rest += (random.uniform(0, 1, (items, 1)) < self.motion) * self._motion(random, items, seconds)
        parts = np.round(np.stack([heart, breath, rest], axis=1) / _RESOLUTION) * _RESOLUTION
        tensor = torch.from_numpy(parts.astype(np.float32))[:, :, None]
        times = torch.from_numpy(np.stack([pulse_waves.tops(pulse, beats, self.sample_rate)] * 2, axis=1))
        times[:, 1] = torch.nan
        return Split(tensor.sum(1), tensor[:, :2].clone(), units=units_of_items(split, items), beats=times)

    def _motion(self, random: np.random.Generator, items: int, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a burst of slow noise in each item, ``[item, time]``."""
        length = random.uniform(*_MOTION_SECONDS, (items, 1))
        position = (seconds - random.uniform(0, seconds[-1], (items, 1))) / length
        window = np.where(np.abs(position) < 0.5, np.square(np.cos(np.pi * position)), 0.0)
        burst = varied_ecg.coloured(random, items, len(seconds), self.sample_rate, 1, 0.5)
        motion: NDArray[np.float64] = random.uniform(*_MOTION, (items, 1)) * window * burst
        return motion


def pulses(random: np.random.Generator, items: int) -> NDArray[np.float64]:
    """Return pulses ``[item, phase]`` of the four classes in turn: 0 at the lowest, 1 at the highest."""
    ranges = np.array(_CLASSES)[np.arange(items) % len(_CLASSES)]  # [item, quantity, low or high]
    drawn = random.uniform(ranges[..., 0], ranges[..., 1])
    width, distance, later_width, height = drawn.T[..., None]
    systole = random.uniform(*_SYSTOLE, (items, 1))
    phase = np.arange(PHASES) / PHASES
    pulse = _wave(phase, systole, width) + height * _wave(phase, systole + distance, later_width)
    pulse -= pulse.min(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = pulse / pulse.max(axis=1, keepdims=True)
    return scaled


def _wave(phase: NDArray[np.float64], centre: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Gaussian around the circle: one beat's end is the next one's beginning."""
    distance = (phase - centre + 0.5) % 1 - 0.5
    wave: NDArray[np.float64] = np.exp(-0.5 * np.square(distance / width))
    return wave


DEBUG = Config(train=24, validation=8, test=8, item_samples=248)
"""Forty items of 8 s."""

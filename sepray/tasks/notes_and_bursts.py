"""Held notes and bursts of noise: a small embedded task whose two sources differ in structure, not in band.

In a spectrogram a note is a few horizontal lines and a burst a vertical one, at the same frequencies: they differ in
form. Nothing is downloaded and all of it is made in a second, so any separator can be tried and compared here. A note
has a fundamental of 150-600 Hz and six partials of random phase that fall off as 1/n, with a slow tremolo. Within an
item one note ends and another begins, so that the spectrum changes. Bursts are white noise that dies away
within 10 ms, 4 to 12 of them in each item. Both sources have unit power over an item, times a random level of +-3 dB,
so the unprocessed mixture stands at about 0 dB for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import SPLITS, Signal, Split, TaskData, units_of_items
from ..data import limits
from ..data.cache import content_hash, item_digests

_SOURCES = ("notes", "bursts")
_RESOLUTION = 2.0**-14  # CPUs whose sines differ in the last bit make the same samples
_PARTIALS = 6
_DECAY_SECONDS = 0.003  # to 1/e


@dataclass(frozen=True)
class Config:
    """Notes and bursts of noise, synthetic; every item is a recording of its own."""

    train: int = 256
    """Number of mixtures in the training split."""
    validation: int = 64
    """Number of mixtures in the validation split."""
    test: int = 64
    """Number of mixtures in the test split."""
    item_samples: int = 4096
    """Length of a mixture in samples."""
    sample_rate: int = 8000
    """Sample rate in Hz."""
    seed: int = 0
    """Random seed of the data."""

    def __post_init__(self) -> None:
        sizes = {"item_samples": (256, 2**20), "sample_rate": (8000, 48000)}
        limits.check(self, {**sizes, "seed": limits.SEED, **limits.items(10**5)})

    def load(self, cache: Path) -> TaskData:
        """Return the data; it is made anew each time, in about a second for every thousand items."""
        splits = {name: self._make(name) for name in SPLITS}
        signal = Signal(_SOURCES, 1, (self.item_samples,), float(self.sample_rate))
        content = {f"{name}/sources": split.sources for name, split in splits.items()}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate}
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], content_hash(content, facts))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its sources: every one is a recording of its own."""
        return {name: item_digests(self._make(name).sources.flatten(0, 1)) for name in SPLITS}

    def _make(self, split: str) -> Split:
        items: list[NDArray[np.float64]] = []
        for index in range(getattr(self, split)):
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split), index)))
            made = np.stack((self._notes(random), self._bursts(random)))
            made *= 10 ** (random.uniform(-3, 3, (2, 1)) / 20) / np.sqrt(np.square(made).mean(1, keepdims=True))
            items.append(np.round(made / _RESOLUTION) * _RESOLUTION)
        sources = torch.from_numpy(np.stack(items).astype(np.float32)[:, :, None])
        return Split(sources.sum(1), sources, units=units_of_items(split, len(items)))

    def _notes(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Return two notes ``[time]``, the second of which begins where the first ends."""
        seconds = np.arange(self.item_samples) / self.sample_rate
        change = seconds[-1] * random.uniform(0.25, 0.75)
        signal = np.zeros_like(seconds)
        for direction in (1, -1):
            fundamental = 150 * 4 ** random.uniform()
            tremolo = 1 + 0.3 * np.sin(2 * math.pi * (random.uniform(3, 7) * seconds + random.uniform()))
            gate = 1 / (1 + np.exp(np.clip(direction * (seconds - change) / 0.005, -60, 60)))
            for n in range(1, _PARTIALS + 1):
                phase = n * fundamental * seconds + random.uniform()
                signal += gate * tremolo / n * np.sin(2 * math.pi * phase)
        return signal

    def _bursts(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Return bursts of noise ``[time]``."""
        samples = np.arange(self.item_samples)
        envelope = np.zeros(self.item_samples)
        for _ in range(random.integers(4, 13)):
            since = samples - random.integers(self.item_samples * 15 // 16)
            decay = np.exp(-np.maximum(since, 0) / (_DECAY_SECONDS * self.sample_rate))
            envelope += random.uniform(0.5, 1) * np.where(since >= 0, decay, 0)
        return envelope * random.standard_normal(self.item_samples)


DEBUG = Config(train=24, validation=8, test=8, item_samples=1024)
"""Forty short items, made in a tenth of a second."""

"""Four synthetic instruments in four-part harmony: a small embedded task of music.

Strings, reed, brass and plucked strings play the soprano, alto, tenor and bass of random chorales
(``data.instruments``). They share chords, so partials of different sources coincide; sources differ in their tones'
spectrum, attack, decay and register. Nothing is downloaded. Each part has unit power over an item, times a random level
of +-3 dB. Every item is a piece of its own.

A study names its task in its file (``task="chords"``; see ``studies/``), and the fields below are its
flags::

    python my_study.py --task.instruments reed plucked --task.mixture all --separator.n-fft 512 --separator.hop 128
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..contracts import SPLITS, TaskData, units_of_items
from ..data import instruments, limits
from ..data.cache import Entry, Plan, item_digests, mapped
from ..data.mixing import mixtures


@dataclass(frozen=True)
class Config:
    """Synthetic chords; needs no files. The default data are made once, in ten seconds of a core."""

    train: int = 400
    """Number of mixtures in the training split."""
    validation: int = 80
    """Number of mixtures in the validation split."""
    test: int = 80
    """Number of mixtures in the test split."""
    item_samples: int = 16384
    """Length of a mixture in samples."""
    sample_rate: int = 8000
    """Sample rate in Hz."""
    instruments: tuple[str, ...] = instruments.INSTRUMENTS
    """Names of the sources, in their order: strings, reed, brass, plucked."""
    mixture: Literal["chosen", "all"] = "chosen"
    """Parts of a mixture: the chosen instruments, or all four."""
    seed: int = 0
    """Random seed of the data."""

    def __post_init__(self) -> None:
        sizes = {"item_samples": (256, 2**22), "sample_rate": (4000, 48000)}
        limits.check(self, {**sizes, "seed": limits.SEED, **limits.items(10**5)})
        limits.check_chosen(self.instruments, self.mixture, instruments.INSTRUMENTS, "instrument")

    def load(self, cache: Path) -> TaskData:
        """Return the data, made once and kept in the folder ``cache``."""
        own = {split: units_of_items(split, getattr(self, split)) for split in SPLITS}
        units = mixtures.SplitUnits(own, ("pieces",))
        return mixtures.task_data(self._entry(cache), self.instruments, self.sample_rate, units)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its items' sources: every one is a recording of its own."""
        tensors = self._entry(cache).tensors
        return {split: item_digests(tensors[f"{split}/sources"].flatten(0, 1)) for split in SPLITS}

    def _entry(self, cache: Path) -> Entry:
        key = {"config": asdict(self), "versions": [instruments.VERSION, mixtures.VERSION]}
        return mapped(cache, "chords", key, self._plan)

    def _plan(self) -> Plan:
        counts = {split: getattr(self, split) for split in SPLITS}
        shapes = mixtures.tensor_shapes(counts, len(self.instruments), 1, self.item_samples)

        def fill(out: Mapping[str, NDArray[np.float32]]) -> None:
            for split in SPLITS:
                mixtures.fill_split(out, split, self.seed, self._item)

        return Plan(shapes, fill)

    def _item(self, random: np.random.Generator, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = instruments.play(random, self.item_samples, self.sample_rate)
        parts *= np.array([mixtures.gain(level) for level in random.uniform(-3, 3, 4)])[:, None]
        chosen = parts[[instruments.INSTRUMENTS.index(name) for name in self.instruments]]
        return (parts if self.mixture == "all" else chosen).sum(0)[None], chosen[:, None]


DEBUG = Config(train=24, validation=8, test=8, item_samples=2048)
"""Forty items of a quarter of a second, made in a tenth of one."""

"""Random crops of pieces, and the mixtures that are made of them.

Everything random of an item comes from a generator of its own, made of the seed, the split and the item's number: so
items depend neither on the machine nor on how many there are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...contracts import SPLITS, Augmentation, Signal, Split, TaskData
from .splitting import Piece

VERSION = 2
"""Version of how items are made; part of the key of cached items."""

Array = NDArray[np.float32]

LIMITS: dict[str, tuple[float, float]] = {
    "item_samples": (2, 2**24),
    "sample_rate": (1000, 192000),
    "stretch": (1, 1000),
    "seed": (0, 2**63 - 1),
}
"""Of fields that all tasks of recordings have: lowest and highest value."""

_ATTEMPTS = 16
_ACTIVE = 0.03  # of a recording's root mean square: -30 dB


class Crops:
    """Random crops of pieces in which the sources can be heard.

    A crop in which a source is more than 30 dB below its level in the piece is drawn again, a few times; then the best
    of those drawn is taken. (A rest scores -60 dB or +60 dB of SI-SDR, and teaches little.)

    Args:
        pieces: all at least ``samples`` long.
        sources: that are cropped together, at the same time.
        samples: length of a crop.
        audible: how many of the sources, from the first on, should be heard; default: all.
    """

    def __init__(
        self, pieces: Sequence[Piece], sources: Sequence[str], samples: int, audible: int | None = None
    ) -> None:
        self.pieces, self.sources, self.samples = pieces, tuple(sources), samples
        self.audible = len(self.sources) if audible is None else audible
        self._levels: dict[tuple[int, str], float] = {}

    def draw(self, random: np.random.Generator, turn: int | None = None) -> Array:
        """Return ``[source, channel, time]`` of a random piece, or of the one whose turn it is."""
        best, loudest = None, -1.0
        for _ in range(_ATTEMPTS):
            index = int(random.integers(len(self.pieces))) if turn is None else turn % len(self.pieces)
            piece = self.pieces[index]
            start = int(random.integers(len(piece) - self.samples + 1))
            crop = np.stack([piece.crop(source, start, self.samples) for source in self.sources])
            levels = np.array([self._level(index, source) for source in self.sources[: self.audible]])
            heard = float((rms(crop[: self.audible]) / np.maximum(levels, 1e-12)).min())
            if heard > loudest:
                best, loudest = crop, heard
            if heard >= _ACTIVE:
                break
        assert best is not None
        return best

    def _level(self, index: int, source: str) -> float:
        key = (index, source)
        if key not in self._levels:
            self._levels[key] = self.pieces[index].level(source)
        return self._levels[key]


def rms(crop: Array) -> NDArray[np.float64]:
    """Return the root mean square ``[source]`` of ``[source, channel, time]``."""
    found: NDArray[np.float64] = np.sqrt(np.square(crop, dtype=np.float64).mean(axis=(1, 2)))
    return found


def gain(decibels: float) -> np.float32:
    """Return a factor of amplitude."""
    return np.float32(10 ** (decibels / 20))


def stretch(pieces: Iterable[Piece], samples: int, items: float) -> int:
    """Return the samples of a training item, ``items`` times ``samples``, or as many as the shortest piece has."""
    return min(round(items * samples), *map(len, pieces))


def shapes(
    counts: Mapping[str, int], sources: int, channels: int, samples: int, train_samples: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors that ``write`` fills, of all splits; training items may be longer."""
    found: dict[str, tuple[int, ...]] = {}
    for split in SPLITS:
        time = train_samples if train_samples and split == "train" else samples
        found[f"{split}/mixture"] = (counts[split], channels, time)
        found[f"{split}/sources"] = (counts[split], sources, channels, time)
    return found


def write(
    out: Mapping[str, Array], split: str, seed: int, make: Callable[[np.random.Generator, int], tuple[Array, Array]]
) -> None:
    """Fill a split: ``make`` gives the mixture ``[channel, time]`` and the sources of item number so and so."""
    for item in range(len(out[f"{split}/mixture"])):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), item)))
        out[f"{split}/mixture"][item], out[f"{split}/sources"][item] = make(random, item)


def write_pairs(
    out: Mapping[str, Array],
    pools: Mapping[str, tuple[Sequence[Piece], Sequence[Piece]]],
    sources: tuple[str, str],
    ratio: tuple[float, float],
    seed: int,
) -> None:
    """Fill all splits with random crops of one source, mixed with random crops of another.

    Args:
        out: with the shapes of ``shapes``.
        pools: pieces of either source, of each split.
        sources: their names.
        ratio: lowest and highest level of the first over the second in an item, in dB; drawn uniformly. The first
            keeps its level.
        seed: of everything random.
    """
    for split in SPLITS:
        samples = out[f"{split}/mixture"].shape[-1]
        first, second = (Crops(p, (s,), samples) for p, s in zip(pools[split], sources, strict=True))

        def make(
            random: np.random.Generator, item: int, first: Crops = first, second: Crops = second
        ) -> tuple[Array, Array]:
            both = np.concatenate((first.draw(random), second.draw(random)))
            levels = rms(both)
            wanted = levels[0] / 10 ** (random.uniform(*ratio) / 20)
            if levels.min() > 0:
                both[1] *= np.float32(wanted / levels[1])
            return both.sum(0), both

        write(out, split, seed, make)


def task_data(
    tensors: Mapping[str, Tensor],
    content: str,
    sources: Sequence[str],
    rate: int,
    remix: float = 0.0,
    remix_level: tuple[float, float] = (0.0, 0.0),
) -> TaskData:
    """Return what a task gives of the tensors that ``write`` filled, whose digest is ``content``.

    Where training items are longer than the others, batches have random crops of them, as long as the others; for
    ``remix`` see ``contracts.Augmentation``.
    """
    made = {split: Split(tensors[f"{split}/mixture"], tensors[f"{split}/sources"]) for split in SPLITS}
    _, channels, samples = made["validation"].mixture.shape
    crop = samples if made["train"].mixture.shape[-1] > samples else 0
    augmentation = Augmentation(crop, remix, remix_level if remix else (0.0, 0.0))
    facts = {"content": content, "sources": list(sources), "sample_rate": rate, "augmentation": asdict(augmentation)}
    signal = Signal(tuple(sources), channels, (samples,), float(rate))
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return TaskData(signal, made["train"], made["validation"], made["test"], fingerprint, augmentation)

"""Random crops of pieces, and mixtures of these.

Everything random in an item comes from a generator of its own, seeded by the task's seed, the split and the item's
number. So an item depends neither on the machine nor on the number of items.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...contracts import SPLITS, Augmentation, Signal, Split, TaskData, Tracks
from ..cache import Entry, Plan
from ..limits import SEED, Limits
from .splitting import Piece

VERSION = 2
"""Version of how items are made; part of the key of cached items."""

Array = NDArray[np.float32]

LIMITS: Limits = {"item_samples": (2, 2**24), "sample_rate": (1000, 192000), "stretch": (1, 1000), "seed": SEED}
"""Limits of the fields that all tasks of recordings have."""

_ATTEMPTS = 16
_AUDIBLE = 0.03  # least root mean square of a crop, as a share of the piece's: -30 dB


class MixtureConfig(Protocol):
    """Fields of the configuration of a task whose items are cropped from recordings."""

    @property
    def train(self) -> int:
        """Number of mixtures in the training split."""
        ...

    @property
    def validation(self) -> int:
        """Number of mixtures in the validation split."""
        ...

    @property
    def test(self) -> int:
        """Number of mixtures in the test split."""
        ...

    @property
    def item_samples(self) -> int:
        """Length of a mixture in samples."""
        ...

    @property
    def stretch(self) -> float:
        """Length of a training item as a multiple of a mixture's."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        ...

    @property
    def skip_bad(self) -> bool:
        """Say whether recordings that cannot be used are left out."""
        ...

    @property
    def seed(self) -> int:
        """Random seed."""
        ...


class Crops:
    """Random crops of pieces in which the sources can be heard.

    A crop in which a source is more than 30 dB below its level in the piece is drawn again. After 16 draws the best of
    these crops is taken. (A rest scores -60 dB or +60 dB of SI-SDR, and teaches little.)

    Args:
        pieces: pieces, all at least ``samples`` long.
        sources: names of the sources that are cropped together, at the same time.
        samples: length of a crop.
        audible: how many of the sources, from the first on, should be heard; default: all.
    """

    def __init__(
        self, pieces: Sequence[Piece], sources: Sequence[str], samples: int, audible: int | None = None
    ) -> None:
        self.pieces, self.sources, self.samples = pieces, tuple(sources), samples
        self.audible = len(self.sources) if audible is None else audible
        self._levels: dict[tuple[int, str], float] = {}

    def draw(self, random: np.random.Generator, turn: int | None = None) -> tuple[Array, int]:
        """Return a crop ``[source, channel, time]`` and the index of its piece.

        The piece is drawn at random, or has the index ``turn`` modulo the number of pieces.
        """
        best, loudest = None, -1.0
        for _ in range(_ATTEMPTS):
            index = int(random.integers(len(self.pieces))) if turn is None else turn % len(self.pieces)
            piece = self.pieces[index]
            start = int(random.integers(len(piece) - self.samples + 1))
            crop = np.stack([piece.crop(source, start, self.samples) for source in self.sources])
            levels = np.array([self._level(index, source) for source in self.sources[: self.audible]])
            quietest = float((rms(crop[: self.audible]) / np.maximum(levels, 1e-12)).min())
            if quietest > loudest:
                best, loudest = (crop, index), quietest
            if quietest >= _AUDIBLE:
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
    level: NDArray[np.float64] = np.sqrt(np.square(crop, dtype=np.float64).mean(axis=(1, 2)))
    return level


def gain(decibels: float) -> np.float32:
    """Return the factor of amplitude that a gain in dB is."""
    return np.float32(10 ** (decibels / 20))


def tensor_shapes(
    counts: Mapping[str, int], sources: int, channels: int, samples: int, train_samples: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of ``<split>/mixture`` and ``<split>/sources``, which ``fill_split`` fills.

    Args:
        counts: items of each split.
        sources: number of sources.
        channels: number of channels.
        samples: length of an item.
        train_samples: length of a training item; default: as the others.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for split in SPLITS:
        time = train_samples if train_samples and split == "train" else samples
        shapes[f"{split}/mixture"] = (counts[split], channels, time)
        shapes[f"{split}/sources"] = (counts[split], sources, channels, time)
    return shapes


def cropped_plan(
    config: MixtureConfig,
    pieces: Mapping[str, Sequence[Piece]],
    sources: int,
    channels: int,
    left_out: Sequence[str],
    fill: Callable[[Mapping[str, Array]], None],
) -> Plan:
    """Return the plan by which the items of a task of recordings are made; the plan's facts name the recordings.

    Training items are ``config.stretch`` times as long as the others, or as long as the shortest training piece.

    Args:
        config: sizes.
        pieces: all pieces of each split.
        sources: number of sources.
        channels: number of channels.
        left_out: why recordings were left out, one line each.
        fill: fills the tensors of ``tensor_shapes``.
    """
    counts = {"train": config.train, "validation": config.validation, "test": config.test}
    train_samples = min(round(config.stretch * config.item_samples), *map(len, pieces["train"]))
    return Plan(
        tensor_shapes(counts, sources, channels, config.item_samples, train_samples),
        fill,
        {
            "recordings": {split: [piece.identity for piece in pieces[split]] for split in SPLITS},
            "left_out": list(left_out),
        },
    )


def recordings_of(entry: Entry) -> dict[str, tuple[str, ...]]:
    """Return for each split the identities of its recordings, from an entry made by ``cropped_plan``."""
    return {split: tuple(identities) for split, identities in entry.facts["recordings"].items()}


def fill_split(
    out: Mapping[str, Array], split: str, seed: int, make: Callable[[np.random.Generator, int], tuple[Array, Array]]
) -> None:
    """Fill one split item by item.

    Args:
        out: the tensors of ``tensor_shapes``.
        split: name of the split.
        seed: the task's random seed.
        make: returns mixture ``[channel, time]`` and sources ``[source, channel, time]`` of an item, from its random
            generator and its number.
    """
    for item in range(len(out[f"{split}/mixture"])):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), item)))
        out[f"{split}/mixture"][item], out[f"{split}/sources"][item] = make(random, item)


def fill_from_tracks(
    out: Mapping[str, Array], pieces: Mapping[str, Sequence[Piece]], sources: int, seed: int, audible: int | None = None
) -> None:
    """Fill all splits with crops of tracks, in turn; a mixture is the sum of all parts of its track.

    Args:
        out: the tensors of ``tensor_shapes``.
        pieces: the tracks of each split; the first ``sources`` parts of each are the sources.
        sources: number of sources.
        seed: the task's random seed.
        audible: how many parts, from the first on, should be heard in a crop; default: all.
    """
    for split in SPLITS:
        samples = out[f"{split}/mixture"].shape[-1]
        crops = Crops(pieces[split], tuple(pieces[split][0].parts), samples, audible)

        def make(random: np.random.Generator, item: int, crops: Crops = crops) -> tuple[Array, Array]:
            parts, _ = crops.draw(random, turn=item)
            return parts.sum(0), parts[:sources]

        fill_split(out, split, seed, make)


def fill_from_pairs(
    out: Mapping[str, Array],
    pieces: Mapping[str, tuple[Sequence[Piece], Sequence[Piece]]],
    sources: tuple[str, str],
    ratio: tuple[float, float],
    seed: int,
) -> None:
    """Fill all splits with random crops of one source, mixed with random crops of another.

    Args:
        out: the tensors of ``tensor_shapes``, and ``<split>/pieces`` ``[item, source]``: which piece a crop is of.
        pieces: pieces of both sources, for each split.
        sources: names of the two sources.
        ratio: lowest and highest level of the first over the second in an item, in dB; drawn uniformly. The first
            keeps its level.
        seed: the task's random seed.
    """
    for split in SPLITS:
        samples = out[f"{split}/mixture"].shape[-1]
        first, second = (Crops(own, (source,), samples) for own, source in zip(pieces[split], sources, strict=True))

        def make(
            random: np.random.Generator, item: int, first: Crops = first, second: Crops = second, split: str = split
        ) -> tuple[Array, Array]:
            drawn = first.draw(random), second.draw(random)
            out[f"{split}/pieces"][item] = [index for _, index in drawn]
            both = np.concatenate([crop for crop, _ in drawn])
            levels = rms(both)
            wanted = levels[0] / 10 ** (random.uniform(*ratio) / 20)
            if levels.min() > 0:
                both[1] *= np.float32(wanted / levels[1])
            return both.sum(0), both

        fill_split(out, split, seed, make)


class SplitUnits(NamedTuple):
    """Units that the items of a task were cut from.

    Attributes:
        by_split: ``Split.units`` of each split.
        names: ``TaskData.unit_names``.
    """

    by_split: Mapping[str, tuple[tuple[str, ...], ...]]
    names: tuple[str, ...]


def units_in_turn(entry: Entry, name: str) -> SplitUnits:
    """Return the units of items that are cut from the pieces in turn (``fill_from_tracks``).

    Args:
        entry: an entry made by ``cropped_plan``.
        name: what a piece is called, in the plural.
    """
    units = {}
    for split, pieces in entry.facts["recordings"].items():
        units[split] = tuple((pieces[item % len(pieces)],) for item in range(len(entry.tensors[f"{split}/mixture"])))
    return SplitUnits(units, (name,))


def task_data(
    entry: Entry,
    sources: Iterable[str],
    rate: int,
    units: SplitUnits,
    remix: float = 0.0,
    remix_level: tuple[float, float] = (0.0, 0.0),
    tracks: tuple[Tracks, str] | None = None,
) -> TaskData:
    """Return a task's data from the tensors of ``tensor_shapes``.

    Where training items are longer than the others, batches have random crops of them, as long as the others; for
    ``remix`` see ``contracts.Augmentation``. ``tracks`` are whole recordings of the test split, and their digest.
    """
    splits = {
        split: Split(entry.tensors[f"{split}/mixture"], entry.tensors[f"{split}/sources"], units=units.by_split[split])
        for split in SPLITS
    }
    _, channels, samples = splits["validation"].mixture.shape
    crop = samples if splits["train"].mixture.shape[-1] > samples else 0
    augmentation = Augmentation(crop, remix, remix_level if remix else (0.0, 0.0))
    signal = Signal(tuple(sources), channels, (samples,), float(rate))
    facts = {
        "content": entry.content,
        "sources": list(signal.sources),
        "sample_rate": rate,
        "augmentation": asdict(augmentation),
    }
    whole, digest = tracks or (None, "")
    facts |= {"tracks": digest} if digest else {}
    fingerprint = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    train, validation, test = (splits[split] for split in SPLITS)
    return TaskData(signal, train, validation, test, fingerprint, augmentation, units.names, whole)

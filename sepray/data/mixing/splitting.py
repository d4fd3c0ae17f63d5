"""Recordings, or stretches of them, and their division among the splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...contracts import SPLITS
from ...errors import UsageError

Array = NDArray[np.float32]
Reader = Callable[[], Tensor]
"""Opens ``[channel, time]``."""

_SUMMED = 1 << 20  # samples at a time


@dataclass(frozen=True)
class Piece:
    """A recording, or a stretch of one, of one or more sources at the same time.

    Attributes:
        name: for messages.
        identity: what tells it from all others: digests of its files, and the stretch where it is not all of them.
        start: first sample.
        stop: last sample and one.
        parts: of each source the recordings that add up to it, each with its sign.
    """

    name: str
    identity: str
    start: int
    stop: int
    parts: Mapping[str, tuple[tuple[int, Reader], ...]]

    def __len__(self) -> int:
        return self.stop - self.start

    def crop(self, source: str, start: int, samples: int) -> Array:
        """Return ``[channel, time]`` from ``start`` (counted within the piece) on; silence where no part adds up."""
        cuts = [
            sign * read()[:, self.start + start : self.start + start + samples].numpy()
            for sign, read in self.parts[source]
        ]
        if not cuts:
            return np.zeros_like(self.crop(next(name for name, several in self.parts.items() if several), 0, samples))
        total: Array = np.sum(cuts, axis=0, dtype=np.float32)
        return total

    def level(self, source: str) -> float:
        """Return the root mean square of a source over the piece."""
        starts = range(0, len(self), _SUMMED)
        squares = [
            np.square(self.crop(source, s, min(_SUMMED, len(self) - s)), dtype=np.float64).mean(0).sum() for s in starts
        ]
        return float(np.sqrt(np.sum(squares) / len(self)))


@dataclass(frozen=True)
class Track:
    """Recordings that belong together.

    Attributes:
        name: for messages; no other track's.
        split: that it is laid down to be in; empty where it is not.
        stems: file of each.
        packed: all of them are in one file.
    """

    name: str
    split: str
    stems: Mapping[str, Path]
    packed: bool = False


Recipe = Mapping[str, tuple[tuple[int, str], ...]]
"""Of each source the stems that add up to it, each with its sign."""


class Opened(Protocol):
    """What holds a recording's ``samples [channel, time]``."""

    def tensor(self, name: str) -> Tensor:
        """Return them."""
        ...


def _reader(opened: Opened, name: str = "samples") -> Reader:
    return lambda: opened.tensor(name)


def pool(
    source: str,
    opened: Mapping[Path, Opened],
    digests: Mapping[Path, str],
    item: tuple[int, int],
    problems: list[str],
) -> list[Piece]:
    """Return recordings of one source, each a piece of its own; arguments as for ``pieces_of``."""
    found = []
    for path, one in opened.items():
        read = _reader(one)
        piece = Piece(str(path), digests[path], 0, int(read().shape[1]), {source: ((1, read),)})
        why = too_short(piece, *item)
        if why is None:
            found.append(piece)
        else:
            problems.append(why)
    return without_copies(found, problems)


def pieces_of(
    tracks: Sequence[Track],
    recipes: Mapping[str, Recipe],
    opened: Mapping[Path, Opened],
    digests: Mapping[Path, str],
    item: tuple[int, int],
    problems: list[str],
) -> list[Piece]:
    """Return the tracks whose recordings can all be used; why others cannot is added to ``problems``.

    Args:
        tracks: any number.
        recipes: of each track's sources, by the track's name; others are passed over.
        opened: recordings that could be decoded; a track that lacks one is passed over.
        digests: of the files.
        item: samples that a piece must have at least, and samples a second.
        problems: in one line each.
    """
    samples, rate = item
    found = []
    for track in tracks:
        recipe = recipes.get(track.name, {})
        used = sorted({stem for part in recipe.values() for _, stem in part})
        if not used or not all(track.stems[stem] in opened for stem in used):
            continue
        readers = {stem: _reader(opened[track.stems[stem]], stem if track.packed else "samples") for stem in used}
        lengths = {stem: int(readers[stem]().shape[1]) for stem in used}
        if max(lengths.values()) - min(lengths.values()) > 1:  # one: where recordings of two rates are rounded
            said = ", ".join(f"{track.stems[stem].name} {length / rate:.6g} s" for stem, length in lengths.items())
            problems.append(f"{track.name} has stems of unequal length: {said}")
            continue
        parts = {source: tuple((sign, readers[stem]) for sign, stem in part) for source, part in recipe.items()}
        identity = hashlib.sha256("".join(f"{stem} {digests[track.stems[stem]]}" for stem in used).encode())
        piece = Piece(track.name, identity.hexdigest(), 0, min(lengths.values()), parts)
        why = too_short(piece, samples, rate)
        if why is None:
            found.append(piece)
        else:
            problems.append(why)
    return without_copies(found, problems)


def partition(names: Iterable[str], validation: int, test: int, seed: int) -> dict[str, list[str]]:
    """Return the names of each split: ``validation`` and ``test`` of them, drawn at random, and the rest to train."""
    order = sorted(names)
    np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(SPLITS),))).shuffle(order)
    cuts = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    return {split: sorted(cuts[split]) for split in SPLITS}


def share(count: int, fraction: float) -> int:
    """Return how many of ``count`` a fraction is: at least one, and one less than half at most."""
    return max(1, min(round(count * fraction), (count - 1) // 2))


def divided(
    pieces: Sequence[Piece], groups: Mapping[str, str], validation: float, test: float, seed: int, samples: int
) -> dict[str, list[Piece]]:
    """Return the pieces of each split; those of one group (a speaker, an original recording) stay together.

    Fewer than three groups cannot be divided among three splits: then each piece is cut into three stretches, the
    first to train on, the last to test on. (So S-SepGAN 3.3 has one long recording cut into files.)

    Args:
        pieces: at least one.
        groups: by the pieces' identity.
        validation: share of the groups, or of each piece.
        test: likewise.
        seed: of the random division.
        samples: that a stretch must have at least.

    Raises:
        UsageError: a piece is too short to be cut.
    """
    names = set(groups.values())
    if len(names) >= 3:
        cut = partition(names, share(len(names), validation), share(len(names), test), seed)
        return {split: [p for p in pieces if groups[p.identity] in cut[split]] for split in SPLITS}
    found: dict[str, list[Piece]] = {split: [] for split in SPLITS}
    for piece in pieces:
        ends = [0, round(len(piece) * (1 - validation - test)), round(len(piece) * (1 - test)), len(piece)]
        for split, start, stop in zip(SPLITS, ends, ends[1:], strict=False):
            if stop - start < samples:
                raise UsageError(
                    f"{piece.name} is too short to be divided among train, validation and test: {stop - start} samples "
                    f"for {split}, and an item has {samples}; give at least three recordings, or shorter items"
                )
            identity = f"{piece.identity}[{start}:{stop}]"
            found[split].append(Piece(piece.name, identity, piece.start + start, piece.start + stop, piece.parts))
    return found


def too_short(piece: Piece, samples: int, rate: int) -> str | None:
    """Say that a piece is shorter than an item (None: it is not)."""
    if len(piece) >= samples:
        return None
    return f"{piece.name} is shorter than an item: {len(piece) / rate:.4g} s, not {samples / rate:.4g} s"


def without_copies(pieces: Iterable[Piece], problems: list[str]) -> list[Piece]:
    """Return the pieces of which no earlier one has the same content; that of others is in ``problems``."""
    first: dict[str, str] = {}
    found = []
    for piece in pieces:
        if piece.identity in first:
            problems.append(f"{piece.name} is a copy of {first[piece.identity]}")
        else:
            first[piece.identity] = piece.name
            found.append(piece)
    return found

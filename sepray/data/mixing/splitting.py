"""Pieces (recordings, or stretches of them) and their division among the splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...contracts import SPLITS
from ...errors import UsageError

Array = NDArray[np.float32]
Reader = Callable[[], Tensor]
"""Opens the samples of a recording, ``[channel, time]``."""

_SAMPLES_AT_ONCE = 1 << 20  # of a sum over a piece


@dataclass(frozen=True)
class Piece:
    """A recording, or a stretch of one, of one or more sources at the same time.

    Attributes:
        name: name of the piece in messages.
        identity: digest of its files and, for a stretch, where it starts and stops; no other piece has the same.
        start: first sample.
        stop: number of the last sample, plus one.
        parts: for each source the recordings that add up to it, each with its sign.
    """

    name: str
    identity: str
    start: int
    stop: int
    parts: Mapping[str, tuple[tuple[int, Reader], ...]]

    def __len__(self) -> int:
        return self.stop - self.start

    def crop(self, source: str, start: int, samples: int) -> Array:
        """Return samples ``[channel, time]`` of a source; a source of no parts is silent.

        Args:
            source: name of the source.
            start: first sample, counted from the start of the piece.
            samples: number of samples.
        """
        cuts = [
            sign * read()[:, self.start + start : self.start + start + samples].numpy()
            for sign, read in self.parts[source]
        ]
        if not cuts:
            other = next(name for name, parts in self.parts.items() if parts)
            return np.zeros_like(self.crop(other, 0, samples))
        total: Array = np.sum(cuts, axis=0, dtype=np.float32)
        return total

    def level(self, source: str) -> float:
        """Return the root mean square of a source over the piece (mean over channels and time)."""
        energies = []
        for start in range(0, len(self), _SAMPLES_AT_ONCE):
            crop = self.crop(source, start, min(_SAMPLES_AT_ONCE, len(self) - start))
            energies.append(np.square(crop, dtype=np.float64).mean(0).sum())
        return float(np.sqrt(np.sum(energies) / len(self)))


@dataclass(frozen=True)
class Track:
    """Recordings that belong together, one for each stem.

    Attributes:
        name: name of the track in messages; no two tracks have the same.
        split: split assigned by the data set's authors; empty if none.
        stems: file of each stem.
        packed: all stems are in one file.
    """

    name: str
    split: str
    stems: Mapping[str, Path]
    packed: bool = False


Recipe = Mapping[str, tuple[tuple[int, str], ...]]
"""For each source the stems that add up to it, each with its sign."""


class Decoded(Protocol):
    """A decoded file, which holds ``[channel, time]`` under one name or more."""

    def tensor(self, name: str) -> Tensor:
        """Return the samples ``[channel, time]`` of this name."""
        ...


def _reader(decoded: Decoded, name: str = "samples") -> Reader:
    return lambda: decoded.tensor(name)


def pieces_of_files(
    source: str,
    decoded: Mapping[Path, Decoded],
    digests: Mapping[Path, str],
    item: tuple[int, int],
    problems: list[str],
) -> list[Piece]:
    """Return recordings of one source, each a piece of its own; arguments as for ``pieces_of_tracks``."""
    pieces = []
    for path, file in decoded.items():
        read = _reader(file)
        pieces.append(Piece(str(path), digests[path], 0, int(read().shape[1]), {source: ((1, read),)}))
    return _usable(pieces, item, problems)


def pieces_of_tracks(
    tracks: Sequence[Track],
    recipes: Mapping[str, Recipe],
    decoded: Mapping[Path, Decoded],
    digests: Mapping[Path, str],
    item: tuple[int, int],
    problems: list[str],
) -> list[Piece]:
    """Return a piece for each track whose recordings can all be used.

    Args:
        tracks: any number of tracks.
        recipes: how each track's sources are made, by the track's name; tracks without one are passed over.
        decoded: recordings that could be decoded; a track that lacks one is passed over.
        digests: digest of each file's content.
        item: least number of samples of a piece, and their rate in Hz.
        problems: list to which a line is added for each track that is too short, a copy, or of unequal stems.
    """
    _, rate = item
    pieces = []
    for track in tracks:
        recipe = recipes.get(track.name, {})
        used = sorted({stem for part in recipe.values() for _, stem in part})
        if not used or not all(track.stems[stem] in decoded for stem in used):
            continue
        readers = {stem: _reader(decoded[track.stems[stem]], stem if track.packed else "samples") for stem in used}
        lengths = {stem: int(readers[stem]().shape[1]) for stem in used}
        if max(lengths.values()) - min(lengths.values()) > 1:  # 1: lengths of recordings of two rates are rounded
            listed = ", ".join(f"{track.stems[stem].name} {length / rate:.6g} s" for stem, length in lengths.items())
            problems.append(f"{track.name} has stems of unequal length: {listed}")
            continue
        parts = {source: tuple((sign, readers[stem]) for sign, stem in part) for source, part in recipe.items()}
        identity = hashlib.sha256("".join(f"{stem} {digests[track.stems[stem]]}" for stem in used).encode())
        pieces.append(Piece(track.name, identity.hexdigest(), 0, min(lengths.values()), parts))
    return _usable(pieces, item, problems)


def _usable(pieces: Iterable[Piece], item: tuple[int, int], problems: list[str]) -> list[Piece]:
    """Return the pieces that are as long as an item and no copies; add a line to ``problems`` for each other piece."""
    long_enough = []
    for piece in pieces:
        reason = too_short(piece, *item)
        if reason is None:
            long_enough.append(piece)
        else:
            problems.append(reason)
    return without_copies(long_enough, problems)


def partition(names: Iterable[str], validation: int, test: int, seed: int) -> dict[str, list[str]]:
    """Return the names of each split: given numbers for validation and test, drawn at random, the rest for training."""
    order = sorted(names)
    np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(SPLITS),))).shuffle(order)
    cuts = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    return {split: sorted(cuts[split]) for split in SPLITS}


def share_of(count: int, fraction: float) -> int:
    """Return the number that a share of ``count`` is: at least one, and of three or more less than half."""
    return max(1, min(round(count * fraction), (count - 1) // 2))


def divide(
    pieces: Sequence[Piece], groups: Mapping[str, str], validation: float, test: float, seed: int, samples: int
) -> dict[str, list[Piece]]:
    """Return the pieces of each split; those of one group (a speaker, an original recording) stay together.

    Fewer than three groups cannot be divided among three splits. Then each piece is cut into three stretches: the first
    for training, the last for the test. (The S-SepGAN paper, 3.3, cuts one long recording into files.)

    Args:
        pieces: one or more pieces.
        groups: group of each piece, by the piece's identity.
        validation: share of the groups, or of each piece, for the validation split.
        test: the same share for the test split.
        seed: random seed of the division.
        samples: least samples of a stretch.

    Raises:
        UsageError: a piece is too short to be cut.
    """
    names = set(groups.values())
    if len(names) >= 3:
        chosen = partition(names, share_of(len(names), validation), share_of(len(names), test), seed)
        return {split: [piece for piece in pieces if groups[piece.identity] in chosen[split]] for split in SPLITS}
    divided: dict[str, list[Piece]] = {split: [] for split in SPLITS}
    for piece in pieces:
        ends = [0, round(len(piece) * (1 - validation - test)), round(len(piece) * (1 - test)), len(piece)]
        for split, (start, stop) in zip(SPLITS, pairwise(ends), strict=True):
            if stop - start < samples:
                raise UsageError(
                    f"{piece.name} is too short to be divided among train, validation and test: {stop - start} samples "
                    f"for {split}, and an item has {samples}; give at least three recordings, or shorter items"
                )
            identity = f"{piece.identity}[{start}:{stop}]"
            divided[split].append(Piece(piece.name, identity, piece.start + start, piece.start + stop, piece.parts))
    return divided


def too_short(piece: Piece, samples: int, rate: int) -> str | None:
    """Return why a piece is too short for an item, or None."""
    if len(piece) >= samples:
        return None
    return f"{piece.name} is shorter than an item: {len(piece) / rate:.4g} s, not {samples / rate:.4g} s"


def without_copies(pieces: Iterable[Piece], problems: list[str]) -> list[Piece]:
    """Return the pieces whose content no earlier piece has; add a line to ``problems`` for each copy."""
    first: dict[str, str] = {}
    different = []
    for piece in pieces:
        if piece.identity in first:
            problems.append(f"{piece.name} is a copy of {first[piece.identity]}")
        else:
            first[piece.identity] = piece.name
            different.append(piece)
    return different

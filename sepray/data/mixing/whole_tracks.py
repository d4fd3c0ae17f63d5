"""Whole recordings of a test split, on which separators are scored as papers do: each in one piece, however long.

They lie in a cache entry of their own, with tensors for each track that are as long as the track, without padding. A
page of the file is read when it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...contracts import Tracks
from ...disk import file_names
from ..cache import Plan, mapped
from .mixtures import Array
from .recording_folders import STEM_FILE, SUFFIXES
from .splitting import Piece

VERSION = 1
"""Version of how tracks are made; part of the key of cached ones."""

UNRELATED = ("train", "validation", "test", "stretch", "remix", "remix_level", "test_tracks")
"""Names of the fields of tasks on which tracks do not depend."""

_SAMPLES_AT_ONCE = 1 << 20


def tracks(
    cache: Path, task: str, key: Mapping[str, object], plan: Callable[[], Plan], units: Sequence[Sequence[str]] = ()
) -> tuple[Tracks, str]:
    """Return the tracks kept in the folder ``cache``, made if there are none, and the digest of their content.

    Args:
        cache: folder of the cache.
        task: name of the task.
        key: key of the task's items; its ``config`` has the fields of the configuration.
        plan: returns how to make the tracks: ``of_pieces`` or ``of_pairs``.
        units: units of each track (``Tracks.units``); default: those of the plan.
    """
    config = {name: value for name, value in dict(key["config"]).items() if name not in UNRELATED}  # type: ignore[call-overload]
    entry = mapped(cache, f"{task}-tracks", {**key, "config": config, "tracks": VERSION}, plan)
    names = tuple(file_names.different(entry.facts["names"]))  # older entries may have any
    kept = units or entry.facts["units"]
    return (
        Tracks(
            names,
            tuple(entry.tensors[f"{number}/mixture"] for number in range(len(names))),
            tuple(entry.tensors[f"{number}/sources"] for number in range(len(names))),
            tuple(map(tuple, kept)),
        ),
        entry.content,
    )


def of_pieces(pieces: Sequence[Piece], sources: int, channels: int) -> Plan:
    """Return the plan by which a track is made of each piece.

    Args:
        pieces: pieces, whose parts add up to the mixture; the first ``sources`` parts are the sources.
        sources: number of sources.
        channels: number of channels.
    """

    def fill(out: Mapping[str, Array]) -> None:
        for number, piece in enumerate(pieces):
            for start in range(0, len(piece), _SAMPLES_AT_ONCE):
                samples = min(_SAMPLES_AT_ONCE, len(piece) - start)
                parts = np.stack([piece.crop(part, start, samples) for part in piece.parts])
                out[f"{number}/sources"][..., start : start + samples] = parts[:sources]
                out[f"{number}/mixture"][..., start : start + samples] = parts.sum(0)

    facts = {"names": track_names(piece.name for piece in pieces), "units": [[piece.identity] for piece in pieces]}
    return Plan(_shapes([len(piece) for piece in pieces], sources, channels), fill, facts)


def of_pairs(
    first: Sequence[Piece],
    second: Sequence[Piece],
    sources: tuple[str, str],
    ratio: tuple[float, float],
    seed: int,
    most: int,
    unit_of: tuple[Mapping[str, str], Mapping[str, str]],
) -> Plan:
    """Return the plan of mono tracks, each of a whole piece of one source and as much of another source.

    For the other source a piece is drawn at random, and read from a random place on; a shorter piece is repeated.

    Args:
        first: pieces of the first source.
        second: pieces of the second source.
        sources: names of the two sources.
        ratio: lowest and highest level of the first over the second in a track, in dB, drawn uniformly. The first keeps
            its level.
        seed: the task's random seed.
        most: largest number of tracks; where there are more pieces of the first source, so many are drawn at random.
        unit_of: unit of each piece of the two sources, by its identity.
    """
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4,)))
    chosen = [first[k] for k in sorted(random.permutation(len(first))[:most].tolist())]
    partners = [second[k] for k in random.integers(len(second), size=len(chosen)).tolist()]
    decibels = random.uniform(*ratio, size=len(chosen))
    starts = [int(random.integers(len(piece))) for piece in partners]

    def fill(out: Mapping[str, Array]) -> None:
        for number, (one, other, start) in enumerate(zip(chosen, partners, starts, strict=True)):
            both = out[f"{number}/sources"]
            both[0] = one.crop(sources[0], 0, len(one))
            both[1] = _repeated(other.crop(sources[1], 0, len(other)), start, len(one))
            levels = np.sqrt(np.square(both, dtype=np.float64).mean((1, 2)))
            if levels.min() > 0:
                both[1] *= np.float32(levels[0] / levels[1] / 10 ** (decibels[number] / 20))
            out[f"{number}/mixture"][:] = both.sum(0)

    units = [
        [of[p.identity] for of, p in zip(unit_of, pair, strict=True)] for pair in zip(chosen, partners, strict=True)
    ]
    facts = {"names": track_names(piece.name for piece in chosen), "units": units}
    return Plan(_shapes([len(piece) for piece in chosen], 2, 1), fill, facts)


def track_names(paths: Iterable[str]) -> list[str]:
    """Return the names of folders or files without suffix, made different for every file system."""
    stems = []
    for path in paths:
        stem = Path(path).name
        ending = next((e for e in (STEM_FILE, *SUFFIXES) if stem.lower().endswith(e)), "")
        stems.append(stem[: len(stem) - len(ending)])
    return file_names.different(stems)


def _repeated(samples: Array, start: int, length: int) -> Array:
    """Return ``[channel, length]``: samples ``[channel, time]`` from ``start`` on, repeated from the first on."""
    rolled = np.roll(samples, -start, axis=-1) if samples.shape[-1] < length + start else samples[:, start:]
    return np.tile(rolled, math.ceil(length / rolled.shape[-1]))[:, :length]


def _shapes(lengths: Sequence[int], sources: int, channels: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for number, length in enumerate(lengths):
        shapes[f"{number}/mixture"] = (channels, length)
        shapes[f"{number}/sources"] = (sources, channels, length)
    return shapes

"""Items of a task cut from recordings: which recordings are in which split, random crops, and their mixtures.

Imports nothing from sepray but the contracts and errors. ``folders`` finds recordings, ``pieces`` divides them among
the splits, ``items`` crops and mixes them. Legend: ``source``, ``channel``, ``time``.
"""

from .folders import (
    STEM_FILE,
    SYNTHESISED,
    check,
    given_folder,
    say_left_out,
    settle,
    sound_files,
    synthesised,
    tracks_in,
)
from .items import LIMITS, SPLITS, Crops, gain, rms, shapes, stretch, task_data, write, write_pairs
from .pieces import Piece, Recipe, Track, divided, partition, pieces_of, pool, share, too_short, without_copies

__all__ = [
    "LIMITS",
    "SPLITS",
    "STEM_FILE",
    "SYNTHESISED",
    "VERSION",
    "Crops",
    "Piece",
    "Recipe",
    "Track",
    "check",
    "divided",
    "gain",
    "given_folder",
    "partition",
    "pieces_of",
    "pool",
    "rms",
    "say_left_out",
    "settle",
    "shapes",
    "share",
    "sound_files",
    "stretch",
    "synthesised",
    "task_data",
    "too_short",
    "tracks_in",
    "without_copies",
    "write",
    "write_pairs",
]

VERSION = 2
"""Of what items are made; part of the key of cached ones."""

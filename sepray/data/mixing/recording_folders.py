"""Folders of recordings: the user's, those made to try a task, and what to do where some cannot be used."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .splitting import Track

SYNTHESISED = ":synthesised:"
"""In the place of a folder: a few small files of its layout are made in the cache (for tests, and to try a task)."""

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")
"""Of files that are taken for recordings."""

STEM_FILE = ".stem.mp4"
"""End of the names of MUSDB18's files."""

_STEMS = ("mixture", "drums", "bass", "other", "vocals")  # in a stem file, in this order
_MUSDB_VALIDATION = {  # the tracks that musdb takes from those to train on
    "ANiMAL - Rockshow",
    "Actions - One Minute Smile",
    "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Fergessen - Nos Palpitants",
    "James May - On The Line",
    "Johnny Lokke - Promises & Lies",
    "Leaf - Summerghost",
    "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave",
    "Skelpolu - Human Mistakes",
    "Traffic Experiment - Sirens",
    "Triviul - Angelsaint",
    "Young Griffo - Pennies",
}
_SUBSETS = {"train": "train", "validation": "validation", "valid": "validation", "test": "test"}


def sound_files(folder: Path) -> list[Path]:
    """Return all recordings in a folder and the folders in it, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def tracks_in(folder: Path) -> list[Track]:
    """Return the tracks of a folder, in one of the layouts that ``tasks.stems`` describes, sorted."""
    if (folder / "Sources").is_dir() and (folder / "Mixtures").is_dir():
        found = [
            Track(str(track), split, {**_stems(folder / "Mixtures" / subset / track.name), **_stems(track)})
            for subset, split in (("Dev", ""), ("Test", "test"))
            for track in _folders(folder / "Sources" / subset)
        ]
    else:
        subsets = [p for p in _folders(folder) if p.name.lower() in _SUBSETS and not _stems(p)]  # no track of that name
        found = []
        for subset in subsets or [folder]:
            split = _SUBSETS[subset.name.lower()] if subsets else ""
            found += [Track(str(track), split, _stems(track)) for track in _folders(subset)]
            packed = sorted(path for path in subset.iterdir() if path.name.endswith(STEM_FILE))
            found += [Track(str(path), split, dict.fromkeys(_STEMS, path), packed=True) for path in packed]
    found = [_laid_down(track, found) for track in found]
    return [track for track in found if track.stems]


def _laid_down(track: Track, tracks: Sequence[Track]) -> Track:
    """Return a track with the split that it is in; MUSDB18's own validation tracks are where all of them are there."""
    free = {_name(one) for one in tracks if one.split in ("", "train")}
    split = track.split
    if any(one.split == "validation" for one in tracks):
        split = split or "train"
    elif split in ("", "train") and free >= _MUSDB_VALIDATION:
        split = "validation" if _name(track) in _MUSDB_VALIDATION else "train"
    elif split == "train":
        split = ""  # a share of these is the validation split
    return Track(track.name, split, track.stems, track.packed)


def _name(track: Track) -> str:
    return Path(track.name).name.removesuffix(STEM_FILE)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _stems(folder: Path) -> dict[str, Path]:
    """Return the recordings in a folder, by the names that they have without suffix."""
    if not folder.is_dir():
        return {}
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")}


def settle(problems: Sequence[str], skip_bad: bool, usable: int, least: int, what: str) -> None:
    """Refuse a folder of which something, or not enough, can be used.

    Raises:
        UsageError: there are problems and they shall not be left out, or fewer than ``least`` are usable.
    """
    if problems and not skip_bad:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(f"{problems[0]}{more}; --task.skip-bad leaves out what cannot be used")
    if usable < least:
        left_out = f", {len(problems)} left out: {problems[0]} ..." if problems else ""
        raise UsageError(f"{what}: {usable} usable, at least {least} are needed{left_out}")


def say_left_out(facts: Mapping[str, Any]) -> None:
    """List on stderr what ``--task.skip-bad`` has left out."""
    for line in facts["left_out"]:
        print(f"left out: {line}", file=sys.stderr)


def synthesised(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder in the cache with small files that ``make`` has written there, all of them or none."""
    folder = cache / f"synthesised-{name}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".synthesised-") as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            make(made)
            with contextlib.suppress(OSError):  # another process was first: its folder is the same
                made.rename(folder)
    return folder


def given_folder(folder: str, flag: str, needs: str) -> Path:
    """Return the folder that a task reads.

    Args:
        folder: as given; empty where it was not.
        flag: that gives it.
        needs: what should be there, and where to get it.

    Raises:
        UsageError: none was given, or it is not there.
    """
    if not folder:
        raise UsageError(f"{flag} is missing: the task needs {needs}")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"there is no folder {path} ({flag}): the task needs {needs}")
    return path


def check(values: Mapping[str, tuple[float, float, float]]) -> None:
    """Refuse values out of range: name -> (value, low, high).

    Raises:
        ValueError: in one line.
    """
    for name, (value, low, high) in values.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value}")

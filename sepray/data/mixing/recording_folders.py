"""Folders of recordings: finds and decodes them, makes small ones to try a task, and refuses what cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...disk.files import is_clutter, make_folder, refuse_links
from ...errors import UsageError
from ...plain_text import escape_controls
from ..cache import Kept, Plan, kept_files
from .splitting import Track

SYNTHESISED = ":synthesised:"
"""Word in place of a folder: small files in the folder's layout are made in the cache, for tests or to try a task."""

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf")
"""Suffixes of the files that are taken for recordings."""

STEM_FILE = ".stem.mp4"
"""Suffix of MUSDB18's files, each of which holds all recordings of a track."""

_PACKED_STEMS = ("mixture", "drums", "bass", "other", "vocals")  # in a stem file
_MUSDB_VALIDATION = {  # the training tracks that the library musdb sets aside for validation
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


class RecordingDecoder(NamedTuple):
    """Decodes recordings at the rate and with the channels of a task.

    Attributes:
        version: version of the decoded samples; part of the key of cached ones.
        decode: returns shapes and a function that fills arrays of these shapes, from a file, a rate in Hz and a number
            of channels; refuses a file by a UsageError.
    """

    version: int
    decode: Callable[[Path, int, int], tuple[Mapping[str, tuple[int, ...]], Callable[[Mapping[str, Any]], None]]]


def decoded_files(
    cache: Path, files: Sequence[Path], decoder: RecordingDecoder, rate: int, channels: int
) -> tuple[dict[Path, Kept], dict[Path, str]]:
    """Decode files, each once: the decoded ones are kept in the folder ``cache``.

    Returns:
        the decoded files, and the reasons why others were refused.
    """
    key = {"rate": rate, "channels": channels, "version": decoder.version}
    return kept_files(cache, "sound", files, key, lambda file: Plan(*decoder.decode(file, rate, channels)), "decoding")


def sound_files(folder: Path) -> list[Path]:
    """Return all recordings in a folder and below it, sorted; links out of the folder are refused."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    found = sorted(p for p in found if not is_clutter(p.relative_to(folder)))
    refuse_links(found, folder)
    return found


def tracks_in(folder: Path) -> list[Track]:
    """Return the tracks of a folder, in one of the layouts that ``tasks.stems`` describes, sorted."""
    if (folder / "Sources").is_dir() and (folder / "Mixtures").is_dir():
        tracks = [
            Track(str(track), split, {**_stems(folder / "Mixtures" / subset / track.name), **_stems(track)})
            for subset, split in (("Dev", ""), ("Test", "test"))
            for track in _folders(folder / "Sources" / subset)
        ]
    else:
        subsets = [p for p in _folders(folder) if p.name.lower() in _SUBSETS and not _stems(p)]  # no track of that name
        tracks = []
        for subset in subsets or [folder]:
            split = _SUBSETS[subset.name.lower()] if subsets else ""
            tracks += [Track(str(track), split, _stems(track)) for track in _folders(subset)]
            packed = sorted(
                path
                for path in subset.iterdir()
                if path.name.lower().endswith(STEM_FILE) and path.is_file() and not is_clutter(Path(path.name))
            )
            tracks += [Track(str(path), split, dict.fromkeys(_PACKED_STEMS, path), packed=True) for path in packed]
    refuse_links((path for track in tracks for path in track.stems.values()), folder)
    tracks = [_with_split(track, tracks) for track in tracks]
    return [track for track in tracks if track.stems]


def _with_split(track: Track, tracks: Sequence[Track]) -> Track:
    """Return a track with the split assigned to it, if any.

    Where some of ``tracks`` are in the validation split, tracks without a split are for training. Where none is, but
    all 14 of MUSDB18's validation tracks are there, these become the validation split. Otherwise training tracks get no
    split, and a share of them will be drawn for validation.
    """
    to_learn_from = {_title(other) for other in tracks if other.split in ("", "train")}
    split = track.split
    if any(other.split == "validation" for other in tracks):
        split = split or "train"
    elif split in ("", "train") and to_learn_from >= _MUSDB_VALIDATION:
        split = "validation" if _title(track) in _MUSDB_VALIDATION else "train"
    elif split == "train":
        split = ""
    return Track(track.name, split, track.stems, track.packed)


def _title(track: Track) -> str:
    return Path(track.name).name.removesuffix(STEM_FILE)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_clutter(Path(p.name)))


def _stems(folder: Path) -> dict[str, Path]:
    """Return the recordings in a folder, by their names without suffix."""
    if not folder.is_dir():
        return {}
    found = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and p.is_file()]
    return {p.stem: p for p in found if not is_clutter(Path(p.name))}


def refuse_unusable(problems: Sequence[str], skip_bad: bool, usable: int, least: int, what: str) -> None:
    """Refuse a folder with recordings that cannot be used, or with too few that can.

    Args:
        problems: why recordings cannot be used, one line each.
        skip_bad: whether to leave these recordings out instead.
        usable: number of recordings that can be used.
        least: number of recordings that are needed.
        what: name of the recordings and their folder, for the message.

    Raises:
        UsageError: there are problems and ``skip_bad`` is false, or fewer than ``least`` recordings are usable.
    """
    if problems and not skip_bad:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(f"{problems[0]}{more}; --task.skip-bad leaves out what cannot be used")
    if usable < least:
        left_out = f", {len(problems)} left out: {problems[0]} ..." if problems else ""
        raise UsageError(f"{what}: {usable} usable, at least {least} are needed{left_out}")


def report_left_out(facts: Mapping[str, Any]) -> None:
    """List on stderr the recordings that ``--task.skip-bad`` has left out, from an entry's facts."""
    for line in facts["left_out"]:
        print(f"left out: {escape_controls(line)}", file=sys.stderr)


def synthesised_folder(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder in the cache with the small files that ``make`` writes into it; all of them are there or none."""
    folder = cache / f"synthesised-{name}"
    make_folder(folder, make)
    return folder


def given_folder(folder: str, flag: str, needs: str) -> Path:
    """Return the folder that a task reads.

    Args:
        folder: folder that the user gave; empty where none was given.
        flag: flag that gives it.
        needs: what should be in it, and where to get that.

    Raises:
        UsageError: none was given, or it does not exist.
    """
    if not folder:
        raise UsageError(f"{flag} is missing: the task needs {needs}")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UsageError(f"there is no folder {path} ({flag}): the task needs {needs}")
    return path

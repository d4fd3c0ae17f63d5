"""Tracks with a recording of each source: MUSDB18 (WAV or stem files), DSD100, and the user's own.

The folder's content tells which of these layouts it has:

- ``track/source.wav``: any tracks and sources; ``track/mixture.wav`` is optional. Tracks may lie in folders ``train``,
  ``validation`` and ``test`` (MUSDB18-HQ has the first and the last). Other names are up to the user.
- ``Mixtures/Dev/track/mixture.wav`` and ``Sources/Dev/track/source.wav``, and both with ``Test``: DSD100.
- ``train/track.stem.mp4``, ``test/track.stem.mp4``: MUSDB18, read through musdb (``pip install 'sepray[musdb]'``; it
  needs ffmpeg).

A source ``accompaniment`` that has no file is the sum of all other stems (or the mixture less the chosen stems, where
there are no others). So ``--task.sources vocals accompaniment`` is the two-source form (the default; SSGAN-V, and
vocals in section 4.3 of the NES paper), ``--task.sources vocals drums bass other`` the four-source form.
``instrumental`` is the sum without ``vocals``, which then are in no mixture: ``--task.sources drums instrumental`` is
the drums of the same section.

Splits are by track. A folder of test tracks is the test split; without one, a share of the tracks is. The validation
split is a folder of that name, the 14 tracks that musdb sets aside, or a share of the training tracks. Items are random
crops; training items are ``stretch`` times as long, and each batch has new crops of them. Where a separator sees the
sources of its mixtures, a batch may also be remixed: each source from an item of its own, at a random level
(``remix``). Test figures are of whole tracks, each separated from start to end (``test_tracks``). Defaults are those of
the SSGAN paper (3.1): mono, the mean of both channels; 44.1 kHz; 32 frames of 1024 samples.

A study names its task in its file (``task="stems"``; see ``studies/``), and the fields below are its flags::

    python my_study.py --task.folder ~/data/DSD100 --task.sources vocals drums bass other --task.remix 0.5
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import soundfile

from ..contracts import SPLITS, TaskData, Tracks
from ..data import instruments, limits
from ..data.cache import Entry, Kept, Plan, file_digests, mapped
from ..data.mixing import mixtures, recording_folders, splitting, whole_tracks
from ..errors import UsageError
from ..signal_checks import check_source_names
from ..signals import decoding
from ..signals.recording_types import SilentError

Divided = tuple[dict[str, list[splitting.Piece]], list[str]]
"""Pieces of each split, and why recordings cannot be used."""

_UNRELATED = ("folder", "remix", "remix_level", "test_tracks")  # fields on which no item depends
_VOICE, _ACCOMPANIMENT, _INSTRUMENTAL = "vocals", "accompaniment", "instrumental"  # the last two may have no file
_REST = "(not a source)"  # part of a track that is in the mixture and in no source
_NEEDS = (
    "a folder with track/source.wav for every track and source (your own, or MUSDB18-HQ, zenodo.org/records/3338373), "
    "DSD100 (sigsep.github.io/datasets/dsd100.html) or MUSDB18 (zenodo.org/records/1117372); --task.folder "
    ":synthesised: tries the task without"
)


@dataclass(frozen=True)
class Config:
    """Needs a folder of tracks with a recording of each source: folder; for stem files also musdb and ffmpeg."""

    folder: str = ""
    """Folder of the tracks; :synthesised: makes a few small ones, to try the task."""
    sources: tuple[str, ...] = ("vocals", "accompaniment")
    """Names of the sources, in their order: file names without suffix; accompaniment may be the sum of all other stems,
    instrumental the same without vocals."""
    mixture: Literal["chosen", "all"] = "chosen"
    """Parts of a mixture: the sources, or all stems of the track."""
    train: int = 1000
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 32768
    """Length of a mixture in samples."""
    stretch: float = 2.0
    """Length of a training item as a multiple of a mixture's; no longer than the shortest training recording. Batches
    have random crops of training items."""
    sample_rate: int = 44100
    """Sample rate in Hz; recordings of other rates are resampled to it."""
    channels: Literal[1, 2] = 1
    """Number of channels: 1 for the mean of a recording's channels, 2 for stereo recordings as they are."""
    remix: float = 0.0
    """Share of a training batch's mixtures that are made anew, each source from another item."""
    remix_level: tuple[float, float] = (-6.0, 6.0)
    """Lowest and highest gain of a source in a remixed mixture, in dB."""
    validation_share: float = 0.1
    """Share of the training tracks for the validation split, if the folder has none."""
    test_share: float = 0.2
    """Share of all tracks for the test split, if the folder has none."""
    test_tracks: bool = True
    """Score on the whole tracks of the test split, each separated from start to end; else on the crops."""
    skip_bad: bool = False
    """Leave out tracks with a recording that cannot be used, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split and of the crops."""

    LATER_FIELDS: ClassVar[Mapping[str, object]] = {"test_tracks": False}
    """Values of these fields in studies and models of older versions, which lacked them."""

    def __post_init__(self) -> None:
        shares = {"remix": (0, 1), "validation_share": (0, 0.5), "test_share": (0, 0.5)}
        limits.check(self, {**mixtures.LIMITS, **shares, "channels": (1, 2), **limits.items(10**7)})
        limits.check_ranges(self, {"remix_level": (-60, 60)})
        limits.check_chosen(self.sources, self.mixture, None, "source")
        check_source_names(self.sources)

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.report_left_out(entry.facts)
        units = mixtures.units_in_turn(entry, "tracks")
        whole = self._tracks(cache) if self.test_tracks else None
        return mixtures.task_data(entry, self.sources, self.sample_rate, units, self.remix, self.remix_level, whole)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its tracks' recordings."""
        return mixtures.recordings_of(self._entry(cache))

    def _entry(self, cache: Path) -> Entry:
        key, divided = self._described(cache)
        return mapped(cache, "stems", key, lambda: self._plan(*divided()))

    def _tracks(self, cache: Path) -> tuple[Tracks, str]:
        key, divided = self._described(cache)
        sizes = (len(self.sources), self.channels)
        plan = lambda: whole_tracks.of_pieces(divided()[0]["test"], *sizes)  # noqa: E731
        return whole_tracks.tracks(cache, "stems", key, plan)

    def _described(self, cache: Path) -> tuple[dict[str, object], Callable[[], Divided]]:
        """Return the key of the data's cache entries, and a function that returns each split's pieces and problems."""
        if self.folder == recording_folders.SYNTHESISED:
            own = [name for name in self.sources if name not in (_ACCOMPANIMENT, _INSTRUMENTAL)]
            voice = [_VOICE] if _INSTRUMENTAL in self.sources else []
            names = tuple(dict.fromkeys((*own, *voice, "other")))
            label = f"stems-{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}-{self.seed}"
            folder = recording_folders.synthesised_folder(
                cache, label, lambda made: _synthesise(made, names, self.seed)
            )
        else:
            folder = recording_folders.given_folder(self.folder, "--task.folder", _NEEDS)
        tracks = recording_folders.tracks_in(folder)
        if not tracks:
            raise UsageError(f"there are no tracks in {folder}: the task needs {_NEEDS}")
        digests = file_digests(cache, sorted({file for track in tracks for file in track.stems.values()}))
        key: dict[str, object] = {
            "config": {k: v for k, v in asdict(self).items() if k not in _UNRELATED},
            "tracks": [
                [Path(track.name).name, track.split, {stem: digests[file] for stem, file in track.stems.items()}]
                for track in tracks
            ],
            "versions": [decoding.VERSION, mixtures.VERSION],
        }
        return key, lambda: self._pieces(cache, folder, tracks, digests)

    def _plan(self, divided: dict[str, list[splitting.Piece]], problems: list[str]) -> Plan:
        sources = len(self.sources)
        return mixtures.cropped_plan(
            self,
            divided,
            sources,
            self.channels,
            problems,
            lambda out: mixtures.fill_from_tracks(out, divided, sources, self.seed, audible=sources),
        )

    def _pieces(self, cache: Path, folder: Path, tracks: list[splitting.Track], digests: Mapping[Path, str]) -> Divided:
        problems: list[str] = []
        recipes: dict[str, splitting.Recipe] = {}
        for track in tracks:
            try:
                recipes[track.name] = self._recipe(track)
            except UsageError as error:
                problems.append(str(error))
        used = {
            track.stems[stem] for track in tracks for part in recipes.get(track.name, {}).values() for _, stem in part
        }
        silent: set[Path] = set()
        decoder = recording_folders.RecordingDecoder(
            decoding.VERSION, lambda file, rate, channels: _decoding(file, rate, channels, silent)
        )
        decoded, refused = recording_folders.decoded_files(
            cache, sorted(used), decoder, self.sample_rate, self.channels
        )
        for track in tracks:
            if recipe := recipes.pop(track.name, None):
                heard = _heard(track, silent, decoded)
                if track.packed and (unheard := _unheard_source(recipe, heard)):
                    problems.append(f"{track.name} has no sound in {unheard}")
                else:
                    recipes[track.name] = _without_silence(recipe, heard)
        used = {
            track.stems[stem] for track in tracks for part in recipes.get(track.name, {}).values() for _, stem in part
        }
        problems += [reason for file, reason in refused.items() if file in used]
        item = (self.item_samples, self.sample_rate)
        pieces = splitting.pieces_of_tracks(tracks, recipes, decoded, digests, item, problems)
        recording_folders.refuse_unusable(problems, self.skip_bad, len(pieces), 3, f"tracks in {folder}")
        return self._divided(pieces, {track.name: track.split for track in tracks}, folder), problems

    def _recipe(self, track: splitting.Track) -> splitting.Recipe:
        """Return which of a track's stems add up to each source, and to the rest of the mixture.

        Raises:
            UsageError: the track has no stem for a source.
        """
        stems = [stem for stem in track.stems if stem != "mixture"]
        chosen = [source for source in self.sources if source in stems]
        # The voice is no part of an instrumental that is a sum; it is left for a mixture of all stems.
        apart = [_VOICE] if _INSTRUMENTAL in self.sources and not {_VOICE, _INSTRUMENTAL} & set(chosen) else []
        if apart and _VOICE not in stems:
            raise UsageError(
                f"{track.name} has no {_VOICE}, which {_INSTRUMENTAL} is without: {', '.join(track.stems)}"
            )
        rest = tuple((1, stem) for stem in stems if stem not in (*chosen, *apart))
        if not rest and "mixture" in track.stems and len(chosen) < len(self.sources):
            rest = ((1, "mixture"), *((-1, stem) for stem in (*chosen, *apart)))
        recipe: dict[str, tuple[tuple[int, str], ...]] = {}
        for source in self.sources:
            if source in stems:
                recipe[source] = ((1, source),)
            elif source in (_ACCOMPANIMENT, _INSTRUMENTAL) and rest:
                recipe[source], rest = rest, ()
            else:
                raise UsageError(f"{track.name} has no {source}, only {', '.join(track.stems)}")
        left = (*rest, *((1, stem) for stem in apart))
        return {**recipe, _REST: left} if self.mixture == "all" else recipe

    def _divided(
        self, pieces: list[splitting.Piece], splits: Mapping[str, str], folder: Path
    ) -> dict[str, list[splitting.Piece]]:
        """Return the pieces of each split: those assigned to it, or a random share of the others."""
        assigned = {split: {piece.name for piece in pieces if splits[piece.name] == split} for split in ("", *SPLITS)}
        free = assigned[""]
        test = 0 if assigned["test"] else splitting.share_of(len(free), self.test_share)
        validation = 0 if assigned["validation"] else splitting.share_of(len(free), self.validation_share)
        drawn = splitting.partition(free, validation, test, self.seed)
        divided = {s: [p for p in pieces if p.name in assigned[s] or p.name in drawn[s]] for s in SPLITS}
        if empty := [split for split in SPLITS if not divided[split]]:
            raise UsageError(f"{folder} has too few tracks that can be used: there are none for {empty[0]}")
        return divided


def _heard(track: splitting.Track, silent: set[Path], decoded: Mapping[Path, Kept]) -> set[str]:
    """Return the stems of a track that are not silent; those that could not be decoded count as heard."""
    if not track.packed:
        return {stem for stem, file in track.stems.items() if file not in silent}
    files = {stem: decoded.get(file) for stem, file in track.stems.items()}
    return {stem for stem, file in files.items() if file is None or bool(file.tensor(stem).count_nonzero())}


def _unheard_source(recipe: splitting.Recipe, heard: set[str]) -> str | None:
    """Return the name of a source whose stems are all silent; None if there is none."""
    unheard = [name for name, part in recipe.items() if name != _REST and not any(stem in heard for _, stem in part)]
    return unheard[0] if unheard else None


def _without_silence(recipe: splitting.Recipe, heard: set[str]) -> splitting.Recipe:
    """Return a recipe without silent stems; a source whose stems are all silent keeps them."""
    sounding = {name: tuple(part for part in parts if part[1] in heard) for name, parts in recipe.items()}
    return {name: parts if parts or name == _REST else recipe[name] for name, parts in sounding.items()}


def _decoding(file: Path, rate: int, channels: int, silent: set[Path]) -> decoding.Decoding:
    """Return how to decode a file; a file that is refused because it is silent is added to ``silent``."""
    if file.name.lower().endswith(recording_folders.STEM_FILE):
        return decoding.of_stem_file(file, rate, channels)
    try:
        return decoding.of_file(file, rate, channels)
    except SilentError:
        silent.add(file)
        raise


def _synthesise(folder: Path, names: tuple[str, ...], seed: int) -> None:
    """Write five short tracks of synthetic instruments, and one of noise bursts for every source beyond four."""
    for number in range(1, 6):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        parts = list(instruments.play(random, 4000, 8000))
        while len(parts) < len(names):
            beats = np.exp(-(np.arange(4000) % 1000 + random.uniform(0, 50)) / 200)
            parts.append((beats * random.standard_normal(4000)).astype(np.float32))
        track = folder / f"Track {number}"
        track.mkdir()
        for name, part in zip(names, parts, strict=False):
            soundfile.write(track / f"{name}.wav", part / 8, 8000)


DEBUG = Config(
    recording_folders.SYNTHESISED, train=16, validation=6, test=6, item_samples=1024, sample_rate=8000, remix=0.5
)
"""Crops of an eighth of a second of five small tracks, made in a tenth of one."""

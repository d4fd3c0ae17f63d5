"""Tracks with a recording of each source: MUSDB18 (WAV or stem files), DSD100, and the user's own.

Four layouts are known by what is in the folder:

- ``track/source.wav``: any tracks and sources; ``track/mixture.wav`` may be there (MUSDB18-HQ: in ``train`` and
  ``test``; a folder ``validation`` is looked for as well). Names of folders and files are up to the user.
- ``Mixtures/Dev/track/mixture.wav`` and ``Sources/Dev/track/source.wav``, and both with ``Test``: DSD100.
- ``train/track.stem.mp4``, ``test/track.stem.mp4``: MUSDB18, read through musdb (``pip install 'sepray[musdb]'``; it
  needs ffmpeg).

A source ``accompaniment`` that has no file is the sum of all other stems (or the mixture less the chosen ones, where
there are no others): so ``--task.sources vocals accompaniment`` is the two-source form (the default; SSGAN-V),
``--task.sources vocals drums bass other`` the four-source form, and ``--task.sources vocals drums`` that of NES 4.3.

Splits are by track. Where there is a folder for tests, it is the test split. The validation split is a folder of that
name, the 14 tracks that musdb sets aside, or a share of the tracks to train on. Items are random crops; those to train
on are ``stretch`` times as long, and each batch has new crops of them. Where a separator sees the sources of its
mixtures, a batch may also be remixed: each source from an item of its own, at a random level (``remix``).
Defaults follow SSGAN 3.1 where it says so: mono, the mean of both channels; 44.1 kHz; 32 frames of 1024 samples.

A study names its task in its file (``task="stems"``; see ``studies/``), and the fields below are its flags::

    python my_study.py --task.folder ~/data/DSD100 --task.sources vocals drums bass other --task.remix 0.5
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..contracts import SPLITS, TaskData
from ..data import instruments
from ..data.cache import Entry, Plan, file_digests, kept_files, mapped
from ..data.mixing import mixtures, recording_folders, splitting
from ..errors import UsageError
from ..signals import resampling as decoding
from ..signals.recordings import open_recording

_REST = "(not a source)"
_NEEDS = (
    "a folder with track/source.wav for every track and source (your own, or MUSDB18-HQ, zenodo.org/records/3338373), "
    "DSD100 (sigsep.github.io/datasets/dsd100.html) or MUSDB18 (zenodo.org/records/1117372); --task.folder "
    ":synthesised: tries the task without"
)


@dataclass(frozen=True)
class Config:
    """Needs a folder of tracks with a recording of each source: ``folder``; for stem files also musdb and ffmpeg."""

    folder: str = ""
    """Folder of the tracks; ``:synthesised:`` for a few small ones made on the spot."""
    sources: tuple[str, ...] = ("vocals", "accompaniment")
    """Names of the recordings that are the sources, in this order; accompaniment may be all others."""
    mixture: Literal["chosen", "all"] = "chosen"
    """What is mixed: the sources, or all stems that a track has."""
    train: int = 1000
    """Mixtures in the training split."""
    validation: int = 200
    """Mixtures in the validation split."""
    test: int = 200
    """Mixtures in the test split."""
    item_samples: int = 32768
    """Samples in a mixture."""
    stretch: float = 2.0
    """Length of a training item over that of a mixture (at most the shortest training recording's); batches have random
    crops of it."""
    sample_rate: int = 44100
    """Samples a second; recordings of other rates are resampled."""
    channels: Literal[1, 2] = 1
    """1 for the mean of the channels that there are; 2 for stereo recordings as they are."""
    remix: float = 0.0
    """Share of a batch's mixtures whose sources come from different items, anew in every epoch."""
    remix_level: tuple[float, float] = (-6.0, 6.0)
    """Lowest and highest gain of a source in them, in dB."""
    validation_share: float = 0.1
    """Of the tracks that may be learned from, where no validation split is laid down."""
    test_share: float = 0.2
    """Of all tracks, where there is no folder for tests."""
    skip_bad: bool = False
    """Leave out tracks with a recording that cannot be used, and list them."""
    seed: int = 0
    """Of the division of the tracks, and of the crops."""

    def __post_init__(self) -> None:
        limits = {**mixtures.LIMITS, "remix": (0, 1), "validation_share": (0, 0.5), "test_share": (0, 0.5)}
        limits |= {"channels": (1, 2), **dict.fromkeys(SPLITS, (1, 10**7))}
        recording_folders.check({name: (getattr(self, name), *both) for name, both in limits.items()})
        if len(self.remix_level) != 2 or not -60 <= self.remix_level[0] <= self.remix_level[1] <= 60:
            raise ValueError(f"remix_level must be two rising numbers between -60 and 60, not {self.remix_level}")
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources must be one name or more, each once, not {self.sources}")
        if wrong := [name for name in self.sources if not name or "/" in name or name == "mixture"]:
            raise ValueError(f"{wrong[0]!r} cannot be a source")
        if self.mixture not in ("chosen", "all"):
            raise ValueError(f"mixture must be chosen or all, not {self.mixture!r}")
        if len(self.sources) == 1 and self.mixture == "chosen":
            raise ValueError("one source alone is no mixture: choose more, or mixture = all")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.say_left_out(entry.facts)
        remix = (self.remix, self.remix_level)
        return mixtures.task_data(entry.tensors, entry.content, self.sources, self.sample_rate, *remix)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its tracks' recordings."""
        return {split: tuple(several) for split, several in self._entry(cache).facts["recordings"].items()}

    def _entry(self, cache: Path) -> Entry:
        if self.folder == recording_folders.SYNTHESISED:
            names = tuple(dict.fromkeys((*(n for n in self.sources if n != "accompaniment"), "other")))
            label = f"stems-{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}-{self.seed}"
            folder = recording_folders.synthesised(cache, label, lambda made: _synthesise(made, names, self.seed))
        else:
            folder = recording_folders.given_folder(self.folder, "--task.folder", _NEEDS)
        tracks = recording_folders.tracks_in(folder)
        if not tracks:
            raise UsageError(f"there are no tracks in {folder}: the task needs {_NEEDS}")
        digests = file_digests(cache, sorted({file for track in tracks for file in track.stems.values()}))
        key = {
            "config": {k: v for k, v in asdict(self).items() if k not in ("folder", "remix", "remix_level")},
            "tracks": [
                [Path(track.name).name, track.split, {stem: digests[file] for stem, file in track.stems.items()}]
                for track in tracks
            ],
            "versions": [decoding.VERSION, mixtures.VERSION],
        }
        return mapped(cache, "stems", key, lambda: self._plan(cache, folder, tracks, digests))

    def _plan(self, cache: Path, folder: Path, tracks: list[splitting.Track], digests: Mapping[Path, str]) -> Plan:
        problems: list[str] = []
        recipes: dict[str, splitting.Recipe] = {}
        for track in tracks:
            try:
                recipes[track.name] = self._recipe(track)
            except ValueError as error:
                problems.append(str(error))
        used = {
            track.stems[stem] for track in tracks for part in recipes.get(track.name, {}).values() for _, stem in part
        }
        key = {"rate": self.sample_rate, "channels": self.channels, "version": decoding.VERSION}
        kept, refused = kept_files(cache, "sound", sorted(used), key, self._read, "decoding")
        problems += refused.values()
        item = (self.item_samples, self.sample_rate)
        found = splitting.pieces_of(tracks, recipes, kept, digests, item, problems)
        recording_folders.settle(problems, self.skip_bad, len(found), 3, f"tracks in {folder}")
        divided = self._divided(found, {track.name: track.split for track in tracks}, folder)
        counts = {name: getattr(self, name) for name in SPLITS}
        train_samples = mixtures.stretch(divided["train"], self.item_samples, self.stretch)
        return Plan(
            mixtures.shapes(counts, len(self.sources), self.channels, self.item_samples, train_samples),
            lambda out: self._fill(out, divided),
            {"recordings": {k: [p.identity for p in v] for k, v in divided.items()}, "left_out": problems},
        )

    def _read(self, file: Path) -> Plan:
        if file.name.endswith(recording_folders.STEM_FILE):
            return Plan(*decoding.stem_file(file, self.sample_rate, self.channels))
        return Plan(*decoding.decoding(open_recording(file), self.sample_rate, self.channels))

    def _recipe(self, track: splitting.Track) -> splitting.Recipe:
        """Return which of a track's stems make up each source, and what else is in the mixture."""
        there = [stem for stem in track.stems if stem != "mixture"]
        chosen = [source for source in self.sources if source in there]
        rest = tuple((1, stem) for stem in there if stem not in chosen)
        if not rest and "mixture" in track.stems and len(chosen) < len(self.sources):
            rest = ((1, "mixture"), *((-1, stem) for stem in chosen))
        recipe: dict[str, tuple[tuple[int, str], ...]] = {}
        for source in self.sources:
            if source in there:
                recipe[source] = ((1, source),)
            elif source == "accompaniment" and rest:
                recipe[source], rest = rest, ()
            else:
                raise ValueError(f"{track.name} has no {source}, only {', '.join(track.stems)}")
        return {**recipe, _REST: rest} if self.mixture == "all" else recipe

    def _divided(
        self, pieces: list[splitting.Piece], splits: Mapping[str, str], folder: Path
    ) -> dict[str, list[splitting.Piece]]:
        """Return the pieces of each split: as laid down, or else by chance."""
        names = [piece.name for piece in pieces]
        laid = {split: {name for name in names if splits[name] == split} for split in ("", *SPLITS)}
        free = laid[""]
        test = 0 if laid["test"] else splitting.share(len(free), self.test_share)
        validation = 0 if laid["validation"] else splitting.share(len(free), self.validation_share)
        drawn = splitting.partition(free, validation, test, self.seed)
        divided = {s: [p for p in pieces if p.name in laid[s] or p.name in drawn[s]] for s in SPLITS}
        if lacking := [split for split in SPLITS if not divided[split]]:
            raise UsageError(f"{folder} has too few tracks that can be used: there are none for {lacking[0]}")
        return divided

    def _fill(self, out: Mapping[str, NDArray[np.float32]], divided: Mapping[str, list[splitting.Piece]]) -> None:
        for split, pieces in divided.items():
            samples = out[f"{split}/mixture"].shape[-1]
            crops = mixtures.Crops(pieces, tuple(pieces[0].parts), samples, audible=len(self.sources))

            def make(
                random: np.random.Generator, item: int, crops: mixtures.Crops = crops
            ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
                parts = crops.draw(random, turn=item)
                return parts.sum(0), parts[: len(self.sources)]

            mixtures.write(out, split, self.seed, make)


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

"""Instruments of four-part chorales, from the recordings of Bach10 v1.1 (Duan et al.), as in section 4 of CASS.

The folder is used as it is published: ``01-AchGottundHerr/01-AchGottundHerr-violin.wav``, ``-clarinet``, ``-saxphone``
(its own spelling) and ``-bassoon``, for ten pieces. By default bassoon and saxophone are mixed and separated, as in the
paper ("the bass and saxophone"); ``mixture="all"`` mixes all four and separates those chosen. Mixtures are sums of
stems.

As in the authors' code, two pieces test and eight train; which ones is drawn from the seed. One of the eight is
the validation split, on which a study chooses, so seven are learned from. Items are random crops; those to train on
are ``stretch`` times as long, and each batch has new crops of them. The paper does not say how long; the default, 127
hops of 768 samples (2.2 s), is that of the authors' code, at the recordings' own 44.1 kHz.

A study names its task in its file (``task="bach10"``; see ``studies/``), and the fields below are its flags.
With CASS, and the frames of the authors' code::

    python my_study.py --task.folder ~/data/Bach10_v1.1 --separator.n-fft 1024 --separator.hop 768
"""

from __future__ import annotations

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
from ..signals import resampling as decoding
from ..signals.recordings import open_recording

_INSTRUMENTS = ("violin", "clarinet", "saxphone", "bassoon")
_NEEDS = (
    "the folder Bach10_v1.1 (NN-Name/NN-Name-violin.wav, -clarinet, -saxphone, -bassoon) of Duan's Bach10 data set, "
    "music.cs.northwestern.edu/data/Bach10.html; --task.folder :synthesised: tries the task without"
)


@dataclass(frozen=True)
class Config:
    """Needs the folder Bach10_v1.1 (music.cs.northwestern.edu/data/Bach10.html), in ``folder``."""

    folder: str = ""
    """Folder that holds a folder for each piece; ``:synthesised:`` for a few small ones made on the spot."""
    instruments: tuple[str, ...] = ("bassoon", "saxphone")
    """The sources, in this order: violin, clarinet, saxphone (or saxophone), bassoon."""
    mixture: Literal["chosen", "all"] = "chosen"
    """What is mixed: the chosen instruments, or all four."""
    train: int = 400
    """Mixtures in the training split."""
    validation: int = 80
    """Mixtures in the validation split."""
    test: int = 80
    """Mixtures in the test split."""
    item_samples: int = 127 * 768
    """Samples in a mixture."""
    stretch: float = 2.0
    """Length of a training item over that of a mixture (at most the shortest training recording's); batches have random
    crops of it."""
    sample_rate: int = 44100
    """Samples a second; recordings of other rates are resampled."""
    validation_pieces: int = 1
    """Pieces that the validation split is cropped from."""
    test_pieces: int = 2
    """Pieces that the test split is cropped from."""
    skip_bad: bool = False
    """Leave out pieces with a recording that cannot be used, and list them."""
    seed: int = 0
    """Of the division of the pieces, and of the crops."""

    def __post_init__(self) -> None:
        limits = {**mixtures.LIMITS, "validation_pieces": (1, 1000), "test_pieces": (1, 1000)}
        limits |= dict.fromkeys(SPLITS, (1, 10**6))
        recording_folders.check({name: (getattr(self, name), *both) for name, both in limits.items()})
        stems = self._stems()
        if unknown := set(stems) - set(_INSTRUMENTS):
            raise ValueError(f"Bach10 has no instrument {min(unknown)!r}; there are: {', '.join(_INSTRUMENTS)}")
        if not stems or len(set(stems)) < len(stems):
            raise ValueError(f"instruments must be one or more of {', '.join(_INSTRUMENTS)}, each once")
        if self.mixture not in ("chosen", "all"):
            raise ValueError(f"mixture must be chosen or all, not {self.mixture!r}")
        if len(stems) == 1 and self.mixture == "chosen":
            raise ValueError("one instrument alone is no mixture: choose more, or mixture = all")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.say_left_out(entry.facts)
        return mixtures.task_data(entry.tensors, entry.content, self.instruments, self.sample_rate)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its pieces' recordings."""
        return {split: tuple(several) for split, several in self._entry(cache).facts["recordings"].items()}

    def _stems(self) -> tuple[str, ...]:
        """Return the chosen instruments as the files spell them."""
        return tuple("saxphone" if name == "saxophone" else name for name in self.instruments)

    def _entry(self, cache: Path) -> Entry:
        folder = self._folder(cache)
        chosen = self._stems()
        others = tuple(name for name in _INSTRUMENTS if name not in chosen) if self.mixture == "all" else ()
        tracks, missing = _pieces(folder, chosen + others)
        digests = file_digests(cache, [file for track in tracks for file in track.stems.values()])
        key = {
            "config": {k: v for k, v in asdict(self).items() if k != "folder"},
            "pieces": [[Path(t.name).name, [digests[file] for file in t.stems.values()]] for t in tracks],
            "missing": missing,
            "versions": [decoding.VERSION, mixtures.VERSION],
        }
        return mapped(cache, "bach10", key, lambda: self._plan(cache, folder, tracks, digests, missing))

    def _folder(self, cache: Path) -> Path:
        if self.folder == recording_folders.SYNTHESISED:
            return recording_folders.synthesised(
                cache, f"bach10-{self.seed}", lambda folder: _synthesise(folder, self.seed)
            )
        return recording_folders.given_folder(self.folder, "--task.folder", _NEEDS)

    def _plan(
        self, cache: Path, folder: Path, tracks: list[splitting.Track], digests: Mapping[Path, str], missing: list[str]
    ) -> Plan:
        def read(file: Path) -> Plan:
            return Plan(*decoding.decoding(open_recording(file), self.sample_rate, 1))

        key = {"rate": self.sample_rate, "channels": 1, "version": decoding.VERSION}
        kept, refused = kept_files(cache, "sound", list(digests), key, read, "decoding")
        problems = [*missing, *refused.values()]
        recipes: dict[str, splitting.Recipe] = {t.name: {stem: ((1, stem),) for stem in t.stems} for t in tracks}
        item = (self.item_samples, self.sample_rate)
        found = splitting.pieces_of(tracks, recipes, kept, digests, item, problems)
        least = self.test_pieces + self.validation_pieces + 1
        recording_folders.settle(problems, self.skip_bad, len(found), least, f"pieces in {folder}")
        names = splitting.partition(
            (piece.name for piece in found), self.validation_pieces, self.test_pieces, self.seed
        )
        divided = {split: [piece for piece in found if piece.name in names[split]] for split in SPLITS}
        counts = {name: getattr(self, name) for name in SPLITS}
        train_samples = mixtures.stretch(divided["train"], self.item_samples, self.stretch)
        return Plan(
            mixtures.shapes(counts, len(self.instruments), 1, self.item_samples, train_samples),
            lambda out: self._fill(out, divided),
            {"recordings": {k: [p.identity for p in v] for k, v in divided.items()}, "left_out": problems},
        )

    def _fill(self, out: Mapping[str, NDArray[np.float32]], divided: Mapping[str, list[splitting.Piece]]) -> None:
        for split, pieces in divided.items():
            crops = mixtures.Crops(pieces, tuple(pieces[0].parts), out[f"{split}/mixture"].shape[-1])

            def make(
                random: np.random.Generator, item: int, crops: mixtures.Crops = crops
            ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
                stems = crops.draw(random, turn=item)
                return stems.sum(0), stems[: len(self.instruments)]

            mixtures.write(out, split, self.seed, make)


def _pieces(folder: Path, stems: tuple[str, ...]) -> tuple[list[splitting.Track], list[str]]:
    """Return the pieces that have all stems, and of the others which file is missing."""
    pieces, missing = [], []
    for piece in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = {stem: piece / f"{piece.name}-{stem}.wav" for stem in (*stems, *_INSTRUMENTS)}
        lacking = [stem for stem in stems if not files[stem].is_file()]
        if not lacking:
            pieces.append(splitting.Track(str(piece), "", {stem: files[stem] for stem in stems}))
        elif any(file.is_file() for file in files.values()):
            missing.append(f"there is no file {files[lacking[0]]}")
    return pieces, missing


def _synthesise(folder: Path, seed: int) -> None:
    """Write five short pieces for synthetic instruments."""
    for number in range(1, 6):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        name = f"{number:02d}-Synthesised"
        (folder / name).mkdir()
        for stem, part in zip(_INSTRUMENTS, instruments.play(random, 4000, 8000), strict=True):
            soundfile.write(folder / name / f"{name}-{stem}.wav", part / 8, 8000)


DEBUG = Config(recording_folders.SYNTHESISED, train=16, validation=6, test=6, item_samples=1024, sample_rate=8000)
"""Crops of an eighth of a second of five small pieces, made in a tenth of one."""

"""Instruments of four-part chorales, from the recordings of Bach10 v1.1 (Duan et al.), as in section 4 of the CASS
paper.

The folder is used as it is published: ``01-AchGottundHerr/01-AchGottundHerr-violin.wav``, ``-clarinet``, ``-saxphone``
(the data set's spelling) and ``-bassoon``, for ten pieces. By default bassoon and saxophone are mixed and separated, as
in the paper ("the bass and saxophone"); ``mixture="all"`` mixes all four and separates those chosen. Mixtures are sums
of stems.

As in the authors' code, two pieces are for the test and eight for training; the seed decides which. One of the eight is
the validation split, on which a study chooses, so seven are learned from. Items are random crops; training items are
``stretch`` times as long, and each batch has new crops of them. The paper does not say how long crops are; the default,
127 hops of 768 samples (2.2 s), is that of the authors' code, at the recordings' own 44.1 kHz. Test figures are of
whole pieces (``test_tracks``), each separated from start to end.

A study names its task in its file (``task="bach10"``; see ``studies/``), and the fields below are its flags.
With CASS, and the frames of the authors' code::

    python my_study.py --task.folder ~/data/Bach10_v1.1 --separator.n-fft 1024 --separator.hop 768
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import soundfile

from ..contracts import SPLITS, TaskData, Tracks
from ..data import instruments, limits
from ..data.cache import Entry, Plan, file_digests, mapped
from ..data.mixing import mixtures, recording_folders, splitting, whole_tracks
from ..disk.files import refuse_links
from ..signals import decoding

Divided = tuple[dict[str, list[splitting.Piece]], list[str]]
"""Pieces of each split, and why recordings cannot be used."""

_DECODER = recording_folders.RecordingDecoder(decoding.VERSION, decoding.of_file)
_INSTRUMENTS = ("violin", "clarinet", "saxphone", "bassoon")
_NEEDS = (
    "the folder Bach10_v1.1 (NN-Name/NN-Name-violin.wav, -clarinet, -saxphone, -bassoon) of Duan's Bach10 data set, "
    "music.cs.northwestern.edu/data/Bach10.html; --task.folder :synthesised: tries the task without"
)


@dataclass(frozen=True)
class Config:
    """Needs the folder Bach10_v1.1 (music.cs.northwestern.edu/data/Bach10.html), in folder."""

    folder: str = ""
    """Folder with a folder for each piece; :synthesised: makes a few small ones, to try the task."""
    instruments: tuple[str, ...] = ("bassoon", "saxphone")
    """Names of the sources, in their order: violin, clarinet, saxphone (or saxophone), bassoon."""
    mixture: Literal["chosen", "all"] = "chosen"
    """Parts of a mixture: the chosen instruments, or all four."""
    train: int = 400
    """Number of mixtures in the training split."""
    validation: int = 80
    """Number of mixtures in the validation split."""
    test: int = 80
    """Number of mixtures in the test split."""
    item_samples: int = 127 * 768
    """Length of a mixture in samples."""
    stretch: float = 2.0
    """Length of a training item as a multiple of a mixture's; no longer than the shortest training recording. Batches
    have random crops of training items."""
    sample_rate: int = 44100
    """Sample rate in Hz; recordings of other rates are resampled to it."""
    validation_pieces: int = 1
    """Number of pieces in the validation split."""
    test_pieces: int = 2
    """Number of pieces in the test split."""
    test_tracks: bool = True
    """Score on the whole pieces of the test split, each separated from start to end; else on the crops."""
    skip_bad: bool = False
    """Leave out pieces with a recording that cannot be used, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split and of the crops."""

    LATER_FIELDS: ClassVar[Mapping[str, object]] = {"test_tracks": False}
    """Values of these fields in studies and models of older versions, which lacked them."""

    def __post_init__(self) -> None:
        pieces = {"validation_pieces": (1, 1000), "test_pieces": (1, 1000)}
        limits.check(self, {**mixtures.LIMITS, **pieces, **limits.items(10**6)})
        limits.check_chosen(self._stems(), self.mixture, _INSTRUMENTS, "instrument")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.report_left_out(entry.facts)
        units = mixtures.units_in_turn(entry, "pieces")
        whole = self._tracks(cache) if self.test_tracks else None
        return mixtures.task_data(entry, self.instruments, self.sample_rate, units, tracks=whole)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its pieces' recordings."""
        return mixtures.recordings_of(self._entry(cache))

    def _stems(self) -> tuple[str, ...]:
        """Return the chosen instruments as the files spell them."""
        return tuple("saxphone" if name == "saxophone" else name for name in self.instruments)

    def _entry(self, cache: Path) -> Entry:
        key, divided = self._described(cache)
        return mapped(cache, "bach10", key, lambda: self._plan(*divided()))

    def _tracks(self, cache: Path) -> tuple[Tracks, str]:
        key, divided = self._described(cache)
        plan = lambda: whole_tracks.of_pieces(divided()[0]["test"], len(self.instruments), 1)  # noqa: E731
        return whole_tracks.tracks(cache, "bach10", key, plan)

    def _described(self, cache: Path) -> tuple[dict[str, object], Callable[[], Divided]]:
        """Return the key of the data's cache entries, and a function that returns each split's pieces and problems."""
        folder = self._folder(cache)
        chosen = self._stems()
        others = tuple(name for name in _INSTRUMENTS if name not in chosen) if self.mixture == "all" else ()
        tracks, missing = _complete(folder, chosen + others)
        digests = file_digests(cache, [file for track in tracks for file in track.stems.values()])
        key: dict[str, object] = {
            "config": {k: v for k, v in asdict(self).items() if k not in ("folder", "test_tracks")},
            "pieces": [[Path(t.name).name, [digests[file] for file in t.stems.values()]] for t in tracks],
            "missing": missing,
            "versions": [decoding.VERSION, mixtures.VERSION],
        }
        return key, lambda: self._pieces(cache, folder, tracks, digests, missing)

    def _folder(self, cache: Path) -> Path:
        if self.folder == recording_folders.SYNTHESISED:
            return recording_folders.synthesised_folder(
                cache, f"bach10-{self.seed}", lambda folder: _synthesise(folder, self.seed)
            )
        return recording_folders.given_folder(self.folder, "--task.folder", _NEEDS)

    def _plan(self, divided: dict[str, list[splitting.Piece]], problems: list[str]) -> Plan:
        sources = len(self.instruments)
        return mixtures.cropped_plan(
            self,
            divided,
            sources,
            channels=1,
            left_out=problems,
            fill=lambda out: mixtures.fill_from_tracks(out, divided, sources, self.seed),
        )

    def _pieces(
        self, cache: Path, folder: Path, tracks: list[splitting.Track], digests: Mapping[Path, str], missing: list[str]
    ) -> Divided:
        decoded, refused = recording_folders.decoded_files(cache, list(digests), _DECODER, self.sample_rate, 1)
        problems = [*missing, *refused.values()]
        recipes: dict[str, splitting.Recipe] = {t.name: {stem: ((1, stem),) for stem in t.stems} for t in tracks}
        item = (self.item_samples, self.sample_rate)
        pieces = splitting.pieces_of_tracks(tracks, recipes, decoded, digests, item, problems)
        least = self.test_pieces + self.validation_pieces + 1
        recording_folders.refuse_unusable(problems, self.skip_bad, len(pieces), least, f"pieces in {folder}")
        names = splitting.partition((p.name for p in pieces), self.validation_pieces, self.test_pieces, self.seed)
        return {split: [piece for piece in pieces if piece.name in names[split]] for split in SPLITS}, problems


def _complete(folder: Path, stems: tuple[str, ...]) -> tuple[list[splitting.Track], list[str]]:
    """Return the pieces that have all stems, and for each other piece a line that names a missing file."""
    pieces, missing = [], []
    for piece in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = {stem: piece / f"{piece.name}-{stem}.wav" for stem in (*stems, *_INSTRUMENTS)}
        lacking = [stem for stem in stems if not files[stem].is_file()]
        if not lacking:
            pieces.append(splitting.Track(str(piece), "", {stem: files[stem] for stem in stems}))
        elif any(file.is_file() for file in files.values()):
            missing.append(f"there is no file {files[lacking[0]]}")
    refuse_links((path for piece in pieces for path in piece.stems.values()), folder)
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

"""Piano, mixed at random with other instruments, in windows of a second, as in section 3.3 of S-SepGAN.

The paper cuts a long piano recording into files of about a minute, mixes them with samples of other instruments
(IRMAS), and cuts the mixtures into windows of about a second; 16,384 samples at 16 kHz in public code. Here windows are
random crops of either, mixed; a mixture to train on is ``stretch`` windows long, and each batch has new ones of it.
The paper says nothing of levels: the piano keeps its own, and the other is ``ratio`` below it, by default 5 dB less to
5 dB more, drawn uniformly. Any recordings serve in the place of either.

No recording is in two splits. Fewer than three, as the paper's single one, are each cut into three stretches: the first
to train on, the last to test on, so that no minute of one split lies between two of another.

A study names its task in its file (``task="piano_mix"``; see ``studies/``), and the fields below are its
flags::

    python my_study.py --task.piano ~/data/piano --task.others ~/data/IRMAS-TrainingData
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..contracts import SPLITS, TaskData
from ..data import instruments
from ..data.cache import Entry, Plan, file_digests, kept_files, mapped
from ..data.mixing import mixtures, recording_folders, splitting
from ..signals import resampling as decoding
from ..signals.recordings import open_recording

_SOURCES = ("piano", "others")
_NEEDS = {
    "piano": "one or more long recordings of a piano alone (the paper's is of Henry Mancini's pieces; MAESTRO: "
    "magenta.tensorflow.org/datasets/maestro); :synthesised: tries the task without",
    "others": "recordings of other instruments (the paper's IRMAS: zenodo.org/records/1290750; leave out its pia); "
    ":synthesised: tries the task without",
}


@dataclass(frozen=True)
class Config:
    """Needs two folders of recordings: ``piano``, and ``others`` (e.g. IRMAS)."""

    piano: str = ""
    """Folder of piano, searched with all folders in it; ``:synthesised:`` for a small one made on the spot."""
    others: str = ""
    """Folder of other recordings, likewise."""
    ratio: tuple[float, float] = (-5.0, 5.0)
    """Lowest and highest level of the piano over the others in an item, in dB."""
    train: int = 1000
    """Mixtures in the training split."""
    validation: int = 100
    """Mixtures in the validation split."""
    test: int = 100
    """Mixtures in the test split."""
    item_samples: int = 16384
    """Samples in a mixture."""
    stretch: float = 2.0
    """Length of a training item over that of a mixture (at most the shortest training recording's); batches have random
    crops of it."""
    sample_rate: int = 16000
    """Samples a second; recordings of other rates are resampled, and their channels averaged."""
    validation_share: float = 0.1
    """Of the recordings of either."""
    test_share: float = 0.2
    """Of the recordings of either."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and list them."""
    seed: int = 0
    """Of the division, the crops and the ratios."""

    def __post_init__(self) -> None:
        limits = {**mixtures.LIMITS, "validation_share": (0.01, 0.4), "test_share": (0.01, 0.4)}
        limits |= dict.fromkeys(SPLITS, (1, 10**7))
        recording_folders.check({name: (getattr(self, name), *both) for name, both in limits.items()})
        if len(self.ratio) != 2 or not -60 <= self.ratio[0] <= self.ratio[1] <= 60:
            raise ValueError(f"ratio must be two rising numbers between -60 and 60, not {self.ratio}")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        entry = self._entry(cache)
        recording_folders.say_left_out(entry.facts)
        return mixtures.task_data(entry.tensors, entry.content, _SOURCES, self.sample_rate)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its recordings (with the stretch, where that is not all of one)."""
        return {split: tuple(several) for split, several in self._entry(cache).facts["recordings"].items()}

    def _entry(self, cache: Path) -> Entry:
        folders = {source: self._folder(cache, source) for source in _SOURCES}
        files = {source: recording_folders.sound_files(folder) for source, folder in folders.items()}
        digests = file_digests(cache, sorted({file for several in files.values() for file in several}))
        key = {
            "config": {k: v for k, v in asdict(self).items() if k not in _SOURCES},
            "files": {s: [[f.relative_to(folders[s]).as_posix(), digests[f]] for f in files[s]] for s in _SOURCES},
            "versions": [decoding.VERSION, mixtures.VERSION],
        }
        return mapped(cache, "piano_mix", key, lambda: self._plan(cache, folders, files, digests))

    def _folder(self, cache: Path, source: str) -> Path:
        if getattr(self, source) == recording_folders.SYNTHESISED:
            made = recording_folders.synthesised(
                cache, f"piano-mix-{self.seed}", lambda folder: _synthesise(folder, self.seed)
            )
            return made / source
        return recording_folders.given_folder(getattr(self, source), f"--task.{source}", _NEEDS[source])

    def _plan(
        self, cache: Path, folders: Mapping[str, Path], files: Mapping[str, list[Path]], digests: Mapping[Path, str]
    ) -> Plan:
        def read(file: Path) -> Plan:
            return Plan(*decoding.decoding(open_recording(file), self.sample_rate, 1))

        key = {"rate": self.sample_rate, "channels": 1, "version": decoding.VERSION}
        kept, refused = kept_files(cache, "sound", list(digests), key, read, "decoding")
        problems = list(refused.values())
        found = {}
        for source in _SOURCES:
            opened = {file: kept[file] for file in files[source] if file in kept}
            found[source] = splitting.pool(source, opened, digests, (self.item_samples, self.sample_rate), problems)
        for source in _SOURCES:
            recording_folders.settle(problems, self.skip_bad, len(found[source]), 1, f"recordings in {folders[source]}")
        shares = (self.validation_share, self.test_share)
        divided = [
            splitting.divided(pieces, {p.identity: p.identity for p in pieces}, *shares, self.seed, self.item_samples)
            for pieces in found.values()
        ]
        pools = {split: (divided[0][split], divided[1][split]) for split in SPLITS}
        counts = {name: getattr(self, name) for name in SPLITS}
        train_samples = mixtures.stretch([*pools["train"][0], *pools["train"][1]], self.item_samples, self.stretch)
        return Plan(
            mixtures.shapes(counts, 2, 1, self.item_samples, train_samples),
            lambda out: mixtures.write_pairs(out, pools, _SOURCES, self.ratio, self.seed),
            {
                "recordings": {s: [p.identity for pool in pools[s] for p in pool] for s in SPLITS},
                "left_out": problems,
            },
        )


def _synthesise(folder: Path, seed: int) -> None:
    """Write a long recording of plucked strings, and four short ones of the other synthetic instruments."""
    for source in _SOURCES:
        (folder / source).mkdir()
    for number in range(5):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        parts = instruments.play(random, 4000 if number else 20000, 8000) / 8
        name = folder / ("others" if number else "piano") / f"{number}.wav"
        soundfile.write(name, parts[number % 3 if number else 3], 8000)


DEBUG = Config(
    recording_folders.SYNTHESISED,
    recording_folders.SYNTHESISED,
    train=16,
    validation=6,
    test=6,
    item_samples=1024,
    sample_rate=8000,
)
"""Crops of an eighth of a second of five small files, made in a tenth of one."""

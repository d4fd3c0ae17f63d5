"""Piano, mixed at random with other instruments, in windows of a second, as in section 3.3 of the S-SepGAN paper.

The paper cuts a long piano recording into files of about a minute, mixes them with samples of other instruments
(IRMAS), and cuts the mixtures into windows of about a second. In public code these have 16,384 samples at 16 kHz. Here
windows are random crops of both, mixed; a training item is ``stretch`` windows long, and each batch has new windows of
it. The paper says nothing about levels: here the piano keeps its level, and the other instruments lie ``ratio`` dB
below it, drawn uniformly, by default from -5 to 5. Any recordings will do in place of either.

No recording is in two splits. Fewer than three recordings (the paper has a single one) are each cut into three
stretches, the first for training and the last for the test. So no minute of one split lies between two of another.

A study names its task in its file (``task="piano_mix"``; see ``studies/``), and the fields below are its
flags::

    python my_study.py --task.piano ~/data/piano --task.others ~/data/IRMAS-TrainingData
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..contracts import TaskData
from ..data import instruments
from ..data.mixing import recording_folders
from ..data.mixing.two_folders import TwoFolders, check_config
from ..signals import decoding

_SOURCES = ("piano", "others")
_NEEDS = {
    "piano": "one or more long recordings of a piano alone (the paper's is a Mancini piano track; MAESTRO: "
    "magenta.tensorflow.org/datasets/maestro); :synthesised: tries the task without",
    "others": "recordings of other instruments (the paper's IRMAS: zenodo.org/records/1290750; leave out its pia); "
    ":synthesised: tries the task without",
}


@dataclass(frozen=True)
class Config:
    """Needs two folders of recordings: piano, and others (e.g. IRMAS)."""

    piano: str = ""
    """Folder of piano recordings, searched with all folders in it; :synthesised: makes a small one, to try the
    task."""
    others: str = ""
    """Folder of other instruments, searched with all folders in it; or :synthesised:."""
    ratio: tuple[float, float] = (-5.0, 5.0)
    """Lowest and highest level of the piano over the others in an item, in dB."""
    train: int = 1000
    """Number of mixtures in the training split."""
    validation: int = 100
    """Number of mixtures in the validation split."""
    test: int = 100
    """Number of mixtures in the test split."""
    item_samples: int = 16384
    """Length of a mixture in samples."""
    stretch: float = 2.0
    """Length of a training item as a multiple of a mixture's; no longer than the shortest training recording. Batches
    have random crops of training items."""
    sample_rate: int = 16000
    """Sample rate in Hz; recordings of other rates are resampled to it, and their channels averaged."""
    validation_share: float = 0.1
    """Share of the recordings of either source for the validation split."""
    test_share: float = 0.2
    """Share of the recordings of either source for the test split."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split, of the crops and of the ratios."""

    def __post_init__(self) -> None:
        check_config(self, "ratio")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        return self._data().load(cache)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its recordings (with the stretch, where a piece is a part of one)."""
        return self._data().recordings(cache)

    def _data(self) -> TwoFolders:
        decoder = recording_folders.RecordingDecoder(decoding.VERSION, decoding.of_file)
        return TwoFolders("piano_mix", _SOURCES, _NEEDS, self, self.ratio, decoder, _synthesise)


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

"""Speech and noise, from two folders of recordings, mixed at a given or random ratio, as in section 4.2 of the NES
paper.

The paper mixes 0.5 s of LRW speech at 16 kHz with a random clip of ESC-50 at an SNR of 0 dB. Any folders of recordings
will do. A separator that observes one source is given the noise, as in the paper; its spectrograms (mel 64x64 to the
power of 0.3, or linear 257x64) are up to the separator.

No recording is in two splits. Neither is a speaker, if the speech folder has a folder for each (LibriSpeech) or
``speaker`` finds them in the files' names. ``clip`` does the same for noise (ESC-50 has several takes of one clip:
``--task.clip '^.*?-([0-9]+)-'``). Fewer than three recordings (speakers, clips) are each cut into three stretches, one
for each split. Items are random crops; the noise is scaled to the ratio, and the speech keeps its level. Training items
are as long as a mixture, unless ``stretch`` says otherwise: crops of longer items have ratios that are several dB off.
Test figures are of whole recordings of speech, each with as much noise at the ratio (``test_tracks``).

A study names its task in its file (``task="speech_noise"``; see ``studies/``), and the fields below are its
flags::

    python my_study.py --task.speech ~/data/speech --task.noise ~/data/ESC-50-master/audio --task.snr -5 5
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile

from ..contracts import TaskData
from ..data import instruments
from ..data.mixing import recording_folders
from ..data.mixing.splitting import Piece
from ..data.mixing.two_folders import TwoFolders, check_config
from ..errors import UsageError
from ..signals import decoding

_NEEDS = {
    "speech": "recordings of speech (the paper's LRW: robots.ox.ac.uk/~vgg/data/lip_reading; LibriSpeech: "
    "openslr.org/12); :synthesised: tries the task without",
    "noise": "recordings of noise (the paper's ESC-50: github.com/karolpiczak/ESC-50); :synthesised: tries the task "
    "without",
}


@dataclass(frozen=True)
class Config:
    """Needs two folders of recordings: speech, and noise (e.g. ESC-50)."""

    speech: str = ""
    """Folder of speech, searched with all folders in it; :synthesised: makes a few small files, to try the
    task."""
    noise: str = ""
    """Folder of noise, searched with all folders in it; or :synthesised:."""
    snr: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest level of the speech over the noise in an item, in dB."""
    train: int = 2000
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 8000
    """Length of a mixture in samples."""
    stretch: float = 1.0
    """Length of a training item as a multiple of a mixture's; no longer than the shortest training recording. Batches
    have random crops of longer items; the ratio is that of the whole item, not of the crop."""
    sample_rate: int = 16000
    """Sample rate in Hz; recordings of other rates are resampled to it, and their channels averaged."""
    speaker: str = ""
    """Regular expression for a file's path below speech; its first group is the name of the speaker."""
    clip: str = ""
    """Regular expression for a file's path below noise; its first group is the name of the clip, whose takes share a
    split."""
    validation_share: float = 0.1
    """Share of the speakers, and of the noise, for the validation split."""
    test_share: float = 0.2
    """Share of the speakers, and of the noise, for the test split."""
    test_tracks: bool = True
    """Score on the test split's whole recordings of speech, each separated from start to end; else on the crops."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split, of the crops and of the ratios."""

    LATER_FIELDS: ClassVar[Mapping[str, object]] = {"test_tracks": False}
    """Values of these fields in studies and models of older versions, which lacked them."""

    def __post_init__(self) -> None:
        check_config(self, "snr")
        for name in ("speaker", "clip"):
            try:
                groups = re.compile(getattr(self, name)).groups
            except re.error as error:
                raise UsageError(f"{name} is no regular expression: {error}") from None
            if getattr(self, name) and not groups:
                raise UsageError(f"{name} must have a group, in brackets, not {getattr(self, name)!r}")

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are decoded and items cut once, and kept in the folder ``cache``."""
        return self._data().load(cache)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its recordings (with the stretch, where a piece is a part of one)."""
        return self._data().recordings(cache)

    def _data(self) -> TwoFolders:
        decoder = recording_folders.RecordingDecoder(decoding.VERSION, decoding.of_file)
        return TwoFolders(
            "speech_noise",
            ("speech", "noise"),
            _NEEDS,
            self,
            self.snr,
            decoder,
            _synthesise,
            self._group,
            ("speakers", "clips"),
            tracks=self.test_tracks,
        )

    def _group(self, piece: Piece, source: str, below: Path) -> str:
        """Return the speaker or the clip of a recording; the recording itself where neither can be told."""
        pattern = self.speaker if source == "speech" else self.clip
        if pattern:
            match = re.search(pattern, below.as_posix())
            return str(match[1]) if match else below.as_posix()
        return below.parts[0] if source == "speech" and len(below.parts) > 1 else below.as_posix()


def _synthesise(folder: Path, seed: int) -> None:
    """Write five "speakers", who sing, and five noises of different colours."""
    for number in range(5):
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
        voice = instruments.play(random, 6000, 8000)[number % 4]
        noise = np.convolve(random.standard_normal(6004), random.uniform(-1, 1, 5), "valid")
        for source, signal in (("speech", voice), ("noise", noise)):
            (folder / source).mkdir(exist_ok=True)
            soundfile.write(folder / source / f"{number}.wav", 0.5 * signal / np.abs(signal).max(), 8000)


DEBUG = Config(
    recording_folders.SYNTHESISED,
    recording_folders.SYNTHESISED,
    train=16,
    validation=6,
    test=6,
    item_samples=1024,
    sample_rate=8000,
)
"""Crops of an eighth of a second of ten small files, made in a tenth of one."""

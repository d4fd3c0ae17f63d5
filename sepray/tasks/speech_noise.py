"""Speech and noise, from two folders of recordings, mixed at a given or random ratio, as in section 4.2 of NES.

The paper mixes 0.5 s of LRW speech at 16 kHz with a random clip of ESC-50 (noise that does not stem from people) at an
SNR of 0 dB. Any folders of recordings serve. A separator that observes one source is given the noise, as in the
paper; its spectrograms (mel 64x64 to the power of 0.3, or linear 257x64) are the separator's business.

No recording is in two splits. Where the speech folder has folders in it (LibriSpeech's speakers), or ``speaker`` tells
speakers by their names, no speaker is either; ``clip`` does the same for noise (ESC-50 has several takes of one
clip: ``--task.clip '^.*?-([0-9]+)-'``). Fewer than three recordings (speakers, clips) are each cut into three
stretches, one for each split. Items are random crops; the noise is scaled to the ratio, and the speech keeps its
level. A mixture to train on is ``stretch`` times as long, the ratio that of all of it, and each batch has new crops.

A study names its task in its file (``task="speech_noise"``; see ``studies/``), and the fields below are its
flags::

    python my_study.py --task.speech ~/data/speech --task.noise ~/data/ESC-50-master/audio --task.snr -5 5
"""

from __future__ import annotations

import re
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

_SOURCES = ("speech", "noise")
_NEEDS = {
    "speech": "recordings of speech (the paper's LRW: robots.ox.ac.uk/~vgg/data/lip_reading; LibriSpeech: "
    "openslr.org/12); :synthesised: tries the task without",
    "noise": "recordings of noise (the paper's ESC-50: github.com/karolpiczak/ESC-50); :synthesised: tries the task "
    "without",
}


@dataclass(frozen=True)
class Config:
    """Needs two folders of recordings: ``speech``, and ``noise`` (e.g. ESC-50)."""

    speech: str = ""
    """Folder of speech, searched with all folders in it; ``:synthesised:`` for a few small files made on the spot."""
    noise: str = ""
    """Folder of noise, likewise."""
    snr: tuple[float, float] = (0.0, 0.0)
    """Lowest and highest level of the speech over the noise in an item, in dB."""
    train: int = 2000
    """Mixtures in the training split."""
    validation: int = 200
    """Mixtures in the validation split."""
    test: int = 200
    """Mixtures in the test split."""
    item_samples: int = 8000
    """Samples in a mixture."""
    stretch: float = 2.0
    """Length of a training item over that of a mixture (at most the shortest training recording's); batches have random
    crops of it."""
    sample_rate: int = 16000
    """Samples a second; recordings of other rates are resampled, and their channels averaged."""
    speaker: str = ""
    """Regular expression whose first group, found in a file's path below ``speech``, is the speaker."""
    clip: str = ""
    """Regular expression whose first group, found in a file's path below ``noise``, is the clip that it is part of."""
    validation_share: float = 0.1
    """Of the speakers and of the noise."""
    test_share: float = 0.2
    """Of the speakers and of the noise."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and list them."""
    seed: int = 0
    """Of the division, the crops and the ratios."""

    def __post_init__(self) -> None:
        limits = {**mixtures.LIMITS, "validation_share": (0.01, 0.4), "test_share": (0.01, 0.4)}
        limits |= dict.fromkeys(SPLITS, (1, 10**7))
        recording_folders.check({name: (getattr(self, name), *both) for name, both in limits.items()})
        if len(self.snr) != 2 or not -60 <= self.snr[0] <= self.snr[1] <= 60:
            raise ValueError(f"snr must be two rising numbers between -60 and 60, not {self.snr}")
        for name in ("speaker", "clip"):
            try:
                groups = re.compile(getattr(self, name)).groups
            except re.error as error:
                raise ValueError(f"{name} is no regular expression: {error}") from None
            if getattr(self, name) and not groups:
                raise ValueError(f"{name} must have a group, in brackets, not {getattr(self, name)!r}")

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
        return mapped(cache, "speech_noise", key, lambda: self._plan(cache, folders, files, digests))

    def _folder(self, cache: Path, source: str) -> Path:
        if getattr(self, source) == recording_folders.SYNTHESISED:
            return (
                recording_folders.synthesised(
                    cache, f"speech-noise-{self.seed}", lambda folder: _synthesise(folder, self.seed)
                )
                / source
            )
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
        divided = {source: self._divided(found[source], source, folders[source]) for source in _SOURCES}
        pools = {split: (divided["speech"][split], divided["noise"][split]) for split in SPLITS}
        counts = {name: getattr(self, name) for name in SPLITS}
        train_samples = mixtures.stretch([*pools["train"][0], *pools["train"][1]], self.item_samples, self.stretch)
        return Plan(
            mixtures.shapes(counts, 2, 1, self.item_samples, train_samples),
            lambda out: mixtures.write_pairs(out, pools, _SOURCES, self.snr, self.seed),
            {
                "recordings": {s: [p.identity for pool in pools[s] for p in pool] for s in SPLITS},
                "left_out": problems,
            },
        )

    def _divided(self, pieces: list[splitting.Piece], source: str, folder: Path) -> dict[str, list[splitting.Piece]]:
        pattern = self.speaker if source == "speech" else self.clip
        groups = {}
        for piece in pieces:
            below = Path(piece.name).relative_to(folder)
            match = re.search(pattern, below.as_posix()) if pattern else None
            inside = source == "speech" and not pattern and len(below.parts) > 1
            groups[piece.identity] = str(match[1]) if match else below.parts[0] if inside else below.as_posix()
        shares = (self.validation_share, self.test_share)
        return splitting.divided(pieces, groups, *shares, seed=self.seed, samples=self.item_samples)


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

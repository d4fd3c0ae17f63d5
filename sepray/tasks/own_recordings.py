"""Your own recordings with their sources: ECG, PPG or anything else, of any rate, in any format that sepray reads.

``folder`` has a folder for each recording, and in it a file for each source and one for the mixture, named so:

    monday/mixture.csv   monday/maternal.csv   monday/fetal.csv
    tuesday/mixture.csv  tuesday/maternal.csv  tuesday/fetal.csv

Files may be CSV, NPY, WAV (and other sound files), WFDB (``.hea``) or EDF, and lie at any depth. Without a file for the
mixture, the mixture is the sum of the sources. One channel of each file is taken, or several (``channels``), resampled,
and otherwise left as it is: amplitudes should be alike in all recordings. The task's mixtures are random crops. A
mixture with an offset that its sources do not have (counts of a converter beside millivolts) is refused.

With ``one_component`` each source is one signal for all channels of the mixture: the only channel of the source's file
(a scalp lead beside abdominal ones), or ``channel`` of it. Where there is no file for the mixture, the sources' files
need all channels.

A subject is what comes before the first underscore of a recording's name (``s03_walk``). Where there are three subjects
or more, none is in two splits. 70, 15 and 15 percent are for training, validation and test.

A study names the task by ``task = {name = "own_recordings", folder = "recordings", sources = ["maternal", "fetal"]}``
in its TOML file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Augmentation, Signal, Split, TaskData
from ..data import heart_records, left_out, limits, varied_ecg
from ..data.cache import content_hash, file_digests, item_digests
from ..data.mixing import recording_folders
from ..errors import UsageError
from ..signal_checks import check_source_names
from ..signals.overlap_add import resampled
from ..signals.recording_types import RateError, check_change
from ..signals.recordings import open_recording, recordings_below

_MIXTURE = "mixture"
_VERSION = 2  # of how recordings are read and refused
_FARTHEST = 3.0  # largest offset of a mixture from its sources, in the mixture's standard deviations
_NEEDS = "a folder for each recording with a file for each source, e.g. monday/maternal.csv"


@dataclass(frozen=True)
class Config:
    """Your own recordings with their sources, in any format that sepray reads."""

    folder: str = ""
    """Folder with a folder for each recording, with a file for each source and perhaps one for the mixture."""
    sources: tuple[str, ...] = ("maternal", "fetal")
    """Names of the sources, in their order: file names without suffix."""
    hearts: bool = False
    """Measure heart rates of the sources, which are hearts (ECG, PPG)."""
    template: bool = False
    """Give networks, beside the mixture, what is left of it without the strongest heart's average beat (ECG)."""
    train: int = 1000
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 1000
    """Length of a mixture in samples."""
    sample_rate: int = 250
    """Sample rate in Hz; recordings of other rates are resampled to it."""
    file_rate: float = 0.0
    """Sample rate in Hz of files that do not say it (NPY, CSV without a time column); 0: all files say it."""
    channel: int = 0
    """Channel of each file, counted from 0."""
    channels: int = 1
    """Number of channels (leads) that are taken of each file, from channel on."""
    one_component: bool = False
    """Make each source one signal for all channels of the mixture, instead of one for each channel."""
    remix: float = 0.0
    """Share of a training batch's mixtures that are made anew, each source from another item."""
    skip_bad: bool = False
    """Leave out recordings that cannot be used, and list them, instead of refusing the folder."""
    seed: int = 0
    """Random seed of the split and of the crops."""

    LATER_FIELDS: ClassVar[Mapping[str, object]] = {"template": False, "channels": 1, "one_component": False}
    """Values at which these fields do what versions without them did, so that identities of studies stay
    (``identity.plain``)."""

    def __post_init__(self) -> None:
        limits.check(
            self,
            {
                **limits.items(10**7),
                "item_samples": (2, 10**7),
                "sample_rate": (1, 10**6),
                "file_rate": (0, 10**6),
                "channel": (0, 10**4),
                "channels": (1, 64),
                "remix": (0, 1),
                "seed": limits.SEED,
            },
        )
        limits.check_chosen(self.sources, None, None, "source")
        check_source_names(self.sources)
        if self._component and self.remix:
            raise UsageError("remix needs the sources in all channels: set it to 0, or leave out one_component")

    @property
    def _component(self) -> bool:
        return self.one_component and self.channels > 1

    @property
    def signal(self) -> Signal:
        """Kind of signal, known before the data is loaded."""
        return Signal(
            self.sources,
            self.channels,
            (self.item_samples,),
            float(self.sample_rate),
            heart_sources=self.sources if self.hearts else (),
            template=self.template,
            component_channels=1 if self._component else None,
        )

    def load(self, cache: Path) -> TaskData:
        """Return the data; recordings are read once and kept in the folder ``cache``.

        Raises:
            UsageError: there is no such folder, it has too few recordings, or one cannot be used; the message names it.
        """
        recordings = self._recordings(cache)
        subjects = heart_records.subjects_of([name for own in recordings.values() for name in own])
        splits = {split: self._cropped(recordings[split], split, subjects) for split in SPLITS}
        signal = self.signal
        augmentation = Augmentation(remix=self.remix)
        content = {f"{name}/mixture": split.mixture for name, split in splits.items()}
        content |= {f"{name}/sources": split.sources for name, split in splits.items()}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate, "augmentation": asdict(augmentation)}
        train, validation, test = (splits[name] for name in SPLITS)
        unit_names = (heart_records.subject_word(subjects),)
        return TaskData(signal, train, validation, test, content_hash(content, facts), augmentation, unit_names)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of the samples of its recordings."""
        return {split: item_digests(own.values()) for split, own in self._recordings(cache).items()}

    def _recordings(self, cache: Path) -> dict[str, dict[str, Tensor]]:
        """Return the recordings of each split by name, each as ``_read`` returns it."""
        if self.folder == recording_folders.SYNTHESISED:
            make = partial(_synthesise, sources=self.sources, seed=self.seed)
            label = f"own-recordings-{'-'.join(self.sources)}-{self.seed}"
            folder = recording_folders.synthesised_folder(cache, label, make)
        else:
            folder = recording_folders.given_folder(self.folder, "--task.folder", _NEEDS)
        found = _files(folder, self.sources)
        digests = file_digests(cache, sorted({file for files in found.values() for file in files.values()}))
        key = {
            "files": {name: {stem: digests[file] for stem, file in files.items()} for name, files in found.items()},
            "form": [
                *self.sources,
                self.sample_rate,
                self.file_rate,
                self.channel,
                self.channels,
                self.item_samples,
                self.skip_bad,
                *(["one component"] if self._component else []),
            ],
            "version": _VERSION,
        }
        recordings, reasons = heart_records.read_once(
            cache, "own-recordings", key, list(found), lambda name: self._read(found[name]), self.skip_bad
        )
        left_out.report(reasons, folder, len(found), "recordings")
        return heart_records.by_split(recordings, self.seed)

    def _read(self, files: Mapping[str, Path]) -> NDArray[np.float32]:
        """Return the mixture and its sources ``[1 + source, channel, time]``.

        With one component for all channels: the mixture's channels, then the sources, ``[channel + source, 1, time]``.
        """
        folder = next(iter(files.values())).parent
        if lacking := [source for source in self.sources if source not in files]:
            raise UsageError(f"{folder} has no file for {lacking[0]}, only for {', '.join(sorted(files))}")
        single = self._component and _MIXTURE in files
        parts = {stem: self._channels(file, single and stem != _MIXTURE) for stem, file in files.items()}
        lengths = {stem: part.shape[-1] for stem, part in parts.items()}
        if max(lengths.values()) - min(lengths.values()) > 1:  # 1: lengths of recordings of two rates are rounded
            listed = ", ".join(f"{stem} {length / self.sample_rate:.6g} s" for stem, length in lengths.items())
            raise UsageError(f"{folder} has files of unequal length: {listed}")
        samples = min(lengths.values())
        if samples < self.item_samples:
            wanted = f"{samples / self.sample_rate:.4g} s, not {self.item_samples / self.sample_rate:.4g} s"
            raise UsageError(f"{folder} is shorter than an item: {wanted}")
        sources = np.stack([parts[source][:, :samples] for source in self.sources])
        mixture = parts[_MIXTURE][:, :samples] if _MIXTURE in parts else sources.sum(axis=0)
        if _MIXTURE in files:
            _refuse_offset(mixture, sources, self._component, files[_MIXTURE])
        if self._component:
            return np.concatenate([mixture, sources[:, 0]])[:, None]
        return np.concatenate([mixture[None], sources])

    def _channels(self, file: Path, single: bool) -> NDArray[np.float32]:
        """Return the channels that are taken of a file, ``[channel, time]``; only the first of them if ``single``."""
        try:
            recording = open_recording(file)
        except RateError as error:
            if not self.file_rate:
                raise UsageError(str(error).replace("--rate", "--task.file-rate")) from None
            recording = open_recording(file, self.file_rate)
        first = 0 if single and recording.channels == 1 else self.channel
        wanted = slice(first, first + (1 if single else self.channels))
        if wanted.stop > recording.channels:
            raise UsageError(f"{file} has {recording.channels} channels, and none of number {wanted.stop - 1}")
        check_change(recording.rate, float(self.sample_rate), str(file))
        blocks = (block[wanted].astype(np.float32, copy=False) for block in recording.blocks())
        return np.concatenate(list(resampled(blocks, recording.rate, float(self.sample_rate))), axis=1)

    def _cropped(self, named: dict[str, Tensor], split: str, subjects: Mapping[str, str]) -> Split:
        """Return random crops of recordings, which are as ``_read`` returns them."""
        names, recordings = list(named), list(named.values())
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(SPLITS.index(split),)))
        crops, units = [], []
        for number in random.integers(len(recordings), size=getattr(self, split)):
            start = random.integers(recordings[number].shape[-1] - self.item_samples + 1)
            crops.append(recordings[number][..., start : start + self.item_samples])
            units.append((subjects[names[number]],))
        items = torch.stack(crops)
        if self._component:
            return Split(items[:, : self.channels, 0].clone(), items[:, self.channels :].clone(), units=tuple(units))
        return Split(items[:, 0].clone(), items[:, 1:].clone(), units=tuple(units))


def _files(folder: Path, sources: tuple[str, ...]) -> dict[str, dict[str, Path]]:
    """Return the files of each recording by source (or ``mixture``), by the recording's name.

    Raises:
        UsageError: there are no files, or two for one source of a recording.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in recordings_below(folder):
        if path.stem in (_MIXTURE, *sources):
            files = found.setdefault(path.parent.relative_to(folder).as_posix(), {})
            if path.stem in files:
                raise UsageError(
                    f"{path.parent} has two files for {path.stem}: {files[path.stem].name} and {path.name}"
                )
            files[path.stem] = path
    if not found:
        raise UsageError(f"there are no recordings in {folder}: the task needs {_NEEDS}")
    return found


def _refuse_offset(mixture: NDArray[np.float32], sources: NDArray[np.float32], component: bool, file: Path) -> None:
    """Refuse a mixture with an offset that its sources do not have, because separators would learn the offset.

    Args:
        mixture: ``[channel, time]``.
        sources: ``[source, channel, time]``.
        component: whether each source is one signal for all channels of the mixture, in a unit of its own.
        file: file of the mixture.
    """
    middle, spread = np.median(mixture, axis=-1), _FARTHEST * mixture.std(axis=-1, dtype=np.float64)
    middles = np.median(sources, axis=-1)
    if component:
        far = np.abs(middles) > _FARTHEST * sources.std(axis=-1, dtype=np.float64)
        offset = np.where(far.any(), 0.0, middle)
    else:
        offset = middle - middles.sum(axis=0)
    worst = int(np.argmax(np.abs(offset) - spread))
    if abs(offset[worst]) > spread[worst]:
        raise UsageError(
            f"{file} lies {offset[worst]:.4g} from the sum of its sources: take that offset out of it, or add it to one"
        )


def _synthesise(folder: Path, sources: tuple[str, ...], seed: int) -> None:
    """Write six recordings of four seconds at 250 Hz: hearts of a rate and a shape each."""
    random = np.random.default_rng(seed)
    for number in range(6):
        (folder / f"s{number}").mkdir()
        total = np.zeros(1000)
        for order, source in enumerate(sources):
            beats = varied_ecg.beats(random, 1, (60.0 + 40 * order, 90.0 + 40 * order), 4)
            shapes = varied_ecg.shapes(random, beats.period, fetal=order > 0)
            wider = varied_ecg.widenings(random, beats)
            signal = varied_ecg.drawn(beats, shapes, wider, 250, 1500)[0, 250:1250] / (1 + order)
            total += signal
            _write(folder / f"s{number}" / f"{source}.csv", signal)
        _write(folder / f"s{number}" / f"{_MIXTURE}.csv", total + 0.01 * random.standard_normal(1000))


def _write(path: Path, signal: NDArray[np.float64]) -> None:
    np.savetxt(path, np.stack([np.arange(len(signal)) / 250, signal], axis=1), "%.4f", ",", header="time (s),lead")


DEBUG = Config(recording_folders.SYNTHESISED, hearts=True, train=16, validation=6, test=6, item_samples=480)
"""Crops of two seconds of six small recordings."""

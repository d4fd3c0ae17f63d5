"""Maternal and fetal ECG in an abdominal lead, synthetic, of any shape and polarity. Known as ``ecg:varied``.

The CASS paper's generator (``ecg``) has hearts of one shape and polarity, so that a separator learns to tell them by
these. Here both hearts have shapes of their own in every item (``data.varied_ecg``), and rates overlap (maternal 55 to
115, fetal 105 to 185 beats a minute). The maternal R peak is 1.5 to 20 times the fetal (log-uniform), and a tenth of
the items has no fetus. Only the mixture has:

- a wandering baseline of 0.02 to 1 of the maternal R peak: a sine at a breath's frequency, and half as much noise whose
  power falls with the squared frequency;
- broadband noise, white and pink in a random proportion, or real recordings (``noise_folder``): its standard deviation
  is 0.35 times 0.02 to 1 of the fetal R peak;
- mains hum of 50 or 60 Hz in 30% of the items, as strong as such noise;
- steps of the electrode, where ``steps`` asks for them.

With ``channels`` above 1, several leads see the two hearts, each from a direction of its own (``seen_by_leads``) and
with noise of its own. The ratio of the R peaks is that in the first lead, which is the same as if it were the only one.
Sources are per lead, or with ``one_component`` one signal of each heart: as the first lead sees it, without noise. In
the first lead the R peak has the size given above and a sign that all leads together tell. Along the mean direction of
the dipole it would have neither, because nobody knows in which directions the leads look.

Three quarters of the items go through a random band-pass (0.5-3 to 30-60 Hz), mixture and sources alike, as in
monitors; the median of each signal is subtracted. In training batches a share of the mixtures is made anew from sources
of different items (``remix``), so no epoch repeats another. An item without a fetus has no defined relative error of
the fetal source: any fetal beat in it counts as an error of 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import SPLITS, Augmentation, Signal, Split, TaskData, units_of_items
from ..data import left_out, limits, varied_ecg
from ..data.cache import cached, content_hash, item_digests
from ..data.varied_ecg import MARGIN
from ..errors import UsageError
from ..signals.beats import ADULT, FETUS, widened
from ..signals.overlap_add import resampled
from ..signals.recording_types import check_change
from ..signals.recordings import SUFFIXES, open_recording, others_below, recordings_below

VARIANT_OF = "ecg"
"""This module's configurations are named ``ecg:varied...`` (``registry``)."""

_SOURCES = ("maternal", "fetal")
_RESOLUTION = 2.0**-14  # CPUs whose sines differ in the last bit make the same samples
_LOW, _HIGH = (0.5, 3.0), (30.0, 60.0)  # Hz, ends of the band-pass
_LEVELS = (0.02, 1.0)  # of baseline, noise and hum
_NOISE = 0.35  # largest standard deviation of noise and hum, as a share of the fetal R peak
_FEWEST_SAMPLES = 10  # of a recording of noise, so that each split has a part of it
_UNREAD = "files, which are of no kind that is read (convert them to CSV, NPY, WAV, WFDB or EDF)"
_NOT_MADE = ("noise_folder", "remix", "template", "one_component")  # fields that the tensors do not depend on
_PARTS = {"train": (0.0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1.0)}  # of a recording of noise


@dataclass(frozen=True)
class Config:
    """Maternal and fetal ECG of every shape and polarity, synthetic; made once, in seconds."""

    train: int = 1200
    """Number of mixtures in the training split."""
    validation: int = 200
    """Number of mixtures in the validation split."""
    test: int = 200
    """Number of mixtures in the test split."""
    item_samples: int = 1000
    """Length of a mixture in samples."""
    sample_rate: int = 250
    """Sample rate in Hz."""
    maternal_bpm: tuple[float, float] = (55.0, 115.0)
    """Lowest and highest maternal heart rate, in beats a minute."""
    fetal_bpm: tuple[float, float] = (105.0, 185.0)
    """Lowest and highest fetal heart rate, in beats a minute."""
    amplitude_ratio: tuple[float, float] = (1.5, 20.0)
    """Lowest and highest maternal R peak, as a multiple of the fetal; drawn log-uniformly."""
    without_fetus: float = 0.1
    """Share of the items that have no fetus."""
    mains: float = 0.3
    """Share of the items with mains hum of 50 or 60 Hz."""
    filtered: float = 0.75
    """Share of the items that went through a band-pass."""
    ectopic: float = 0.0
    """Share of the maternal beats that come early and wide."""
    missed: float = 0.0
    """Share of the beats of either heart that are not there."""
    steps: float = 0.0
    """Share of the mixtures with a step of the electrode, of up to twice the maternal R peak."""
    channels: int = 1
    """Number of leads of a mixture, which see the two hearts from directions of their own; sources are per lead."""
    one_component: bool = False
    """Make each source one signal for all leads, the heart as the first lead sees it, instead of one for each lead."""
    template: bool = False
    """Give networks, beside each lead, what is left of it without the mother's average beat."""
    noise_folder: str = ""
    """Folder of recordings of noise (WFDB, EDF, CSV with times ...), used in half of the items; empty: none."""
    remix: float = 0.75
    """Share of a training batch's mixtures that are made anew, each source from another item."""
    seed: int = 0
    """Random seed of everything."""

    FORMER_FIELDS: ClassVar[Mapping[str, object]] = {"variant": "varied"}
    """Field by which stored configurations are told from those of ``ecg``."""
    LATER_FIELDS: ClassVar[Mapping[str, object]] = {"channels": 1, "one_component": False, "template": False}
    """Values at which these fields do what versions without them did, so that identities of studies stay
    (``identity.plain``)."""

    def __post_init__(self) -> None:
        shares = ("without_fetus", "mains", "filtered", "ectopic", "missed", "steps", "remix")
        limits.check(
            self,
            {
                **limits.items(10**6),
                **dict.fromkeys(shares, (0, 1)),
                "without_fetus": (0, 0.9),
                "item_samples": (2, 10**6),
                "sample_rate": (128, 4096),
                "channels": (1, 64),
                "seed": limits.SEED,
            },
        )
        limits.check_ranges(self, {"maternal_bpm": (30, 240), "fetal_bpm": (30, 240), "amplitude_ratio": (0.001, 1000)})

    @property
    def signal(self) -> Signal:
        """Kind of signal, known before the data is loaded."""
        rates = (("maternal", *widened(ADULT, self.maternal_bpm)), ("fetal", *widened(FETUS, self.fetal_bpm)))
        return Signal(
            _SOURCES,
            self.channels,
            (self.item_samples,),
            float(self.sample_rate),
            heart_sources=_SOURCES,
            template=self.template,
            heart_rates=rates,
            component_channels=1 if self.one_component else None,
        )

    def load(self, cache: Path) -> TaskData:
        """Return the data, which is made once and kept in the folder ``cache``.

        Raises:
            UsageError: ``noise_folder`` has no recordings, or one that cannot be used. Its files that sepray does not
                read are listed on standard error.
        """
        signal = self.signal
        tensors = self._tensors(cache)
        if self.noise_folder:
            folder = Path(self.noise_folder).expanduser()
            names = [str(path.relative_to(folder)) for path in others_below(folder)]
            left_out.report(names, folder, len(names) + len(recordings_below(folder)), _UNREAD)
        parts = {s: tensors[f"{s}/sources"] for s in SPLITS}
        tensors |= {f"{s}/sources": parts[s][:, :, : signal.source_channels].contiguous() for s in SPLITS}
        train, validation, test = (
            Split(
                tensors[f"{s}/mixture"],
                tensors[f"{s}/sources"],
                units=units_of_items(s, getattr(self, s)),
                beats=tensors.get(f"{s}/beats"),  # older entries of the cache lack them
                parts=parts[s] if s == "train" and signal.source_channels < signal.channels else None,
            )
            for s in SPLITS
        )
        augmentation = Augmentation(remix=self.remix)
        facts = {"sources": _SOURCES, "sample_rate": signal.sample_rate, "augmentation": asdict(augmentation)}
        signals = {name: tensor for name, tensor in tensors.items() if not name.endswith("/beats")}
        fingerprint = content_hash(signals, facts)
        return TaskData(signal, train, validation, test, fingerprint, augmentation)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its sources, without those of missing fetuses."""
        tensors = self._tensors(cache)
        hearts = {split: tensors[f"{split}/sources"].flatten(0, 1) for split in SPLITS}
        return {split: item_digests(own[own.flatten(1).any(1)]) for split, own in hearts.items()}

    def _tensors(self, cache: Path) -> dict[str, Tensor]:
        noises, digest = _noises(self.noise_folder, self.sample_rate)
        own = {name: value for name, value in asdict(self).items() if name not in _NOT_MADE}
        key = {**own, "noise": digest, "versions": [varied_ecg.VERSION, version("numpy")]}
        if self.ectopic:
            key["ectopic_beats"] = "at the centres of their wide complexes"  # not so in older entries of the cache
        return cached(cache, "ecg-varied", json.loads(json.dumps(key)), lambda: self._made(noises))

    def _made(self, noises: list[NDArray[np.float32]]) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for number, split in enumerate(SPLITS):
            random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
            stretches = [_stretch(noise, *_PARTS[split]) for noise in noises]
            mixture, sources, beats = self._split(random, getattr(self, split), stretches)
            made |= {f"{split}/mixture": mixture, f"{split}/sources": sources, f"{split}/beats": beats}
        return made

    def _split(
        self, random: np.random.Generator, items: int, noises: list[NDArray[np.float32]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mixtures ``[item, lead, time]``, sources ``[item, source, lead, time]``, and ``Split.beats``."""
        rate = self.sample_rate
        while rate < 250:  # otherwise fetal QRS complexes would be aliased
            rate += self.sample_rate
        step = rate // self.sample_rate
        samples = (self.item_samples + 2 * round(MARGIN * self.sample_rate)) * step
        least, most = self.amplitude_ratio
        ratio = np.exp(random.uniform(np.log(least), np.log(most), items))
        (leads,) = random.spawn(1)  # draws for the other leads, so that the first lead is the same without them
        maternal, own_beats = self._heart(random, leads, items, rate, samples, False)
        fetal, fetal_beats = self._heart(random, leads, items, rate, samples, True)
        has_fetus = (random.uniform(0, 1, items) >= self.without_fetus)[:, None]
        hearts = [maternal, fetal / ratio[:, None, None] * has_fetus[:, None]]
        beats = [own_beats, np.where(has_fetus, fetal_beats, np.nan)]
        noise = [self._noise(own, ratio, rate, samples, noises) for own in (random, *[leads] * (self.channels - 1))]
        parts = np.stack([*hearts, hearts[0] + hearts[1] + np.stack(noise, axis=1)], axis=1)
        chosen = random.uniform(0, 1, items) < self.filtered
        low = np.where(chosen, random.uniform(*_LOW, items), 0.0)
        high = np.where(chosen, random.uniform(*_HIGH, items), np.inf)
        parts = varied_ecg.band_passed(parts, rate, low, high)
        margin = round(MARGIN * self.sample_rate)
        parts = varied_ecg.decimated(parts, step)[..., margin : margin + self.item_samples]
        parts -= np.median(parts, axis=-1, keepdims=True)
        rounded = torch.from_numpy((np.round(parts / _RESOLUTION) * _RESOLUTION).astype(np.float32))
        most = max(times.shape[1] for times in beats)
        padded = [np.pad(t, ((0, 0), (0, most - t.shape[1])), constant_values=np.nan) for t in beats]
        times = torch.from_numpy(np.sort(np.stack(padded, axis=1)))
        return rounded[:, 2].clone(), rounded[:, :2].clone(), times

    def _heart(
        self,
        random: np.random.Generator,
        leads: np.random.Generator,
        items: int,
        rate: int,
        samples: int,
        fetal: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the signal ``[item, lead, time]`` of a heart, and when it beats, ``[item, beat]`` in seconds.

        The R peak in the first lead is 1; ``leads`` is the random generator of the other leads.
        """
        bpm = self.fetal_bpm if fetal else self.maternal_bpm
        seconds = samples / rate - 2 * MARGIN
        beats = varied_ecg.beats(random, items, bpm, seconds, 0.0 if fetal else self.ectopic, self.missed)
        shapes = varied_ecg.shapes(random, beats.period, fetal)
        seen = varied_ecg.seen_by_leads(leads, shapes, fetal, self.channels)
        wider = varied_ecg.widenings(random, beats)
        signal = varied_ecg.drawn(beats, seen, wider, rate, samples)
        return signal, varied_ecg.complexes(beats, seen, wider, self.item_samples / self.sample_rate)

    def _noise(
        self,
        random: np.random.Generator,
        ratio: NDArray[np.float64],
        rate: int,
        samples: int,
        noises: list[NDArray[np.float32]],
    ) -> NDArray[np.float64]:
        """Return the noise of a lead, ``[item, time]``; the maternal R peak is 1, the fetal 1 / ``ratio [item]``."""
        items = len(ratio)
        seconds = np.arange(samples) / rate
        wave = 2 * np.pi * random.uniform(*varied_ecg.BREATH, (items, 1)) * seconds
        sine = np.sin(wave + random.uniform(0, 2 * np.pi, (items, 1)))
        wander = sine + 0.5 * varied_ecg.coloured(random, items, samples, rate, 2, 0.1)
        white = varied_ecg.coloured(random, items, samples, rate, 0, 0)
        pink = varied_ecg.coloured(random, items, samples, rate, 1, 0.5)
        share = random.uniform(0, 1, (items, 1))
        broadband = np.sqrt(share) * white + np.sqrt(1 - share) * pink
        for item in range(items) if noises else ():
            if random.uniform() < 0.5:
                broadband[item] = _crop(random, noises, samples, rate / self.sample_rate)
        hum = random.choice((50.0, 60.0), (items, 1)) * 2 * np.pi * seconds
        hum = np.sqrt(2) * np.sin(hum + random.uniform(0, 2 * np.pi, (items, 1)))
        level, strength, hum_strength = (random.uniform(*_LEVELS, (items, 1)) for _ in range(3))
        has_hum = random.uniform(0, 1, (items, 1)) < self.mains
        at = random.uniform(MARGIN, samples / rate - MARGIN, (items, 1))
        height = random.uniform(-2, 2, (items, 1)) * (random.uniform(0, 1, (items, 1)) < self.steps)
        fetal = _NOISE / ratio[:, None]
        noise: NDArray[np.float64] = level * wander + height * (seconds > at)
        noise += fetal * (strength * broadband + hum_strength * hum * has_hum)
        return noise


def _noises(folder: str, rate: int) -> tuple[list[NDArray[np.float32]], str]:
    """Return the channels of the recordings in a folder, at a rate and of unit standard deviation, and their digest."""
    if not folder:
        return [], ""
    path = Path(folder).expanduser()
    if not path.is_dir() or not (files := recordings_below(path)):
        other = sorted({file.suffix for file in others_below(path)}) if path.is_dir() else []
        kinds = f"; it has {', '.join(other)}, and these are read: {', '.join(SUFFIXES)}" if other else ""
        raise UsageError(f"{path} has no recordings (--task.noise-folder){kinds}")
    channels = []
    for recording in map(open_recording, files):
        check_change(recording.rate, float(rate), str(recording.path))
        read = (block.astype(np.float32, copy=False) for block in recording.blocks())
        samples = np.concatenate(list(resampled(read, recording.rate, float(rate))), axis=1)
        if samples.shape[1] < _FEWEST_SAMPLES:
            raise UsageError(f"{recording.path} is too short for noise: {samples.shape[1]} samples at {rate} Hz")
        channels += [channel for channel in samples if channel.std() > 0]
    channels = [(channel - np.median(channel)) / channel.std() for channel in channels]
    digest = hashlib.sha256(b"".join(channel.tobytes() for channel in channels)).hexdigest()
    return channels, digest


def _stretch(noise: NDArray[np.float32], start: float, stop: float) -> NDArray[np.float32]:
    return noise[round(start * len(noise)) : round(stop * len(noise))]


def _crop(
    random: np.random.Generator, noises: list[NDArray[np.float32]], samples: int, step: float
) -> NDArray[np.float64]:
    """Return a random crop ``[time]`` of a random recording, at ``step`` times its rate; a short one is mirrored."""
    noise = noises[random.integers(len(noises))]
    wanted = int(np.ceil(samples / step)) + 1
    noise = np.pad(noise, (0, max(0, wanted - len(noise))), mode="symmetric")
    start = random.integers(len(noise) - wanted + 1)
    return np.interp(np.arange(samples) / step, np.arange(wanted), noise[start : start + wanted])


DEBUG = Config(train=24, validation=8, test=8, item_samples=496)
"""Forty items of two seconds."""

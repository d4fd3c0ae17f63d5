"""The heart's and the breath's part of a photoplethysmogram (PPG) at rest, as in section 4.1 of the CASS paper.

The paper generates heart and respiratory PPG from random heart and breathing rates, with pulses from a database of
wrist PPG (Jarchi and Casson 2016, its [13]), at rest, with little motion. It gives neither rates, lengths, amplitudes
nor splits. Here, at 32 Hz (a resting PPG has nothing above 10 Hz), items of 15.75 s, which hold three breaths at least:

- Rates are uniform in 60-100 beats and 12-20 breaths a minute, the usual ranges of an adult at rest.
- A pulse is a systolic and a smaller, later diastolic Gaussian in the phase of the beat (the model of Martin-Martinez
  et al. 2013), their places, widths and ratio random for each item; with ``references``, a pulse of a real recording.
- The rate varies as a heart's does: with the breath (respiratory sinus arrhythmia, up to 5%) and at 0.1 Hz (up to 3%).
- The breath is a cosine whose inspiration takes a third to nearly half of the cycle; its rate drifts by up to 5%.
- A pulse is 1 from foot to peak, without its mean; the breath's amplitude is 0.1 to 0.5 (the baseline of the PPG), and
  white noise of up to 0.01 is in the mixture alone. Amplitudes are relative: a PPG has no unit.

With ``references``, a folder of WFDB records (a channel whose name has "ppg" or "pleth", or the only one) and of CSV
files, each recording's pulses are in one split, and those of one subject too (the name up to the first underscore).

Example: a study of ``StudySpec(separator="cass", task="ppg", ...)``, started with ``--task.references ~/wrist``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Signal, Split, TaskData
from ..data import heart_records as physiology
from ..data.cache import cached, content_hash
from ..data.heart_records import PHASES
from ..signals.heart_rate import heart_rate
from ..signals.recordings import RecordingError, open_recording

_SOURCES = ("heart", "respiration")
_SPLITS = physiology.SPLITS
_RESOLUTION = 2.0**-14  # the same bits on CPUs whose sine differs in the last one
_EXCERPT_SECONDS = 30.0  # of a recording, within which the rate is taken to be one
_VERSION = 1


@dataclass(frozen=True)
class Config:
    """The PPG task; synthetic, or with the pulses of WFDB and CSV recordings in ``references``."""

    train: int = 1000
    """Mixtures in the training split."""
    validation: int = 200
    """Mixtures in the validation split."""
    test: int = 200
    """Mixtures in the test split."""
    item_samples: int = 504
    """Samples in a mixture."""
    sample_rate: int = 32
    """Samples a second."""
    heart_bpm: tuple[float, float] = (60.0, 100.0)
    """Lowest and highest heart rate, in beats a minute."""
    breaths: tuple[float, float] = (12.0, 20.0)
    """Lowest and highest breathing rate, in breaths a minute."""
    breath_amplitude: tuple[float, float] = (0.1, 0.5)
    """Lowest and highest amplitude of the breath, the pulse being 1 from foot to peak."""
    noise: tuple[float, float] = (0.0, 0.01)
    """Lowest and highest standard deviation of the noise, likewise."""
    references: str = ""
    """Folder of recordings (WFDB, CSV; at least three) whose pulses are used; empty: synthetic pulses."""
    reference_rate: float = 100.0
    """Samples a second of those CSV files that do not say it; a pulse is used at any rate, this finds it."""
    skip_bad: bool = False
    """Leave damaged recordings out, and say which, instead of refusing the folder."""
    seed: int = 0
    """Of everything random in the data."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "item_samples": (16, 2**20),
            "sample_rate": (16, 4096),
            "seed": (0, 2**63 - 1),
        }
        limits |= dict.fromkeys(_SPLITS, (1, 10**6))
        limits["reference_rate"] = (10, 10_000)
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        for name, low, high in (
            ("heart_bpm", 30, 240),
            ("breaths", 4, 60),
            ("breath_amplitude", 0.001, 1000),
            ("noise", 0, 1000),
        ):
            value = getattr(self, name)
            if len(value) != 2 or not low <= value[0] <= value[1] <= high:
                raise ValueError(f"{name} must be two rising numbers between {low} and {high}, not {value}")

    def load(self, cache: Path) -> TaskData:
        """Return the data, made anew each time in a second; pulses of recordings are kept in the folder ``cache``.

        Raises:
            ValueError: the recordings are not there, too few, or one is damaged; the message names it.
        """
        shapes = self._references(cache) if self.references else None
        splits = {name: self._make(name, shapes) for name in _SPLITS}
        signal = Signal(_SOURCES, 1, (self.item_samples,), float(self.sample_rate), heart_sources=("heart",))
        content: dict[str, Tensor] = {}
        for name, split in splits.items():
            content |= {f"{name}/mixture": split.mixture, f"{name}/sources": split.sources}
        facts = {"sources": signal.sources, "sample_rate": signal.sample_rate}
        return TaskData(signal, splits["train"], splits["validation"], splits["test"], content_hash(content, facts))

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return for each split the digests of its sources and, where pulses are real, of the pulses."""
        shapes = self._references(cache) if self.references else None
        found = {}
        for name in _SPLITS:
            parts = list(self._make(name, shapes).sources.flatten(0, 1)) + (
                [] if shapes is None else list(shapes[name])
            )
            digests = (hashlib.sha256(part.numpy().tobytes()).hexdigest() for part in parts)
            found[name] = tuple(dict.fromkeys(digests))  # a recording may repeat a pulse
        return found

    def _make(self, split: str, shapes: dict[str, Tensor] | None) -> Split:
        items = getattr(self, split)
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_SPLITS.index(split),)))
        seconds = np.arange(self.item_samples) / self.sample_rate
        breathing, breath = _breath(random, items, self.breaths, seconds)
        breath *= random.uniform(*self.breath_amplitude, (items, 1))
        beats = _beats(random, self.heart_bpm, seconds, breathing)
        if shapes is None:
            pulse = _pulses(random, items)
        else:
            pulse = shapes[split].double().numpy()[random.integers(len(shapes[split]), size=items)]
        heart = _at_phase(pulse - pulse.mean(axis=1, keepdims=True), beats)
        noise = random.uniform(*self.noise, (items, 1)) * random.standard_normal(heart.shape)
        heart, breath, noise = (np.round(part / _RESOLUTION) * _RESOLUTION for part in (heart, breath, noise))
        sources = torch.from_numpy(np.stack((heart, breath), axis=1)[:, :, None].astype(np.float32))
        return Split(torch.from_numpy((heart + breath + noise)[:, None].astype(np.float32)), sources)

    def _references(self, cache: Path) -> dict[str, Tensor]:
        """Return the pulses of each split ``[pulse, phase]``, from the cache where they are there."""
        folder = Path(self.references).expanduser()
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.suffix in (".hea", ".csv")}
        if not files:
            raise ValueError(f"{folder} holds no recording: neither a WFDB header (.hea) nor a CSV file")
        stamps = {name: [path.stat().st_size, path.stat().st_mtime_ns] for name, path in sorted(files.items())}
        key = {
            "folder": str(folder.absolute()),
            "files": stamps,
            "skip_bad": self.skip_bad,
            "rate": self.reference_rate,
            "seed": self.seed,
            "version": _VERSION,
        }
        found = dict(cached(cache, "ppg-pulses", key, lambda: self._extract(files)))
        left_out: list[str] = json.loads(found.pop("left_out").numpy().tobytes())
        if left_out:
            print(
                f"{folder}: left out {len(left_out)} of {len(files)} recordings", *left_out, sep="\n  ", file=sys.stderr
            )
        return found

    def _extract(self, files: dict[str, Path]) -> dict[str, Tensor]:
        found, left_out = physiology.sound_ones(sorted(files), lambda n: self._read(files[n]), self.skip_bad)
        dealt = physiology.deal(list(found), self.seed)
        shapes = {split: torch.from_numpy(np.concatenate([found[n] for n in names])) for split, names in dealt.items()}
        notes = np.frombuffer(json.dumps(list(left_out.values())).encode(), dtype=np.uint8).copy()
        return shapes | {"left_out": torch.from_numpy(notes)}

    def _read(self, path: Path) -> NDArray[np.float32]:
        """Return the sound pulses of a recording ``[pulse, phase]``."""
        if path.suffix == ".hea":
            samples, rate = physiology.read_record(path, _pulse_channel)
        else:
            samples, rate = _table(path, self.reference_rate)
        length = min(len(samples), round(_EXCERPT_SECONDS * rate))
        found = []
        for start in range(0, len(samples) - length + 1, length):
            excerpt = samples[start : start + length]
            bpm = float(heart_rate(torch.from_numpy(excerpt.copy()), rate))
            if bpm > 0:
                found.append(physiology.pulses(excerpt, rate, 60 / bpm))
        every = np.concatenate(found) if found else np.zeros((0, PHASES))
        if not len(every):
            raise ValueError(f"{path} has no pulses that repeat themselves")
        return every.astype(np.float32)


def _table(path: Path, rate: float) -> tuple[NDArray[np.float64], float]:
    """Return the first channel of a CSV file and its rate; the given one where the file does not say it."""
    try:
        table = open_recording(path)
    except RecordingError as error:
        if "--rate" not in str(error):  # what a rate would not put right
            raise
        table = open_recording(path, rate)
    return np.concatenate([block[0] for block in table.blocks()]).astype(np.float64), table.rate


def _pulse_channel(names: Sequence[str]) -> int | None:
    """Return which channel of a record is a PPG."""
    named = [k for k, name in enumerate(names) if "ppg" in name.lower() or "pleth" in name.lower()]
    return named[0] if named else 0 if len(names) == 1 else None


def _breath(
    random: np.random.Generator, items: int, rates: tuple[float, float], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the phase of the breath in cycles, and the breath between -1 and 1, both ``[item, time]``."""
    hertz = random.uniform(*rates, (items, 1)) / 60
    drift, at = random.uniform(0, 0.05, (items, 1)), random.uniform(0, 1, (items, 1))
    period = seconds[-1] + seconds[1]
    phase = hertz * (seconds + drift * period / 6 * np.sin(2 * np.pi * (seconds / period + at)))
    phase += random.uniform(0, 1, (items, 1))
    inspiration = random.uniform(1 / 3, 0.45, (items, 1))
    cycle = phase % 1
    half = np.where(cycle < inspiration, cycle / inspiration, 1 + (cycle - inspiration) / (1 - inspiration))
    wave: NDArray[np.float64] = -np.cos(np.pi * half)
    return phase, wave


def _beats(
    random: np.random.Generator,
    rates: tuple[float, float],
    seconds: NDArray[np.float64],
    breathing: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the phase of the heart ``[item, time]`` in beats: a rate that varies about its mean with the breath."""
    items = len(breathing)
    hertz = random.uniform(*rates, (items, 1)) / 60
    arrhythmia, slow = random.uniform(0, 0.05, (items, 1)), random.uniform(0, 0.03, (items, 1))
    rate = 1 + arrhythmia * np.sin(2 * np.pi * breathing)
    rate += slow * np.sin(2 * np.pi * (0.1 * seconds + random.uniform(0, 1, (items, 1))))
    phase: NDArray[np.float64] = np.cumsum(hertz * rate * (seconds[1] - seconds[0]), axis=1)
    return random.uniform(0, 1, (items, 1)) + phase


def _pulses(random: np.random.Generator, items: int) -> NDArray[np.float64]:
    """Return synthetic pulses ``[item, phase]``: 0 at the lowest, 1 at the highest."""
    phase = np.arange(PHASES) / PHASES
    pulse = np.zeros((items, PHASES))
    for height, place, width in (
        ((1.0, 1.0), (0.22, 0.30), (0.07, 0.10)),
        ((0.25, 0.55), (0.54, 0.64), (0.10, 0.15)),
    ):
        centre, deviation = random.uniform(*place, (items, 1)), random.uniform(*width, (items, 1))
        distance = (phase - centre + 0.5) % 1 - 0.5  # around the circle: one beat's end is the next one's beginning
        pulse += random.uniform(*height, (items, 1)) * np.exp(-0.5 * np.square(distance / deviation))
    pulse -= pulse.min(axis=1, keepdims=True)
    scaled: NDArray[np.float64] = pulse / pulse.max(axis=1, keepdims=True)
    return scaled


def _at_phase(pulse: NDArray[np.float64], beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``[item, time]``: each item's pulse ``[item, phase]`` where its heart is, linearly between phases."""
    place = beats % 1 * PHASES
    before = np.floor(place).astype(np.int64)
    part = place - before
    rows = np.arange(len(pulse))[:, None]
    found: NDArray[np.float64] = (1 - part) * pulse[rows, before % PHASES] + part * pulse[rows, (before + 1) % PHASES]
    return found


DEBUG = Config(train=24, validation=8, test=8, item_samples=248)
"""Forty synthetic items of 8 s."""

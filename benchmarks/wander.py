"""Tests whether a baseline that moves as a breath does hides the fetus, and how far the level of training items moves.

    python benchmarks/wander.py --recordings FOLDER

FOLDER has tables with a column of times and leads (CSV), and ``rates.csv`` (``sepray evaluate --recordings``). A sine
is added to all leads, as high as ``--heights`` of the largest distance of a lead from its median, and leads with the
right rate are counted: with the baseline kept, and taken away, as ``sepray separate`` does.

Then, how near the baseline is at both ends. Of ``ecg:varied``, what becomes of both hearts' relative L2 errors in items
of 10 s, by the size of the slow part beside the rest, where it is largest; and how far beyond the range of the model's
training mixtures levels lie, in standard deviations (``scoring.offsets``): of 4 s of a long recording, and of a quarter
of items.

Right fetal leads of DaISy's five by ``pretrained:ecg``, baseline kept and taken away, on two cores of an Intel Xeon
(AVX-512, bfloat16); the mother's are 5 in all cases, and without a sine the fetus's are 4 in both:

    height  0.05 Hz  0.1 Hz  0.15 Hz  0.25 Hz  0.35 Hz  0.45 Hz  0.6 Hz
    0.25       4, 4    3, 4     3, 4     4, 4     4, 4     4, 4    3, 4
    0.5        4, 4    1, 4     3, 4     2, 4     2, 4     3, 4    2, 4
    1          3, 4    1, 4     3, 4     1, 4     1, 4     1, 4    1, 4
    2          3, 4    0, 4     0, 4     0, 4     0, 4     0, 4    0, 3

    error in the first and the last second   mirrored  reflected  slope
    no wander                                0.016     0.097      0.018
    a drift of 1 a second                    0.048     0.097      0.030
    0.05 Hz                                  0.018     0.097      0.020
    0.1 Hz                                   0.025     0.097      0.023
    0.25 Hz                                  0.057     0.098      0.029
    0.35 Hz                                  0.086     0.103      0.041
    0.45 Hz                                  0.128     0.120      0.077
    0.6 Hz                                   0.277     0.235      0.205

    slow part     items  mother            fetus             the mother is nearer in
    0 to 0.1        376  0.259 -> 0.259    0.829 -> 0.829    51%
    0.1 to 0.2      198  0.294 -> 0.295    0.829 -> 0.829    42%
    0.2 to 0.3       80  0.324 -> 0.325    0.883 -> 0.884    49%
    0.3 to 0.4       45  0.324 -> 0.325    0.885 -> 0.883    40%
    0.4 to 0.6       50  0.326 -> 0.321    0.881 -> 0.879    70%
    0.6 to 1         46  0.337 -> 0.322    0.891 -> 0.881    83%
    1 to 2           64  0.337 -> 0.301    0.883 -> 0.871    92%
    2 and more      141  0.425 -> 0.364    0.960 -> 0.922    94%
    0.4 and more    301  0.377 -> 0.337    0.921 -> 0.898    88%

    level of 4 s of 20 recordings of 2 minutes: at most 1.2 standard deviations beyond the range
    level of 1 s of 300 items: at most 7.8 standard deviations beyond the range
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from sepray.models import real_recordings, stream
from sepray.models.model import Model, load_model
from sepray.models.model_signal import lowest_heart_rate
from sepray.scoring import offsets
from sepray.scoring.metrics import relative_error
from sepray.signals.baseline import with_slow_part
from sepray.signals.recording_types import Recording
from sepray.signals.recordings import open_array
from sepray.signals.running_median import stretches
from sepray.tasks.ecg_varied import Config


def write(folder: Path, records: Path, height: float, hertz: float) -> None:
    """Write all tables of ``records`` into a folder, with a sine in their leads."""
    for file in sorted(records.glob("*.csv")):
        if file.name == "rates.csv":
            shutil.copy(file, folder)
            continue
        with file.open() as lines:
            names, *rows = csv.reader(lines)
        values = np.array(rows, dtype=np.float64)
        times, leads = values[:, 0], values[:, 1:]
        highest = np.abs(leads - np.median(leads, 0)).max(0)
        leads = leads + height * highest * np.sin(2 * np.pi * hertz * times + 0.3)[:, None]
        table = np.concatenate([times[:, None], leads], axis=1)
        np.savetxt(folder / file.name, table, delimiter=",", fmt="%.6g", header=",".join(names), comments="")


def leads_right(model: Model, folder: Path) -> str:
    """Return the numbers of leads with the right rate, of each source."""
    found: Counter[str] = Counter()
    for record in real_recordings.evaluate_recordings(model, folder).records:
        for source, scores in record.scores.items():
            found[source] += scores[model.name].leads_right or 0
    return ", ".join(f"{source} {count}" for source, count in found.items())


def kept(recording: Recording, model: Model) -> stream.Levels:
    """Return the levels of a recording with its baseline in it."""
    return replace(stream.levels_of(recording, model), baseline=None)


def at_the_ends(items: int = 100, seconds: float = 20) -> None:
    """Print the error of the baseline in the first and last second, of sines as high as the hearts of ``ecg:varied``.

    The signal beyond its ends is mirrored, reflected about its last sample, or mirrored about its slope (sepray's).
    """
    rate = Config().sample_rate
    config = Config(train=2, validation=2, test=2, item_samples=round(seconds * rate))
    hearts = config._split(np.random.default_rng(3), items, [])[1].numpy().sum(1).reshape(items, -1)
    hearts = hearts / np.abs(hearts - np.median(hearts, axis=1, keepdims=True)).max(axis=1, keepdims=True)
    lowest, beyond = lowest_heart_rate(load_model("pretrained:ecg")) / rate, 6 * rate
    phases = np.linspace(0, 2 * np.pi, items, endpoint=False)[:, None]
    time = np.arange(hearts.shape[1]) / rate
    ends = np.r_[:rate, -rate:0]

    def slow(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([part for _, part in with_slow_part([signal], lowest)], axis=-1)

    for name, wave in (
        ("no wander", 0 * phases + 0 * time),
        ("a drift of 1 a second", 0 * phases + time),
        *((f"{hertz:g} Hz", np.sin(2 * np.pi * hertz * time + phases)) for hertz in (0.05, 0.1, 0.25, 0.35, 0.45, 0.6)),
    ):
        errors = []
        for how in ({"mode": "symmetric"}, {"mode": "reflect", "reflect_type": "odd"}, None):
            signal = hearts + wave
            padded = signal if how is None else np.pad(signal, ((0, 0), (beyond, beyond)), **how)
            inner = slice(None) if how is None else slice(beyond, -beyond)
            error = slow(padded)[:, inner] - wave - hearts.mean(axis=1, keepdims=True)
            errors.append(float(np.sqrt(np.mean(error[:, ends] ** 2))))
        print(f"ends, {name}: mirrored {errors[0]:.3f}, reflected {errors[1]:.3f}, sepray {errors[2]:.3f}", flush=True)


def on_items(model: Model, items: int, seconds: float = 10) -> None:
    """Print the mean relative L2 errors on items of ``ecg:varied``, with the baseline and without, by its size."""
    samples = round(seconds * Config().sample_rate)
    config = Config(train=2, validation=2, test=2, item_samples=samples)
    mixtures, sources, _ = config._split(np.random.default_rng(7), items, [])
    there = sources[:, 1].flatten(1).any(1).numpy()
    recording = open_array(mixtures[:, 0].numpy(), Config().sample_rate)
    levels = stream.levels_of(recording, model)
    slow = () if levels.baseline is None else levels.baseline.shares
    errors = []
    for own in (replace(levels, baseline=None), levels):
        found = np.concatenate(list(stream.estimates_of(recording, model, levels=own)), -1)
        estimates = torch.from_numpy(found).transpose(0, 1)[:, :, None]
        errors.append(relative_error(estimates, sources, 2).numpy())
    limits = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, np.inf)
    for low, high in (*itertools.pairwise(limits), (0.4, np.inf), (0.0, np.inf)):
        own = (np.array(slow) >= low) & (np.array(slow) < high)
        kept, less = ((one[own, 0].mean(), one[own & there, 1].mean()) for one in errors)
        better = (errors[1] < errors[0])[own, 0].mean()
        print(
            f"slow part {low:g} to {high:g}, {own.sum()} items: mother {kept[0]:.3f} -> {less[0]:.3f}, fetus "
            f"{kept[1]:.3f} -> {less[1]:.3f}; the mother is nearer in {better:.0%}",
            flush=True,
        )


def beyond(trained: dict[str, float], items: int, samples: int, length: int) -> float:
    """Return how far the farthest stretch of items of ``ecg:varied``, less their medians, lies beyond the range."""
    config = Config(train=2, validation=2, test=2, item_samples=samples)
    mixtures = config._split(np.random.default_rng(1), items, [])[0].numpy().reshape(items, 1, -1)
    found = [stretches([one - np.median(one)], length) for one in mixtures]
    return float(max(offsets._beyond(middles[0], spreads[0], trained).max() for middles, spreads in found))


def main() -> None:
    """Print a line for each height and frequency, those of the items, and two of levels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help="folder of tables with rates.csv")
    parser.add_argument("--model", default="pretrained:ecg")
    parser.add_argument("--hertz", type=float, nargs="*", default=[0.05, 0.1, 0.15, 0.25, 0.35, 0.45, 0.6])
    parser.add_argument("--heights", type=float, nargs="*", default=[0.0, 0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--items", type=int, default=1000)
    given = parser.parse_args()
    model = load_model(given.model)
    cases = [(height, hertz) for height in given.heights for hertz in (given.hertz if height else given.hertz[:1])]
    for height, hertz in cases:
        counts = []
        for how in (kept, stream.levels_of):
            with tempfile.TemporaryDirectory() as folder, patch.object(real_recordings, "levels_of", how):
                write(Path(folder), given.recordings, height, hertz)
                counts.append(leads_right(model, Path(folder)))
        print(f"height {height:g}, {hertz:g} Hz: {counts[0]} -> {counts[1]}", flush=True)
    at_the_ends()
    on_items(model, given.items)
    length, trained = Config().item_samples, model.metadata[offsets.MIXTURE_LEVEL]
    for name, shape in (
        ("4 s of 20 recordings of 2 minutes", (20, 30 * length, length)),
        ("1 s of 300 items", (300, length, length // 4)),
    ):
        print(f"level of {name}: at most {beyond(trained, *shape):.1f} standard deviations beyond the range")


if __name__ == "__main__":
    main()

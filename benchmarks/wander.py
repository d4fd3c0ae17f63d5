"""Whether a baseline that moves as a breath does hides the fetus, and how far the level of training items moves.

    python benchmarks/wander.py --recordings FOLDER

FOLDER has tables with a column of times and leads (CSV), and ``rates.csv`` (``sepray evaluate --recordings``). A sine
is added to all leads, as high as ``--heights`` of the largest distance of a lead from its median, and leads with the
right fetal rate are counted: as they are, and after a high-pass at 0.5 Hz (Butterworth, order 2, both ways).

Then, of ``ecg:varied``, how far beyond the range of the model's training mixtures levels lie, in standard deviations
(``scoring.offsets``): of 4 s of a long recording, and of a quarter of items.

The fetus in DaISy's five abdominal leads by ``pretrained:ecg``, on two cores of an Intel Xeon (AVX-512, bfloat16);
template subtraction has it in 5 of 5 in all lines, and both have it with all leads together:

    height    as it is    high-pass
    0              4/5          4/5
    0.5            2/5          4/5
    1              1/5          4/5

    level of 4 s of 20 recordings of 2 minutes: at most 1.2 standard deviations beyond the range
    level of 1 s of 300 items: at most 7.8 standard deviations beyond the range
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from sepray.models import real_recordings
from sepray.models.model import load_model
from sepray.scoring import offsets
from sepray.signals.running_median import stretches
from sepray.tasks.ecg_varied import Config


def write(folder: Path, records: Path, height: float, hertz: float, filtered: bool) -> None:
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
        if filtered:
            rate = 1 / np.median(np.diff(times))
            leads = sosfiltfilt(butter(2, 0.5, "highpass", fs=rate, output="sos"), leads, axis=0)
        table = np.concatenate([times[:, None], leads], axis=1)
        np.savetxt(folder / file.name, table, delimiter=",", fmt="%.6g", header=",".join(names), comments="")


def leads_right(model: str, folder: Path, source: str) -> dict[str, str]:
    """Return by system how many leads have the right rate, of how many."""
    found: dict[str, list[int]] = {}
    for record in real_recordings.evaluate_recordings(model, folder).records:
        for system, score in record.scores[source].items():
            both = found.setdefault(system, [0, 0])
            both[0] += score.leads_right
            both[1] += score.leads
    return {system: f"{right}/{leads}" for system, (right, leads) in found.items()}


def beyond(trained: dict[str, float], items: int, samples: int, length: int) -> float:
    """Return how far the farthest stretch of items of ``ecg:varied``, less their medians, lies beyond the range."""
    config = Config(train=2, validation=2, test=2, item_samples=samples)
    mixtures = config._split(np.random.default_rng(1), items, [])[0].numpy().reshape(items, 1, -1)
    found = [stretches([one - np.median(one)], length) for one in mixtures]
    return float(max(offsets._beyond(middles[0], spreads[0], trained).max() for middles, spreads in found))


def main() -> None:
    """Print a line for each height, and the two of the items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help="folder of tables with rates.csv")
    parser.add_argument("--model", default="pretrained:ecg")
    parser.add_argument("--hertz", type=float, default=0.25, help="frequency of the sine")
    parser.add_argument("--heights", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    parser.add_argument("--source", default="fetal")
    parser.add_argument("--items", type=int, default=300)
    given = parser.parse_args()
    for height in given.heights:
        for filtered in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder), given.recordings, height, given.hertz, filtered)
                counts = leads_right(given.model, Path(folder), given.source)
            how = "high-pass" if filtered else "as it is"
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"height {height:g}, {how:9}: {shown}", flush=True)
    length, trained = Config().item_samples, load_model(given.model).metadata[offsets.MIXTURE_LEVEL]
    for name, shape in (
        ("4 s of 20 recordings of 2 minutes", (20, 30 * length, length)),
        (f"1 s of {given.items} items", (given.items, length, length // 4)),
    ):
        print(f"level of {name}: at most {beyond(trained, *shape):.1f} standard deviations beyond the range")


if __name__ == "__main__":
    main()

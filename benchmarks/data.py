"""Share of an epoch's time that goes into making its batches, with crops and remixes.

    OMP_NUM_THREADS=1 python benchmarks/data.py
    OMP_NUM_THREADS=1 python benchmarks/data.py --separators cass ssgan --items 256 --rounds 9

The items of a training split are in the memory of the device that trains; a batch gathers random crops of them, and a
share of these is remixed. For each separator an epoch is timed with items as they are (``plain``), with random crops
(``crops``), and with crops of which half are remixed (``remixes``). ``of one batch`` is each of these times over that
of an epoch in which every batch is the first one again, which makes no batches: 1 is an epoch that never waits for
data. ``share`` is the share of an epoch's time in which its batches are made.

All variants run in turn in one process, in changing order, after an epoch of warming up. Times are CPU seconds, which
other processes on the machine disturb less than the clock, and medians over the rounds. Methods have their ``SMALL``
configuration if there is one, so that an epoch takes seconds: in larger networks the share of data is smaller. Data are
two sources of noise, 32768 samples an item as in ``tasks.stems``, and 65536 where items are cropped.

Measured on one thread of an AMD EPYC with torch 2.11: ``of one batch`` and ``share`` (the five epochs of a variant
differ by a factor of up to 1.3, the shares by little):

    separator               plain            crops          remixes
    cass                1.033   0.09 %  0.966   0.11 %  0.995   0.40 %
    supervised_mask     0.997   0.22 %  0.985   0.31 %  0.962   1.17 %
    sepgan              1.006   0.21 %  1.003   0.29 %  1.018   0.98 %
    semi_adversarial    1.021   0.12 %  1.000   0.17 %  1.001   0.38 %
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch import Tensor

from sepray import registry
from sepray.contracts import Augmentation, Signal, Split
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

SAMPLES = 32768
VARIANTS = {
    "plain": Augmentation(),
    "crops": Augmentation(crop=SAMPLES),
    "remixes": Augmentation(crop=SAMPLES, remix=0.5, remix_level=(-6, 6)),
}


class Timed(Trainer):
    """A trainer that counts the CPU seconds in which it makes its batches."""

    batch_seconds = 0.0

    def _batch(self) -> dict[str, Tensor]:
        start = time.process_time()
        batch = super()._batch()
        self.batch_seconds += time.process_time() - start
        return batch


class OneBatch(Timed):
    """A trainer whose batches are all the same: an epoch without the cost of its data."""

    _first: dict[str, Tensor] | None = None

    def _batch(self) -> dict[str, Tensor]:
        if self._first is None:
            self._first = super()._batch()
        return dict(self._first)


def split(items: int, samples: int) -> Split:
    """Return items of two sources of noise."""
    sources = torch.randn(items, 2, 1, samples, generator=torch.Generator().manual_seed(0))
    return Split(sources.sum(1), sources)


def main() -> None:
    """Print one line of JSON for each separator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["cass", "supervised_mask", "sepgan", "semi_adversarial"]
    parser.add_argument("--separators", nargs="+", default=names, help="names of separators")
    parser.add_argument("--items", type=int, default=64, help="number of training mixtures")
    parser.add_argument("--rounds", type=int, default=5, help="number of timed epochs of each variant")
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal = Signal(("a", "b"), 1, (SAMPLES,), 44100.0)
    splits = {length: split(options.items, length) for length in (SAMPLES, 2 * SAMPLES)}
    for name in options.separators:
        module = registry.find("sepray.separators", name)
        config = getattr(module, "SMALL", None) or module.Config()
        trainers: dict[str, Timed] = {}
        for variant in ("one batch", *VARIANTS):
            augment = VARIANTS.get(variant, Augmentation())
            separator = build(config, signal, 0)
            data = splits[2 * SAMPLES if augment.crop else SAMPLES]
            seen = view(data, separator.supervision, torch.Generator().manual_seed(0), separator.paired_fraction)
            kind = OneBatch if variant == "one batch" else Timed
            trainers[variant] = kind(separator, seen, {}, 0, config.batch_size, config.betas, augment=augment)
        seconds: dict[str, list[float]] = {variant: [] for variant in trainers}
        shares: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for round_ in range(options.rounds + 1):
            for variant in list(trainers) if round_ % 2 else list(trainers)[::-1]:
                trainer = trainers[variant]
                trainer.batch_seconds, start = 0.0, time.process_time()
                trainer.epoch()
                epoch_seconds = time.process_time() - start
                if not round_:
                    continue  # the first warms up
                seconds[variant].append(epoch_seconds)
                if variant in VARIANTS:
                    shares[variant].append(trainer.batch_seconds / epoch_seconds)
        medians = {variant: statistics.median(values) for variant, values in seconds.items()}
        figures = {
            "separator": name,
            "of one batch": {variant: round(medians[variant] / medians["one batch"], 3) for variant in VARIANTS},
            "share": {variant: round(statistics.median(values), 5) for variant, values in shares.items()},
            "all": {variant: [round(value, 3) for value in sorted(values)] for variant, values in seconds.items()},
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()

"""Tests in pairs of short trainings whether adversaries help a measure that L2 misses, for an ambiguous posterior.

    OMP_NUM_THREADS=1 python benchmarks/adversaries.py hidden        # fetal beats under the mother's QRS
    OMP_NUM_THREADS=1 python benchmarks/adversaries.py magnitude     # magnitudes, whose phase is the mixture's
    OMP_NUM_THREADS=1 python benchmarks/adversaries.py few_pairs     # a twentieth with their sources, the rest unpaired

Trainings of a seed have the same initial weights and batches, and differ in their adversary alone. CASS goes on from
``pretrained:ecg``, or of magnitudes from one training without adversaries; before it does, its critics learn to tell
the estimates from sources, so that they have something to say. The others begin anew. They are scored by the fetal
estimates of 600 test items of ``ecg:varied``, on which nothing is chosen. Intervals (95%) resample seeds and items, and
hold for all arms of a case together; p is of sign flips of the seeds, by Holm over the arms. Each case has one measure
that was named before it ran (``*``); the measures are not corrected for one another.

- relative L2, beat F1: as ``sepray evaluate`` has them.
- hidden ...: of the fetal beats within 40 ms of one of the mother's, in the 40 ms to either side of them. Recall: those
  that are found. Slope: of the estimate over the true signal; a mean over all that may be there is below 1. Sizes: the
  Wasserstein distance of the distributions of the logarithms of their root mean squares, over the beats of 20 items:
  0.69 where all are half or double as large.
- left of hers: logarithm of the fetal estimate's size around the mother's beats, beside her, where there is no fetus.
- spectrum: root mean square, over 8 to 56 Hz, of the decibels between the mean spectra of estimate and source.

Beside them: the critics' losses in each epoch (of Wasserstein critics the distances; of two critics of CASS that know
nothing 2.77), and the adversary's gradient in the separator's weights as a share of the whole gradient, at the end.

Eight pairs on one core of an Intel Xeon with AVX-512 and bfloat16 that other work kept busy, 9 to 20 s of CPU time a
training. Differences to no adversary:

    case                   arm               its measure, without       difference            hidden recall, difference
    hidden                 CASS              sizes, 2.735        -0.112 [-0.235, +0.037]      -0.004 [-0.029, +0.021]
                           cross all                             -0.028 [-0.096, +0.028]      -0.003 [-0.028, +0.016]
                           CASS, strong                          -0.576 [-0.828, -0.331]      +0.061 [+0.016, +0.129]
    magnitude              CASS              spectrum, 11.48 dB  +0.331 [+0.135, +0.474]      +0.012 [-0.017, +0.046]
                           cross all                             +0.351 [+0.132, +0.565]      +0.006 [-0.021, +0.037]
                           CASS, strong                          +1.029 [+0.298, +2.217]      -0.022 [-0.114, +0.100]
    few_pairs              critics           spectrum, 19.55 dB  -0.696 [-1.360, -0.206]      +0.007 [-0.014, +0.079]
                           critics, strong                       -3.751 [-14.831, +8.754]     +0.115 [-0.083, +0.360]

Looked at afterwards: left of hers (``hidden --arms "CASS, strong"``, for one arm), -6.25: +0.76 [+0.47, +1.12].
CASS: critics came from 2.7 to 0.4 (magnitudes: 0.05) before, and have 2 to 49% (strong: 9 to 100%) of the gradient.
Few pairs: 14 to 80% of it (strong: 0.9 to 2.9 times the whole, against which the other terms pull).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from _fetal_measures import Scores, scores
from torch import Tensor

from sepray.contracts import Separator, SeparatorConfig, TaskData
from sepray.driver import initial_weights
from sepray.scoring.many_systems import holm
from sepray.scoring.paired_statistics import crossed_interval, sign_flips
from sepray.separators import cass, semi_adversarial
from sepray.tasks import ecg_varied
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

Settings = Mapping[str, float]
ALONE = "without"
"""Name of the arm without an adversary."""


@dataclass(frozen=True)
class Kind:
    """A separator and the names of what is adversarial in it.

    Attributes:
        config: structure of the separator.
        weight: name of the adversary's weight in the separator's loss.
        persuading: what the names of the parts of the separator's loss that it weighs begin with.
        critic: likewise of the critics' losses.
    """

    config: SeparatorConfig
    weight: str
    persuading: str
    critic: str


@dataclass(frozen=True)
class Case:
    """Trainings that are compared.

    Attributes:
        kind: what is trained.
        measure: name of the measure that the case is about.
        arms: settings by name, the first one ``ALONE``.
        epochs: number of epochs of every training.
        before: number of epochs by ``UNHEARD`` that all trainings go on from.
        start: address of the model that these begin with.
    """

    kind: Kind
    measure: str
    arms: Mapping[str, Settings]
    epochs: int
    before: int = 0
    start: str = ""


CROSSES = ("cross.maternal_to_fetal", "cross.fetal_to_maternal")
RATES = {"autoencoder_learning_rate": 3e-3, "discriminator_learning_rate": 3e-3}
FIRST = {**RATES, "beta": 1e-3, **dict.fromkeys(CROSSES, 0.0)}
UNHEARD = {**FIRST, "beta": 0.0}
OF_CASS: Mapping[str, Settings] = {
    ALONE: {**FIRST, "adversarial": 0},
    "CASS": FIRST,
    "cross all": {**FIRST, **dict.fromkeys(CROSSES, 0.1)},
    "CASS, strong": {**FIRST, "beta": 0.03},
}
"""As in ``studies/cass_ecg_varied.py``, and a stronger one; critics learn ten times as fast, or they would not."""
COMPLEX = Kind(cass.ECG, "beta", "adversarial/", "discriminator/")
MAGNITUDE = replace(COMPLEX, config=replace(cass.ECG, representation="magnitude"))

SEMI = semi_adversarial.Config(
    paired_fraction=0.05,
    n_fft=32,
    hop=16,
    filters=8,
    levels=2,
    critic_filters=8,
    critic_layers=2,
    critic_steps=1,
    batch_size=32,
)
FEW = {"beta": 1e-3, "separator_learning_rate": 1e-3, "critic_learning_rate": 1e-3}
OF_SEMI: Mapping[str, Settings] = {
    ALONE: {**FEW, "alpha": 0},
    "critics": {**FEW, "alpha": 1e-3},
    "critics, strong": {**FEW, "alpha": 1e-2},
}

CASES = {
    "hidden": Case(COMPLEX, "hidden sizes", OF_CASS, epochs=2, before=5, start="pretrained:ecg"),
    "magnitude": Case(MAGNITUDE, "spectrum, dB", OF_CASS, epochs=2, before=12),
    "few_pairs": Case(Kind(SEMI, "alpha", "unsupervised", "distance/"), "spectrum, dB", OF_SEMI, epochs=10),
}


def trained(
    kind: Kind, data: TaskData, settings: Settings, seed: int, epochs: int, begin: Mapping[str, Tensor]
) -> tuple[Separator, str]:
    """Return a separator, and a line that says whether its adversary worked.

    Args:
        kind: what is trained.
        data: the task's.
        settings: hyperparameters.
        seed: of the weights, what is seen, and the batches.
        epochs: number of epochs.
        begin: weights to begin with, by name, in the place of those of the seed.
    """
    config, separator = kind.config, build(kind.config, data.signal, seed)
    separator.load_state_dict({**separator.state_dict(), **begin})
    generator = torch.Generator().manual_seed(seed)
    seen = view(data.train, separator.supervision, generator, separator.paired_fraction)
    trainer = Trainer(separator, seen, settings, seed, config.batch_size, config.betas, augment=data.augmentation)
    parts = [trainer.epoch() for _ in range(epochs)]
    critics = [sum(value for name, value in own.items() if name.startswith(kind.critic)) for own in parts]
    share = pull(kind, trainer, {name: items[: config.batch_size] for name, items in seen.items()})
    moved = " ".join(f"{loss:.3f}" for loss in critics)
    return separator.eval(), f"share of the gradient {share:.3f}, critics {moved}"


def pull(kind: Kind, trainer: Trainer, batch: Mapping[str, Tensor]) -> float:
    """Return the norm of the adversary's gradient in the separator's weights, that of the whole loss = 1."""
    [phase] = [phase for phase in trainer.phases if phase.name in ("autoencoders", "separator")]
    weights = {name: torch.tensor(value) for name, value in trainer.hyperparameters.items()}
    random = phase.draw(batch, torch.Generator().manual_seed(0)) if phase.draw else {}
    loss = phase.loss(trainer.separator, batch, weights, random)
    judged = [value for name, value in loss.parts.items() if name.startswith(kind.persuading)]
    if not judged or not trainer.hyperparameters[kind.weight]:
        return 0.0
    own = [p for name, p in trainer.separator.named_parameters() if name.startswith(phase.parameters)]
    adversarial, whole = (
        torch.cat([gradient.flatten() for gradient in torch.autograd.grad(total, own, retain_graph=True)]).norm()
        for total in (weights[kind.weight] * torch.stack(judged).sum(), loss.total)
    )
    return float(adversarial / whole)


def report(case: Case, found: Mapping[str, list[Scores]]) -> None:
    """Print each arm's differences to none, by each measure; ``found``: scores of the seeds by arm."""
    for measure in found[ALONE][0]:
        tables = {arm: np.stack([own[measure] for own in seeds]) for arm, seeds in found.items()}
        without = tables.pop(ALONE)
        p = holm({arm: float(sign_flips((own - without).mean(1))) for arm, own in tables.items()})
        for arm, own in tables.items():
            low, high = crossed_interval(own - without, len(tables)) or (np.nan, np.nan)
            print(
                f"{measure + '*' * (measure == case.measure):20} {arm:16} without {without.mean():7.4f}  "
                f"difference {(own - without).mean():+.4f} [{low:+.4f}, {high:+.4f}]  p {p[arm]:.3f}"
            )


def main() -> None:
    """Print a line for each training, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seeds", type=int, default=8, help="number of pairs")
    parser.add_argument("--items", type=int, default=600, help="test items")
    parser.add_argument("--epochs", type=int, help="of each training; default: the case's")
    parser.add_argument("--arms", nargs="+", help="some of the case's; default: all")
    parser.add_argument("--minutes", type=float, default=600.0, help="after so many no seed is begun")
    given = parser.parse_args()
    case, began = CASES[given.case], time.monotonic()
    if given.arms:
        case = replace(case, arms={arm: case.arms[arm] for arm in (ALONE, *given.arms)})
    with tempfile.TemporaryDirectory() as folder:
        data = ecg_varied.Config(validation=2, test=given.items).load(Path(folder))
    begin: dict[str, Tensor] = {}
    if case.start:
        model = initial_weights.find(case.start, build(case.kind.config, data.signal, 0), "")
        assert model is not None
        own = {name: torch.from_numpy(value) for name, value in model.values.items()}
        begin = {name: value for name, value in own.items() if not name.startswith("discriminators")}
    if case.before:
        first, told = trained(case.kind, data, UNHEARD, 1000, case.before, begin)
        begin = first.state_dict()
        print(told, flush=True)
    found: dict[str, list[Scores]] = {arm: [] for arm in case.arms}
    for seed in range(given.seeds):
        if time.monotonic() - began > 60 * given.minutes:
            break
        for arm, settings in case.arms.items():
            started = time.process_time()
            separator, told = trained(case.kind, data, settings, seed, given.epochs or case.epochs, begin)
            estimates = torch.cat([separator.separate(mixture) for mixture in data.test.mixture.split(100)])
            found[arm].append(scores(estimates, data.test, float(data.signal.sample_rate or 0)))
            value, seconds = found[arm][-1][case.measure].mean(), time.process_time() - started
            print(f"seed {seed} {arm:16} {case.measure} {value:.4f}  {told}  {seconds:.0f} s", flush=True)
    report(case, found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

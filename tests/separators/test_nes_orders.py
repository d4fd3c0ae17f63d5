"""The orders of tables 1 to 3 of the neural egg separation paper, on notes and bursts: means over three seeds.

Constant mask (the unprocessed mixture) < NES <= NES from GLO masking (FT), NES <= supervised mask; all trained for the
same number of epochs, GLO masking before that for its own. Two minutes a method and seed on two idle cores.
"""

import functools

import numpy as np
import pytest
import torch

from sepray.separators import glo_masking, neural_egg, supervised_mask
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .separation import UNPAIRED, improvement, notes_and_bursts, trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EPOCHS = 30  # six iterations of five
START = glo_masking.Config(width=16, batch_size=32, separation_steps=80, separation_learning_rate=0.05)
START_EPOCHS = 40


@functools.cache
def mean(method: str) -> float:
    """Return a method's mean improvement of SI-SDR over three seeds, in dB."""
    return float(np.mean([METHODS[method](seed) for seed in range(3)]))


def nes(seed: int) -> float:
    run = trained(neural_egg.Config(), {}, EPOCHS, seed, notes_and_bursts(UNPAIRED))
    return improvement(run.separator.separate, notes_and_bursts(UNPAIRED))


def supervised(seed: int) -> float:
    run = trained(supervised_mask.Config(), {}, EPOCHS, seed, notes_and_bursts())
    return improvement(run.separator.separate, notes_and_bursts())


def finetuned(seed: int) -> float:
    """NES from the estimates of GLO masking, trained on the same view and from the same seed."""
    data, config = notes_and_bursts(UNPAIRED), neural_egg.Config(start="glo_masking")
    glo = trained(START, {}, START_EPOCHS, seed, data).separator.eval()
    seen = view(data.train, neural_egg.NeuralEgg.supervision, torch.Generator().manual_seed(seed))
    seen |= {"start": torch.cat([glo.separate(part) for part in seen["mixture"].split(64)])}
    run = Trainer(build(config, data.signal, seed), seen, {}, seed, config.batch_size, config.betas)
    for _ in range(EPOCHS):
        run.epoch()
    return improvement(run.separator.separate, data)


METHODS = {"NES": nes, "FT": finetuned, "supervised": supervised}


def test_nes_is_better_than_the_constant_mask():
    assert mean("NES") > 0  # a constant mask leaves the SI-SDR of the mixture as it is


def test_supervised_mask_is_no_worse_than_nes():
    assert mean("supervised") >= mean("NES")


def test_nes_from_glo_masking_is_no_worse_than_from_a_constant():
    assert mean("FT") >= mean("NES")

"""Every separator trains, separates, is saved and goes on on a GPU as it does on a CPU."""

import dataclasses

import pytest
import torch

from sepray.contracts import estimate
from sepray.execution import checkpoint
from sepray.scoring import metrics
from sepray.separators import cass
from sepray.tasks import ecg
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from ..separators.debug_runs import BATCH, NAMES, SIGNAL, data, debug, split
from .conftest import tensor_float_32

pytestmark = pytest.mark.gpu
TOLERANCE = 1e-3
SMALL = 1e-4
"""Difference of losses that does not count: the scores of a critic are of order 1 and can be near 0."""


def trainer(name: str, device: str) -> Trainer:
    config = debug(name)
    if hasattr(config, "precision"):
        config = dataclasses.replace(config, precision="float32")
    separator = build(config, SIGNAL, 0)
    return Trainer(separator, data(separator), {}, 0, BATCH, config.betas, device)


def separated(run: Trainer) -> torch.Tensor:
    items = split()
    return estimate(run.separator, items.mixture.to(run.device), items.sources.to(run.device)).cpu()


def scores(estimates: torch.Tensor) -> dict[str, float]:
    return metrics.summary(metrics.score(estimates, split().sources, SIGNAL), SIGNAL.sources)


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_gives_the_losses_and_the_scores_of_the_cpu(name):
    here, there = trainer(name, "cpu"), trainer(name, "cuda")
    assert there.epoch() == pytest.approx(here.epoch(), rel=TOLERANCE, abs=SMALL)
    expected, estimates = separated(here), separated(there)
    assert (estimates - expected).norm() < TOLERANCE * expected.norm()
    assert scores(estimates)["relative_l2"] == pytest.approx(scores(expected)["relative_l2"], rel=TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_checkpoint_goes_on_on_the_other_device(name, first, second, tmp_path):
    run = trainer(name, first)
    run.epoch()
    tensors, values = run.state()
    checkpoint.save(str(tmp_path), 1, tensors, {"values": values})
    saved = checkpoint.newest(str(tmp_path))
    assert saved is not None
    other = trainer(name, second)
    other.load_state(saved.tensors, saved.metadata["values"])
    expected, estimates = separated(run), separated(other)
    assert (estimates - expected).norm() < TOLERANCE * expected.norm()
    assert other.epoch() == pytest.approx(run.epoch(), rel=TOLERANCE, abs=SMALL)


def error(task, seed: int, precision: str) -> float:
    """The error on validation of CASS after five epochs."""
    config = dataclasses.replace(cass.Config(), precision=precision)
    separator = build(config, task.signal, seed)
    seen = view(task.train, separator.supervision, torch.Generator().manual_seed(seed))
    run = Trainer(separator, seen, {}, seed, 20, config.betas, "cuda")
    for _ in range(5):
        run.epoch()
    items = task.validation
    estimates = estimate(run.separator, items.mixture.cuda(), items.sources.cuda()).cpu()
    return metrics.score(estimates, items.sources)["relative_l2"].mean().item()


@pytest.mark.parametrize("number_format", ["bfloat16", "TensorFloat-32"])
def test_lower_precision_keeps_the_error_of_cass(number_format, tmp_path):
    """The mean error over three seeds stays within a twentieth of that of float32."""
    task = dataclasses.replace(ecg.DEBUG, train=200, validation=100).load(tmp_path)
    exact = [error(task, seed, "float32") for seed in range(3)]
    precision = "bfloat16" if number_format == "bfloat16" else "float32"
    with tensor_float_32(allowed=number_format == "TensorFloat-32"):
        rough = [error(task, seed, precision) for seed in range(3)]
    if precision == "bfloat16":  # cuDNN may have no TensorFloat-32 algorithm for so few channels
        assert rough != exact
    assert sum(rough) == pytest.approx(sum(exact), rel=0.05)

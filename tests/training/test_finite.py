"""Losses that are not finite are found at the end of an epoch, and named by phase, part and step."""

import math
import os
import subprocess
import sys

import pytest
import torch

from sepray.contracts import Loss
from sepray.training import finite
from sepray.training.finite import FiniteLosses, NonFiniteLossError


def loss(total: float, **parts: float) -> Loss:
    return Loss(torch.tensor(total, requires_grad=True), {name: torch.tensor([part]) for name, part in parts.items()})


def test_finite_losses_pass():
    losses = FiniteLosses(torch.device("cpu"))
    losses.check(0)  # of no updates
    for step in range(3):
        losses.add("one", step, loss(1.0 - step, a=1.0, b=-2.0))
        assert losses.found.item() == 0
    losses.check(0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"a": 1.0, "b": 2.0}, "total"),
        ({"a": 1.0, "b": math.nan}, "b"),
        ({"a": math.inf, "b": math.nan}, "a"),
        ({}, "total"),
    ],
)
def test_first_update_whose_total_is_not_finite_is_named(value, parts, name):
    losses = FiniteLosses(torch.device("cpu"))
    losses.add("one", 0, loss(1.0, a=1.0))
    losses.add("two", 0, loss(1.0, a=math.nan, b=1.0))  # a part that is only reported
    assert losses.found.item() == 0
    losses.add("one", 1, loss(value, **parts))
    assert losses.found.item() == 1
    losses.add("two", 1, loss(math.nan, later=math.nan))
    losses.add("one", 2, loss(1.0, a=1.0))
    assert losses.found.item() == 1, "later updates are skipped too"
    with pytest.raises(NonFiniteLossError, match=f"^{name} of phase one is not finite in epoch 5, step 2$") as caught:
        losses.check(4)
    error = caught.value
    assert (error.phase, error.part, error.epoch, error.step) == ("one", name, 4, 1)
    assert error.args == ("one", name, 4, 1)  # so that it can be sent from a worker
    assert isinstance(error, ArithmeticError)


def test_part_that_is_not_finite_beside_a_finite_total_is_no_error():
    losses = FiniteLosses(torch.device("cpu"))
    losses.add("one", 0, loss(1.0, a=math.nan))
    losses.check(0)


def test_what_optimizers_read_is_a_float_without_dimensions():
    losses = FiniteLosses(torch.device("cpu"))
    losses.add("one", 0, Loss(torch.tensor([[math.nan]], dtype=torch.float64), {}))
    assert (losses.found.shape, losses.found.dtype, losses.found.item()) == ((), torch.float32, 1.0)
    assert not losses.found.requires_grad


def test_lost_workers_are_remembered_across_blocks(monkeypatch):
    monkeypatch.setattr(finite, "BLOCK", 5)
    losses = FiniteLosses(torch.device("cpu"))
    for step in range(7):
        value = torch.tensor(math.nan if step == 5 else 1.0)
        losses.add("one", step, Loss(value, {"first": torch.tensor(1.0), "second": value}))
    with pytest.raises(NonFiniteLossError, match="second of phase one is not finite in epoch 3, step 6"):
        losses.check(2)


GROWTH = """
import torch
from sepray.contracts import Loss
from sepray.training import finite
from sepray.training.finite import FiniteLosses

def private():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

torch.set_num_threads(1)
weight, losses, seen = torch.zeros(2, requires_grad=True), FiniteLosses(torch.device("cpu")), []
mixture, sources = torch.rand(64, 1, 65536), torch.rand(64, 2, 1, 65536)
for step in range(60):
    index = torch.randint(64, (16,))
    error = (mixture[index][:, None] * weight[:, None, None] - sources[index]).square().mean()
    torch.autograd.grad(error, [weight])
    losses.add("one", step, Loss(error, {"mse": error}))
    if step in (19, 59):
        seen.append(private())
print((seen[1] - seen[0]) // 1024)
"""


def test_memory_of_a_worker_does_not_grow_with_the_steps_of_an_epoch():
    """The allocator has the settings of workers. Without them, memory grew by 5 MB a step, 200 MB here."""
    own = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20)}
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], env=own, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 70


def test_everything_lies_on_the_device_of_the_losses(monkeypatch):
    monkeypatch.setattr(finite, "BLOCK", 3)
    losses, value = FiniteLosses(torch.device("meta")), torch.ones((), device="meta")
    for step in (1, 2):
        losses.add("a", step, Loss(value, {"x": value}))
    assert len(losses._blocks) == 2
    assert {tensor.device.type for tensor in (losses.found, *losses._blocks)} == {"meta"}

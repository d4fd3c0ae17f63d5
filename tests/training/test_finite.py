"""Losses that are not finite are found at the end of an epoch, and named by phase, part and step."""

import math

import pytest
import torch

from sepray.contracts import Loss
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
    with pytest.raises(NonFiniteLossError, match=f"^{name} of phase one is not finite in epoch 4, step 1$") as caught:
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

"""Losses and gradients of phases as functions of tensors, on a separator of two weights."""

import pytest
import torch
from torch import nn

from sepray.contracts import Loss, Phase, Separator, Signal
from sepray.training.functional import phase_gradients, phase_loss, phase_parameters


class Pair(Separator):
    """The first weight learns the mean of the mixtures times the buffer; the second belongs to another phase."""

    def __init__(self) -> None:
        super().__init__(Signal(("a", "b"), 1, (4,), 8.0))
        self.first = nn.Parameter(torch.zeros(()))
        self.second = nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def phases(self):
        return (Phase("one", ("first",), "rate", loss), Phase("two", ("second",), "rate", loss))


def loss(pair, batch, hyperparameters, random):
    error = pair.first + pair.second - pair.scale * batch["mixture"].mean() - random["noise"]
    return Loss(hyperparameters["weight"] * error**2, {"error": error}, {"seen": pair.first.detach() + 100})


BATCH = {"mixture": torch.full((2, 1, 4), 4.0)}
WEIGHTS, RANDOM = {"weight": torch.tensor(3.0)}, {"noise": torch.tensor(1.0)}


def test_loss_and_gradients_use_the_given_tensors_and_are_of_the_phase_alone():
    pair = Pair()
    parameters = {"first": torch.tensor(1.0), "second": torch.tensor(5.0)}
    buffers = {"scale": torch.tensor(2.0)}
    # 3 (1 + 5 - 2 x 4 - 1)^2 = 27, with the derivative 2 x 3 x -3.
    arguments = (parameters, buffers, BATCH, WEIGHTS, RANDOM)
    for phase, name in zip(pair.phases(), ("first", "second"), strict=True):
        gradients, found = phase_gradients(pair, phase, *arguments)
        assert {key: value.item() for key, value in gradients.items()} == {name: -18.0}
        assert (found.total.item(), found.parts["error"].item(), found.carry["seen"].item()) == (27.0, -3.0, 101.0)
        assert phase_loss(pair, phase, *arguments).total.item() == 27.0
    assert pair.first.item() == pair.second.item() == 0
    assert pair.scale.item() == 1
    assert pair.first.grad is None


def test_gradients_of_several_members_at_once():
    pair = Pair()
    parameters = {"first": torch.tensor([1.0, 2.0]), "second": torch.tensor([5.0, 0.0])}

    def gradient(parameters):
        return phase_gradients(pair, pair.phases()[0], parameters, {"scale": torch.ones(())}, BATCH, WEIGHTS, RANDOM)[0]

    # 6 (first + second - 4 - 1) for each member.
    assert torch.func.vmap(gradient)(parameters)["first"].tolist() == [6.0, -18.0]


def test_a_phase_has_the_parameters_below_its_prefixes():
    pair = Pair()
    pair.firsts = nn.Linear(1, 1)
    assert phase_parameters(pair, Phase("x", ("first",), "rate", loss)) == ["first"]
    assert phase_parameters(pair, Phase("x", ("firsts", "first"), "rate", loss)) == [
        "first",
        "firsts.weight",
        "firsts.bias",
    ]
    with pytest.raises(ValueError, match=r"phase 'x' updates 'fir', which names no parameter"):
        phase_parameters(pair, Phase("x", ("fir",), "rate", loss))

"""Spectral normalisation: the largest singular value is 1, before and after updates."""

import pytest
import torch
from torch import nn

from sepray.networks.residual import Discriminator
from sepray.networks.spectral_norm import SpectralNorm, normalise


def largest(weight: torch.Tensor) -> float:
    return torch.linalg.svdvals(weight.detach().flatten(1))[0].item()


def test_a_weight_is_divided_by_its_largest_singular_value():
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert SpectralNorm()(weight).tolist() == [[0.75, 0.0], [0.0, 1.0]]
    assert SpectralNorm()(torch.zeros(2, 2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_all_weights_of_a_critic_stay_normalised_when_it_learns():
    torch.manual_seed(0)
    critic = Discriminator(2, 4, depth=2, stages=1)
    normalise(critic)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.1)
    layers = [module for module in critic.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 6  # four convolutions, a shortcut and the head
    before = [layer.weight.detach().clone() for layer in layers]
    for _ in range(3):
        optimizer.zero_grad()
        critic(torch.randn(3, 2, 8, 8)).square().sum().backward()
        optimizer.step()
    assert [largest(layer.weight) for layer in layers] == pytest.approx([1.0] * len(layers), abs=1e-4)
    assert not any(torch.equal(layer.weight, old) for layer, old in zip(layers, before, strict=True))

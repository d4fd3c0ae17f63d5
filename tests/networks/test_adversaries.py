"""Each adversary's losses against numbers worked out by hand."""

import math

import pytest
import torch

from sepray.networks.adversaries import ADVERSARIES, matching_loss

LOGITS = torch.tensor([-3.0, 0.5, 2.0])


@pytest.mark.parametrize(
    ("name", "persuading", "real", "fake"),
    [
        # max(0, 1 - l) is 4, 0.5, 0; max(0, 1 + l) is 0, 1.5, 3; the persuader's is -l.
        ("hinge", 0.5 / 3, 4.5 / 3, 4.5 / 3),
        # (l - 1)^2 / 2 is 8, 0.125, 0.5; l^2 / 2 is 4.5, 0.125, 2.
        ("least_squares", 8.625 / 3, 8.625 / 3, 6.625 / 3),
    ],
)
def test_lost_workers_by_hand(name, persuading, real, fake):
    adversary = ADVERSARIES[name]
    assert adversary.persuading(LOGITS).item() == pytest.approx(persuading)
    assert adversary.real(LOGITS).item() == pytest.approx(real)
    assert adversary.fake(LOGITS).item() == pytest.approx(fake)


@pytest.mark.parametrize("name", ["cross_entropy", "feature_matching"])
def test_critics_of_the_other_two_learn_by_the_cross_entropy(name):
    logits = torch.tensor([math.log(3)])  # a probability of 3/4
    assert ADVERSARIES[name].real(logits).item() == pytest.approx(-math.log(3 / 4))
    assert ADVERSARIES[name].fake(logits).item() == pytest.approx(-math.log(1 / 4))


def test_cross_entropy_persuades_by_the_probability_of_real():
    assert ADVERSARIES["cross_entropy"].persuading(torch.tensor([math.log(3)])).item() == pytest.approx(-math.log(0.75))
    assert ADVERSARIES["feature_matching"].persuading is None


def test_feature_matching_compares_the_means_of_batches():
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0]])  # mean 2, 0
    real = torch.tensor([[0.0, 1.0], [0.0, 5.0]])  # mean 0, 3
    assert matching_loss(features, real).item() == pytest.approx(4 + 9)
    assert matching_loss(features, features.flip(0)).item() == 0

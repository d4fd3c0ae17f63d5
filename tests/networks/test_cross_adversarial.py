"""The base of both CASS separators: pairs of sources, cross entropies by hand, and when discriminators have won."""

import math

import pytest
import torch

from sepray.contracts import Signal, Supervision
from sepray.errors import UsageError
from sepray.networks.cross_adversarial import (
    CrossAdversarialSeparator,
    VariationalSeparator,
    fake_loss,
    real_loss,
)


def separator(*sources: str) -> CrossAdversarialSeparator:
    return CrossAdversarialSeparator(Signal(sources, 1, (64,), 8.0))


def test_crosses_are_the_ordered_pairs_each_with_the_estimate_and_the_discriminator_that_sees_it():
    assert separator("a", "b", "c").crosses() == [
        ("cross.a_to_b", 0, 1),
        ("cross.a_to_c", 0, 2),
        ("cross.b_to_a", 1, 0),
        ("cross.b_to_c", 1, 2),
        ("cross.c_to_a", 2, 0),
        ("cross.c_to_b", 2, 1),
    ]


def test_cross_entropies_are_means_of_logarithms_of_probabilities():
    logits = torch.tensor([math.log(3), 0.0])  # probabilities 3/4 and 1/2 of being real
    assert real_loss(logits).item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2)
    assert fake_loss(logits).item() == pytest.approx(-(math.log(1 / 4) + math.log(1 / 2)) / 2)


def test_failure_needs_sure_discriminators_and_estimates_no_better_than_silence():
    failure = separator("a", "b").failure
    won = {"train/discriminator/a": 1e-4, "train/discriminator/b": 5e-4, "validation/relative_l2": 1.02}
    assert failure(won) == "the discriminators won: their losses are below 0.001 and the relative L2 error is 1.02"
    assert failure({**won, "validation/relative_l2": 1.0}) is not None
    assert failure({**won, "validation/relative_l2": 0.9}) is None
    assert failure({**won, "train/discriminator/b": 0.2}) is None
    assert failure({"validation/relative_l2": 1.02}) is None
    assert failure({}) is None


def test_discriminators_that_nobody_learns_from_do_not_win():
    won = {"train/discriminator/a": 0.0, "train/discriminator/b": 0.0, "validation/relative_l2": 1.02}
    made = VariationalSeparator(Signal(("a", "b"), 1, (64,), 8.0))
    made.set_hyperparameters({})
    assert made.failure(won) is not None
    made.set_hyperparameters({"gan_weight": 0.0})
    assert made.failure(won) is not None  # by their features
    made.set_hyperparameters({"gan_weight": 0.0, "feature_weight": 0.0})
    assert made.failure(won) is None


@pytest.mark.parametrize("signal", [Signal(("a",), 1, (128,), 8.0), Signal(("a", "b"), 1, (8, 8), None)])
def test_one_source_and_images_are_refused(signal):
    with pytest.raises(UsageError, match=r"^cass separates one-dimensional signals of at least 2 sources, not "):
        CrossAdversarialSeparator(signal)


def test_failure_is_at_the_limits_of_both_kinds():
    """Discriminators are sure at a loss of 0.001, estimates no better than silence at an error of 1."""
    failure = separator("a", "b").failure
    limits = {"train/discriminator/a": 1e-3, "train/discriminator/b": 1e-3, "validation/relative_l2": 1.0}
    assert failure(limits) == "the discriminators won: their losses are below 0.001 and the relative L2 error is 1.00"
    for name, value in (("train/discriminator/a", 0.00101), ("validation/relative_l2", 0.999)):
        assert failure({**limits, name: value}) is None
    assert failure({name: value for name, value in limits.items() if name != "train/discriminator/b"}) is None


def test_updates_of_the_variational_separators_are_the_autoencoders_then_the_discriminators():
    made = VariationalSeparator(Signal(("a", "b", "c"), 1, (64,), 8.0))
    made.code = 5
    losses = [object(), object()]
    first, second = made.alternating(*losses)
    assert (first.name, first.parameters, first.learning_rate) == (
        "autoencoders",
        ("encoders", "decoders"),
        "autoencoder_learning_rate",
    )
    assert (second.name, second.parameters, second.learning_rate) == (
        "discriminators",
        ("discriminators",),
        "discriminator_learning_rate",
    )
    assert [first.loss, second.loss] == losses
    assert (first.repeats, second.repeats, first.active, second.active) == (1, 1, None, None)
    drawn = first.draw({"mixture": torch.zeros(4, 1, 64)}, torch.Generator().manual_seed(0))["noise"]
    assert torch.equal(drawn, torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)))
    assert second.draw is None
    assert made.supervision is Supervision.PAIRED


def test_masks_are_those_of_the_mean_code_of_logarithmic_magnitudes():
    made = VariationalSeparator(Signal(("a", "b"), 1, (64,), 8.0))
    made.encoders = torch.nn.ModuleList([Twice(), Twice()])
    made.decoders = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Sigmoid()])
    magnitudes = torch.tensor([0.0, 1.0, 7.0])
    one, other = made.masks(magnitudes)
    torch.testing.assert_close(one, 2 * (1 + magnitudes).log())
    torch.testing.assert_close(other, one.sigmoid())


class Twice(torch.nn.Module):
    """An encoder whose mean is twice its image."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * image, -image

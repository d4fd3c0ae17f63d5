"""Critics of CASS beyond the paper: other losses, the mixture as a condition, spectral normalisation."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from sepray import identity
from sepray.contracts import Signal
from sepray.errors import UsageError
from sepray.networks.levels import level
from sepray.separators import cass
from sepray.training.trainer import Trainer, build

SIGNAL = Signal(("a", "b"), 1, (64,), 8.0)
WEIGHTED = dataclasses.replace(cass.DEBUG, critic_losses="weighted")
KINDS = ("cross_entropy", "hinge", "least_squares", "feature_matching")


class MeanCritic(nn.Module):
    """Has the mean of each image as its one feature, and twice that as its logit."""

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(1, 2, 3))[:, None]

    def judge(self, features: torch.Tensor) -> torch.Tensor:
        return 2 * features[:, 0]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.judge(self.features(image))


def losses(estimates: list[float], targets: list[float], **weights: float):
    """Return both phases' losses for constant images; all weights but those given, of the squared error too, are 0."""
    separator = build(WEIGHTED, SIGNAL, 0)
    separator.discriminators = nn.ModuleList([MeanCritic(), MeanCritic()])
    separator.estimate = lambda mixture: [torch.full((2, 2, 4, 4), value) for value in estimates]
    separator.targets = lambda mixture, sources: [torch.full((2, 2, 4, 4), value) for value in targets]
    values = dict.fromkeys(separator.hyperparameters(), 0.0) | {"adversarial": 1.0, "beta": 1.0} | weights
    separator.set_hyperparameters(values)
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    batch = {"mixture": torch.zeros(2, 1, 64), "sources": torch.zeros(2, 2, 1, 64)}
    first = cass.autoencoder_loss(separator, batch, tensors, {})
    return first, cass.discriminator_loss(separator, {**batch, **first.carry}, tensors, {})


def test_hinge():
    # Logits: 1 and -4 of the estimates, 0.5 and 3 of the true sources.
    first, second = losses([0.5, -2.0], [0.25, 1.5], hinge=1.0)
    assert first.parts["adversarial/a"].item() == pytest.approx(-1)
    assert first.parts["adversarial/b"].item() == pytest.approx(4)
    assert first.total.item() == pytest.approx(3)
    assert second.parts["discriminator/a"].item() == pytest.approx(2 + 0.5)
    assert second.parts["discriminator/b"].item() == pytest.approx(0 + 0)


def test_least_squares():
    first, second = losses([0.5, -2.0], [0.25, 1.5], least_squares=1.0)
    assert first.parts["adversarial/a"].item() == pytest.approx(0)
    assert first.parts["adversarial/b"].item() == pytest.approx(25 / 2)
    assert second.parts["discriminator/a"].item() == pytest.approx((1 + 0.25) / 2)
    assert second.parts["discriminator/b"].item() == pytest.approx((16 + 4) / 2)


def test_feature_matching():
    first, second = losses([0.5, -2.0], [0.25, 1.5], feature_matching=1.0)
    assert first.parts["adversarial/a"].item() == pytest.approx(0.25**2)
    assert first.parts["adversarial/b"].item() == pytest.approx(3.5**2)
    expected = math.log1p(math.exp(1)) + math.log1p(math.exp(-0.5))
    assert second.parts["discriminator/a"].item() == pytest.approx(expected)


def test_weights_add_up_and_reach_the_cross_terms():
    crossed = {"cross.a_to_b": 0.5}
    for kind in KINDS[1:3]:
        one, single = losses([0.5, -2.0], [0.25, 1.5], **crossed, **{kind: 1.0})
        half, weighed = losses([0.5, -2.0], [0.25, 1.5], **crossed, **{kind: 0.25})
        assert half.total.item() == pytest.approx(one.total.item() / 4)
        assert weighed.total.item() == pytest.approx(single.total.item() / 4)
    _, plain = losses([0.5, -2.0], [0.25, 1.5], hinge=1.0)
    _, both = losses([0.5, -2.0], [0.25, 1.5], hinge=1.0, **crossed)
    assert (both.total - plain.total).item() == pytest.approx(0.5 * 2)  # b's critic gives a's estimate a logit of 1
    mixed, _ = losses([0.5, -2.0], [0.25, 1.5], hinge=1.0, least_squares=2.0)
    assert mixed.total.item() == pytest.approx(3 + 2 * 25 / 2)


def test_weighted_cross_entropy_is_the_papers_loss():
    data = {"mixture": torch.randn(8, 1, 64), "sources": torch.randn(8, 2, 1, 64)}
    rates = {"autoencoder_learning_rate": 1e-3, "discriminator_learning_rate": 1e-3}
    paper, weighted = (
        Trainer(build(config, SIGNAL, 0), data, rates, 0, 4, config.betas).epoch() for config in (cass.DEBUG, WEIGHTED)
    )
    assert weighted == pytest.approx(paper, rel=1e-5)
    assert build(WEIGHTED, SIGNAL, 0).hyperparameters().items() >= {"cross_entropy": 1.0, "hinge": 0.0}.items()
    assert set(KINDS).isdisjoint(build(cass.DEBUG, SIGNAL, 0).hyperparameters())


def test_critics_are_shown_the_mixture_of_each_item():
    separator = build(dataclasses.replace(cass.DEBUG, critic_sees_mixture=True), SIGNAL, 0)
    mixture = torch.randn(3, 1, 64)
    images = torch.randn(6, *separator.spectrogram.encode(mixture).shape[1:])
    seen = separator.seen(images, mixture)
    expected = separator.spectrogram.encode(mixture / level(mixture))
    assert torch.equal(seen[:, :2], images)
    assert torch.equal(seen[:3, 2:], expected)
    assert torch.equal(seen[3:, 2:], expected)
    assert torch.equal(build(cass.DEBUG, SIGNAL, 0).seen(images, mixture), images)


def test_both_phases_judge_with_the_mixture_beside():
    separator = build(dataclasses.replace(WEIGHTED, critic_sees_mixture=True, spectral_norm=True), SIGNAL, 0)
    data = {"mixture": torch.randn(8, 1, 64), "sources": torch.randn(8, 2, 1, 64)}
    rates = {"autoencoder_learning_rate": 1e-3, "discriminator_learning_rate": 1e-2}
    trainer = Trainer(separator, data, {**rates, **dict.fromkeys(KINDS, 0.25)}, 0, 4, (0.9, 0.999))
    seen: list[int] = []
    for critic in separator.discriminators:
        critic.blocks.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    trainer.epoch()
    assert set(seen) == {4}  # real and imaginary part, of what is judged and of the mixture
    for critic in separator.discriminators:
        weights = [m.weight.flatten(1) for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert [torch.linalg.svdvals(w)[0].item() for w in weights] == pytest.approx([1.0] * len(weights), abs=1e-4)


def test_defaults_are_not_in_the_identity_of_studies():
    assert not {"critic_losses", "critic_sees_mixture", "spectral_norm"} & set(identity.plain(cass.Config()))
    assert identity.plain(cass.ECG)["critic_losses"] == "weighted"


def test_true_sources_are_shown_for_features_alone():
    separator = build(WEIGHTED, SIGNAL, 0)
    tensors = {name: torch.tensor(value) for name, value in separator.hyperparameters().items()}
    assert list(separator.weights(tensors)) == list(KINDS[:3])
    separator.set_hyperparameters({"feature_matching": 0.5})
    assert list(separator.weights(tensors)) == list(KINDS)


OFF = dict.fromkeys(("cross_entropy", "hinge", "least_squares", "feature_matching"), 0.0)


@pytest.mark.parametrize(
    ("hyperparameters", "loss", "won"),
    [
        *(({}, 1e-3, True), ({}, 2e-3, False)),
        *(({**OFF, "hinge": 0.1}, 1e-4, True), ({**OFF, "hinge": 0.1}, 2e-4, False)),  # sure of a weighted loss
        ({"hinge": 1.0}, 2e-3, True),
        *((off, 0.0, False) for off in (OFF, {"beta": 0.0}, {"adversarial": 0})),
    ],
)
def test_critics_win_by_their_own_losses_and_only_those_that_are_learned_from(hyperparameters, loss, won):
    made = WEIGHTED.build(Signal(("a", "b"), 1, (64,), 8.0))
    made.set_hyperparameters({**made.hyperparameters(), **hyperparameters})
    losses = dict.fromkeys(("train/discriminator/a", "train/discriminator/b"), loss)
    assert (made.failure({**losses, "validation/relative_l2": 1.0}) is not None) is won


def test_unknown_losses_are_refused():
    with pytest.raises(UsageError, match="critic_losses must be one of paper, weighted, not 'wasserstein'"):
        cass.Config(critic_losses="wasserstein")

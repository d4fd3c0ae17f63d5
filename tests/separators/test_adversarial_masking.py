"""Adversarial masking: eq. 11 worked out by hand, spectral norms beside the singular values, and separation."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import adversarial_masking as space
from sepray.contracts import Signal, Supervision
from sepray.errors import UsageError
from sepray.separators import adversarial_masking
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

from .bars import IMAGES, Share, bars, gain
from .separation import UNPAIRED, improvement, notes_and_bursts, trained

DEBUG = adversarial_masking.DEBUG


class Mean(nn.Module):
    """A discriminator that scores an image by its mean."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(1, 2, 3))


def losses(share: float, mixture: float, observed: float, magnitude_weight: float):
    separator = build(DEBUG, IMAGES, 0)
    separator.network, separator.discriminator = Share(share), Mean()
    batch = {"mixture": torch.full((3, 1, 16, 16), mixture), "observed": torch.full((3, 1, 16, 16), observed)}
    separator.scale.fill_(2.0)
    weights = {"magnitude_weight": torch.tensor(magnitude_weight)}
    return separator, [
        loss(separator, batch, weights, {})
        for loss in (adversarial_masking.discriminator_loss, adversarial_masking.mask_loss)
    ]


def test_equation_11():
    _, (discriminator, mask) = losses(share=0.25, mixture=4.0, observed=3.0, magnitude_weight=0.0)
    # D(y m(y)) = 4 / 4 / 2 = 0.5 and D(b) = 3 / 2
    assert discriminator.total.item() == pytest.approx(0.5**2 + 0.5**2)
    assert discriminator.parts["discriminator/masked"].item() == pytest.approx(0.25)
    assert mask.total.item() == pytest.approx(0.5**2)


def test_magnitude_prior_is_the_distance_of_the_mask_from_one():
    _, (_, mask) = losses(share=0.25, mixture=4.0, observed=3.0, magnitude_weight=2.0)
    assert mask.parts["magnitude"].item() == pytest.approx(0.75)
    assert mask.total.item() == pytest.approx(0.25 + 2 * 0.75)


def test_discriminator_loss_has_no_gradient_for_the_mask():
    separator, (discriminator, mask) = losses(share=0.25, mixture=4.0, observed=3.0, magnitude_weight=1.0)
    assert not discriminator.total.requires_grad  # this discriminator has no weights, and the mask is cut off
    [gradient] = torch.autograd.grad(mask.total, [separator.network.share])
    # d/dm of (4 m / 2 - 1)^2 + (1 - m)
    assert gradient.item() == pytest.approx(2 * (0.5 - 1) * 2 - 1)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 8, 4, 2, 1), nn.Linear(40, 6)])
def test_layer_has_the_spectral_norm_one_once_its_vector_has_converged(layer):
    torch.manual_seed(0)
    nn.init.normal_(layer.weight)
    normalised = adversarial_masking.NormalisedLayer(layer)
    for _ in range(30):
        normalised.drawn.copy_(normalised.iterated()[0])
    norm = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
    values = torch.randn(2, 3, 8, 8) if isinstance(layer, nn.Conv2d) else torch.randn(2, 40)
    if isinstance(layer, nn.Conv2d):
        expected = F.conv2d(values, layer.weight / norm, layer.bias, stride=2, padding=1)
    else:
        expected = F.linear(values, layer.weight / norm, layer.bias)
    torch.testing.assert_close(normalised(values), expected, rtol=1e-2, atol=1e-2)


def run_of(steps: int) -> Trainer:
    """A trainer whose epoch is so many steps, and whose discriminator does not change."""
    data = view(bars(2 * 8 * steps), Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    return Trainer(build(DEBUG, IMAGES, 0), data, {"discriminator_learning_rate": 0.0}, 0, 8, DEBUG.betas)


def test_vectors_of_the_power_iteration_are_kept_from_step_to_step_and_from_epoch_to_epoch():
    """Miyato et al., algorithm 1: an iteration an update of the discriminator, from where the last one ended."""
    by_steps, by_epochs = run_of(3), run_of(1)
    layer = by_steps.separator.discriminator.score
    matrix, expected = layer.layer.weight.detach().flatten(1), layer.drawn.clone()
    convolution = by_steps.separator.discriminator.convolutions[1]
    kernel, second = convolution.layer.weight.detach().flatten(1), convolution.drawn.clone()
    by_steps.epoch()
    for _ in range(3):
        by_epochs.epoch()
        expected, _ = adversarial_masking.power_iteration(matrix, expected)
        second, _ = adversarial_masking.power_iteration(kernel, second)
    for run in (by_steps, by_epochs):
        torch.testing.assert_close(run.separator.discriminator.score.drawn, expected)
        torch.testing.assert_close(run.separator.discriminator.convolutions[1].drawn, second)


def test_sounds_are_rectified_on_the_way_down_and_images_leak():
    """Appendix A.2: "rectified with ReLU activation"; images have DiscoGAN's network (A.1)."""
    sound, image = (build(DEBUG, s, 0).network.encoder for s in (Signal(("a", "b"), 1, (4096,), 16000.0), IMAGES))
    layers = [layer for network in (sound, image) for layer in network if isinstance(layer, nn.LeakyReLU)]
    assert [layer(torch.tensor(-1.0)).item() for layer in layers] == pytest.approx([0.0, 0.0, -0.2, -0.2])


def test_power_iteration_of_a_diagonal_matrix():
    left, right = adversarial_masking.power_iteration(torch.diag(torch.tensor([2.0, 1.0])), torch.tensor([0.6, 0.8]))
    right_by_hand = torch.tensor([1.2, 0.8]) / (1.44 + 0.64) ** 0.5
    torch.testing.assert_close(right, right_by_hand)
    torch.testing.assert_close(left, torch.tensor([2.4, 0.8]) / (5.76 + 0.64) ** 0.5)


def test_no_gradient_flows_through_the_vectors_of_the_power_iteration():
    """Miyato et al., eq. 9: of W / s(W) with s = u' W v and u, v fixed."""
    torch.manual_seed(0)
    layer = adversarial_masking.NormalisedLayer(nn.Linear(5, 4, bias=False))
    weight, values = layer.layer.weight, torch.randn(3, 5)
    [gradient] = torch.autograd.grad(layer(values).square().sum(), [weight])
    left, right = adversarial_masking.power_iteration(weight.detach(), layer.drawn)
    norm = left @ weight.detach() @ right
    scaled = (weight.detach() / norm).requires_grad_()
    [outer] = torch.autograd.grad(F.linear(values, scaled).square().sum(), [scaled])
    expected = (outer - (outer * scaled).sum() * torch.outer(left, right)) / norm
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-4, atol=1e-5)


def test_discriminator_is_dcgans():
    discriminator = adversarial_masking.ImageDiscriminator(1, (64, 64), 64, 4)
    assert [c.layer.out_channels for c in discriminator.convolutions] == [64, 128, 256, 512]
    assert discriminator.score.layer.in_features == 512 * 4 * 4
    assert discriminator(torch.zeros(2, 1, 64, 64)).shape == (2,)


def test_images_too_small_for_the_discriminator_are_refused():
    config = dataclasses.replace(DEBUG, discriminator_layers=5)
    with pytest.raises(UsageError, match=r"^5 layers that halve are too many for 16 x 16 bands and frames$"):
        build(config, IMAGES, 0)


def test_sounds_are_seen_as_64_bands_to_the_power_of_03():
    separator = build(adversarial_masking.Config(), Signal(("speech", "noise"), 1, (10239,), 16000.0), 0)
    image = separator.magnitudes.encode(torch.ones(1, 1, 10239))
    assert image.shape == (1, 1, 64, 64)
    assert separator.magnitudes.full_mask(torch.full((64, 1), 0.5))[0, 0].item() == pytest.approx(0.5 ** (1 / 0.3))


def test_search_space_has_every_hyperparameter_and_holds_the_papers_setting():
    names = build(DEBUG, IMAGES, 0).hyperparameters()
    assert set(space.SPACE) == set(names)
    assert {"adversarial masking": names} == space.PAPER
    assert names["magnitude_weight"] == 1.0
    assert all(space.SPACE[k]._contains(space.SPACE[k].to_internal_repr(v)) for k, v in names.items())


@pytest.mark.parametrize("field", ["width", "discriminator_width", "discriminator_layers"])
def test_bad_config_is_refused_in_one_line(field):
    with pytest.raises(UsageError, match=rf"^{field} must be at least 1, not 0$"):
        adversarial_masking.Config(**{field: 0})


def test_images_are_separated():
    config = adversarial_masking.Config(width=8, layers=2, discriminator_width=8, discriminator_layers=2, batch_size=8)
    data = view(bars(64), Supervision.OBSERVED_SOURCE, torch.Generator().manual_seed(0))
    weights = {"magnitude_weight": 0.1, "mask_learning_rate": 2e-3, "discriminator_learning_rate": 2e-3}
    run = Trainer(build(config, IMAGES, 0), data, weights, 0, config.batch_size, config.betas)
    for _ in range(20):
        run.epoch()
    assert gain(run.separator.separate, bars(16, seed=1)) > 5  # 10.4 to 11.8 dB, seeds 0 to 3


@pytest.mark.slow
def test_sounds_are_separated_in_seconds():
    data = notes_and_bursts(train=128, test=16)  # half of them are samples of the bursts
    rates = {"mask_learning_rate": 5e-4, "discriminator_learning_rate": 5e-4}
    run = trained(adversarial_masking.Config(width=8, discriminator_width=8, batch_size=4), rates, 12, 0, data)
    assert improvement(run.separator.separate, data) > 1  # 2.5 to 4.1 dB, seeds 0 to 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_separates_notes_from_bursts(seed):
    run = trained(adversarial_masking.Config(), {}, 60, seed, notes_and_bursts(UNPAIRED))
    assert improvement(run.separator.separate, notes_and_bursts(UNPAIRED)) >= 1

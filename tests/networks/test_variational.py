"""Variational autoencoders that make masks: sizes that fit exactly, the divergence by hand, features to be matched."""

import math

import pytest
import torch

from sepray.networks.variational import FeatureDiscriminator, MaskDecoder, VariationalEncoder, divergence, halved


def test_layers_halve_rounding_up():
    assert halved((513, 128), 5) == [(513, 128), (257, 64), (129, 32), (65, 16), (33, 8), (17, 4)]


@pytest.mark.parametrize("size", [(9, 8), (8, 9), (13, 1), (16, 5), (33, 11)])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_a_mask_has_exactly_the_images_size(size, stages):
    image = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    mean, log_variance = VariationalEncoder(2, size, 4, stages, 8, 5)(image)
    assert mean.shape == log_variance.shape == (3, 5)
    mask = MaskDecoder(2, size, 4, stages, 8, 5)(mean)
    assert mask.shape == image.shape
    assert 0 < mask.min() < mask.max() < 1


def test_published_sizes():
    """Five convolutions of 32 to 512 channels on 513 x 128 bins, 1024 dense units, a code of 100."""
    encoder = VariationalEncoder(1, (513, 128), 32, 5, 1024, 100)
    assert [layer[0].out_channels for layer in encoder.convolutions] == [32, 64, 128, 256, 512]
    assert {(layer[0].kernel_size, layer[0].stride) for layer in encoder.convolutions} == {((5, 5), (2, 2))}
    assert (encoder.dense.in_features, encoder.dense.out_features) == (512 * 17 * 4, 1024)
    assert encoder.code.out_features == 2 * 100


def test_divergence_from_a_standard_normal():
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0
    # 1/2 (m^2 + s^2 - 1 - log s^2) of m = 3, s^2 = 4 and of m = 1, s^2 = 1
    found = divergence(torch.tensor([[3.0, 1.0]]), torch.tensor([[math.log(4), 0.0]]))
    assert found.item() == pytest.approx((0.5 * (9 + 4 - 1 - math.log(4)) + 0.5) / 2)


def test_features_are_those_of_the_third_convolution():
    critic = FeatureDiscriminator(1, (32, 32), 2, 4)
    image = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    logits, features = critic.judge(image)
    assert torch.equal(logits, critic(image))
    assert logits.shape == (5,)
    assert features.shape == (5, 8, 4, 4)
    third = critic.convolutions[2](critic.convolutions[1](critic.convolutions[0](image)))
    assert torch.equal(features, third)
    assert all(layer[2].negative_slope == 0.2 for layer in critic.convolutions)


def size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_numbers_of_weights_by_hand():
    """Convolutions of 5x5 have no bias where a norm of two numbers a channel follows; dense layers have one."""
    convolutions = 25 * 1 * 2 + 2 * 2 + 25 * 2 * 4 + 2 * 4  # 8x8 becomes 4x4 and 2x2, of 4 channels: 16 features
    assert size(VariationalEncoder(1, (8, 8), 2, 2, 3, 5)) == convolutions + (16 + 1) * 3 + (3 + 1) * 2 * 5
    assert size(FeatureDiscriminator(1, (8, 8), 2, 2)) == convolutions + 16 + 1
    decoder = MaskDecoder(1, (8, 8), 2, 2, 3, 5)
    assert size(decoder) == (5 + 1) * 3 + (3 + 1) * 16 + 25 * 4 * 2 + 2 * 2 + (25 * 2 * 1 + 1)


def test_layers_rectify_and_are_normalised_in_groups():
    encoder = VariationalEncoder(1, (8, 8), 12, 1, 3, 5)
    assert encoder.convolutions[0][2].negative_slope == 0
    assert encoder.convolutions[0][1].num_groups == 4  # the largest that divides 12 and 8
    assert FeatureDiscriminator(1, (8, 8), 16, 1).convolutions[0][1].num_groups == 8
    layers = MaskDecoder(1, (8, 8), 2, 2, 3, 5).layers
    assert [type(layer).__name__ for layer in layers] == [
        *("ConvTranspose2d", "GroupNorm", "ReLU"),
        *("ConvTranspose2d", "Sigmoid"),
    ]


@pytest.mark.parametrize(("stages", "layer"), [(1, 0), (2, 1), (3, 2)])
def test_features_of_a_shallow_network_are_its_last(stages, layer):
    critic = FeatureDiscriminator(1, (16, 16), 2, stages)
    image = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(critic.judge(image)[1], critic.convolutions(image)[layer])

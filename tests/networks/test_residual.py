"""Residual networks: sizes, the count of layers, and a block against its formula."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sepray.networks.residual import Decoder, Discriminator, Encoder, ResidualBlock, channel_plan


def layers(network: nn.Module) -> int:
    """Convolutions and linear layers on the main path."""
    counted = (nn.Conv2d, nn.Linear)
    return sum(isinstance(m, counted) for name, m in network.named_modules() if "shortcut" not in name)


@pytest.mark.parametrize("network", [Encoder, Decoder, Discriminator])
def test_four_blocks_make_a_resnet_9(network):
    assert layers(network(2, 8, depth=4, stages=2)) == 9


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_decoder_restores_the_size_that_the_encoder_reduced(stages):
    encoder, decoder = Encoder(2, 6, 3, stages), Decoder(2, 6, 3, stages)
    image = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    features = encoder(image)
    assert features.shape == (2, 6 * 2 ** (stages - 1), 16 >> stages, 24 >> stages)
    assert decoder(features).shape == image.shape
    assert Discriminator(2, 6, 3, stages)(image).shape == (2,)


@pytest.mark.parametrize("scale", [-2, 1, 2])
def test_block_is_two_normalised_convolutions_and_a_shortcut(scale):
    torch.manual_seed(0)
    block = ResidualBlock(4, 6, scale)
    nn.init.constant_(block.second_norm.weight, 3.0)
    image = torch.randn(2, 4, 8, 8)
    wide = image.repeat_interleave(2, -1).repeat_interleave(2, -2) if scale == 2 else image
    stride = 2 if scale == -2 else 1
    hidden = F.relu(F.group_norm(F.conv2d(wide, block.first.weight, stride=stride, padding=1), 2))
    hidden = 3 * F.group_norm(F.conv2d(hidden, block.second.weight, padding=1), 2)
    shortcut = torch.einsum("oi,bihw->bohw", block.shortcut.weight[..., 0, 0], wide)[..., ::stride, ::stride]
    torch.testing.assert_close(block(image), F.relu(hidden + shortcut), rtol=1e-4, atol=1e-5)


def test_fresh_block_is_its_shortcut_alone():
    block = ResidualBlock(4, 4)
    image = torch.tensor([-1.0, 2.0, 3.0, -4.0]).reshape(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert block(image)[0, :, 0, 1].tolist() == [0, 2, 3, 0]


def test_items_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    network = Discriminator(2, 8, 2, 2)
    images = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), rtol=1e-4, atol=1e-5)
    assert not list(network.buffers())


def test_a_wrong_scale_is_refused():
    with pytest.raises(ValueError, match=r"scale must be -2, 1 or 2, not 4"):
        ResidualBlock(2, 2, scale=4)


def test_plan_halves_and_doubles_in_the_first_blocks():
    assert channel_plan(6, 2, 1) == [(6, 6, 1), (6, 6, 1)]
    assert channel_plan(6, 3, 2) == [(6, 12, -2), (12, 12, 1), (12, 12, 1)]
    assert channel_plan(6, 3, 3) == [(6, 12, -2), (12, 24, -2), (24, 24, 1)]


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_numbers_of_weights_by_hand():
    """No convolution of a block has a bias; a norm has two numbers a channel; a shortcut is 1x1 where sizes differ."""
    same, wider, narrower = (
        2 * (9 * 12 * 12 + 24),
        9 * 6 * 12 + 24 + 9 * 12 * 12 + 24 + 72,
        9 * 12 * 6 + 12 + 9 * 36 + 12 + 72,
    )
    assert size(ResidualBlock(12, 12)) == same
    assert size(ResidualBlock(12, 12, -2)) == same + 144
    assert size(ResidualBlock(6, 12, -2)) == wider
    assert size(ResidualBlock(12, 6, 2)) == narrower
    assert size(Encoder(2, 6, 2, 2)) == 16 * 2 * 6 + 12 + wider + same
    assert size(Decoder(2, 6, 2, 2)) == same + narrower + 9 * 6 * 8 + 8
    first = 9 * 2 * 6 + 12 + 9 * 36 + 12 + 12
    assert size(Discriminator(2, 6, 2, 2)) == first + wider + 12 + 1


def test_logit_is_of_the_mean_over_all_places():
    torch.manual_seed(0)
    network = Discriminator(2, 8, 2, 2)
    image = torch.randn(1, 2, 16, 24)
    expected = network.head(network.blocks(image).mean((2, 3)))[0, 0]
    assert network(image).tolist() == [pytest.approx(expected.item())]

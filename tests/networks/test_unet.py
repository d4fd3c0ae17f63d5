"""The U-Net: sizes, what a path carries, and a weight that is known."""

import pytest
import torch

from sepray.networks.unet import UNet


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 80)])
def test_output_has_the_inputs_size(height, width):
    network = UNet(2, 3, filters=2, levels=4)
    assert network(torch.zeros(1, 2, height, width)).shape == (1, 3, height, width)


def test_four_levels_from_sixteen_filters_are_as_published():
    network = UNet(1, 2, filters=16, levels=4)
    assert [layer.out_channels for layer in (network.stem, *network.down)] == [16, 32, 64, 128, 256]
    assert [layer.out_channels for layer in network.up] == [128, 64, 32, 16]
    assert [(layer.in_channels, layer.out_channels) for layer in network.merge] == [
        (256, 128),
        (128, 64),
        (64, 32),
        (32, 16),
    ]
    assert network.head.in_channels == 17


def test_each_path_carries_its_part():
    """A pixel reaches its surroundings by the skips, all within reach of the deepest level through it, and no more."""
    torch.manual_seed(0)
    network = UNet(1, 1, filters=4, levels=2).double()
    image = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    other = image.clone()
    other[0, 0, 32, 32] += 1.0
    changed = (network(other) - network(image))[0, 0].abs() > 1e-12
    assert changed[32, 32]
    assert changed[26, 32]  # two convolutions of 3x3 at full size reach 2 pixels, so this one went deeper
    assert not changed[:12].any()
    assert not changed[53:].any()


def test_input_passes_to_the_output_unchanged_where_the_head_takes_it_alone():
    network = UNet(2, 2, filters=3, levels=1)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.zeros_(network.head.bias)
    with torch.no_grad():
        network.head.weight[:, 3:, 0, 0] = torch.eye(2)
    image = torch.randn(2, 2, 8, 8)
    assert torch.equal(network(image), image)

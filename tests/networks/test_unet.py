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


def test_number_of_weights_by_hand():
    """3x3 from 2 to 4 and 8 channels, 2x2 back to 4, 3x3 of both, 1x1 of these and the input; all with a bias."""
    network = UNet(2, 3, filters=4, levels=1)
    expected = (9 * 2 * 4 + 4) + (9 * 4 * 8 + 8) + (4 * 8 * 4 + 4) + (9 * 8 * 4 + 4) + ((4 + 2) * 3 + 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_path_by_hand():
    """The kernels copy, so features are maxima of 2x2 pixels on the way down, spread again on the way up."""
    network = UNet(1, 1, filters=1, levels=1)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        network.stem.weight[0, 0, 1, 1] = 1  # relu(x)
        network.down[0].weight[0, 0, 1, 1] = 1  # the maximum of four
        network.up[0].weight[0, 0] = 1  # to all four places
        network.merge[0].weight[0, :, 1, 1] = torch.tensor([10.0, 100.0])  # the way up, the skip
        network.head.weight[0, :, 0, 0] = torch.tensor([1.0, 1000.0])  # features, the input
    image = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    expected = 10 * 3 + 100 * image.clamp(min=0) + 1000 * image
    assert torch.equal(network(image[None, None])[0, 0], expected)

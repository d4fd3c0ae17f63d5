"""DCGAN's generator: its layers, sizes, range; the distance of Laplacian pyramids by hand."""

import pytest
import torch
from torch import nn

from sepray.errors import UsageError
from sepray.networks.dcgan import DcganGenerator, doublings, laplacian_l1


@pytest.mark.parametrize(("size", "filters"), [(64, [512, 256, 128, 64, 3]), (32, [256, 128, 64, 3])])
def test_generator_has_dcgans_layers_and_one_fewer_for_half_the_size(size, filters):
    generator = DcganGenerator(100, 3, size, 64)
    layers = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in layers] == filters
    assert [layer.stride for layer in layers] == [(1, 1)] + [(2, 2)] * (len(layers) - 1)
    assert isinstance(generator.layers[-1], nn.Sigmoid)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_images_have_the_size_lie_in_0_to_1_and_depend_on_their_own_code(size):
    torch.manual_seed(0)
    generator = DcganGenerator(5, 2, size, 4)
    codes = torch.randn(3, 5)
    images = generator(codes)
    assert images.shape == (3, 2, size, size)
    assert 0 < images.min() < images.max() < 1
    torch.testing.assert_close(generator(codes[1:2]), images[1:2])


@pytest.mark.parametrize("size", [0, 4, 12, 48, 65])
def test_other_sizes_are_refused(size):
    with pytest.raises(UsageError, match=rf"^size must be 8, 16, 32, 64 or another 4 \* 2\^k, not {size}$"):
        doublings(size)


def test_distance_of_pyramids_by_hand():
    """The mean of 1 3 5 7 is 4, and the rest is -3 -1 1 3, whose mean absolute value is 2."""
    image = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    assert laplacian_l1(image[None, None]).item() == pytest.approx(2 + 4)
    wide = image.repeat_interleave(2, 0).repeat_interleave(2, 1)  # nothing at the first of three levels
    assert laplacian_l1(wide[None, None]).item() == pytest.approx(0 + 2 + 4)
    checked = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2)  # nothing but at the first
    both = torch.stack([wide + 2 * checked, wide])[:, None]
    assert laplacian_l1(both).tolist() == pytest.approx([2 + 2 + 4, 6])


def test_weights_are_drawn_as_in_dcgan_and_only_the_last_layer_has_a_bias():
    torch.manual_seed(0)
    generator = DcganGenerator(3, 2, 16, 12)
    # 4x4 kernels from a code of 3 to 24 and 12 channels, each with a norm of two numbers a channel, and to 2 images.
    expected = 16 * 3 * 24 + 2 * 24 + 16 * 24 * 12 + 2 * 12 + 16 * 12 * 2 + 2
    assert sum(parameter.numel() for parameter in generator.parameters()) == expected
    layers = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.bias is None for layer in layers] == [True, True, False]
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert abs(layer.weight.mean().item()) < 0.002
    norms = [layer for layer in generator.layers if isinstance(layer, nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [8, 4]
    assert doublings(8) == 1

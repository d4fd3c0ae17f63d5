"""DCGAN's generator of images, and the L1 distance of two images' Laplacian pyramids, by which GLO trains it.

All images are ``[batch, channel, height, width]``.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .normalisation import group_norm


def doublings(size: int) -> int:
    """Return how often 4 has to be doubled to give ``size``.

    Raises:
        UsageError: ``size`` is not 4 times a power of two, or is 4 itself.
    """
    times = (size // 4).bit_length() - 1
    if times < 1 or size != 4 * 2**times:
        raise UsageError(f"size must be 8, 16, 32, 64 or another 4 * 2^k, not {size}")
    return times


class DcganGenerator(nn.Module):
    """DCGAN's generator (Radford et al. 2015): codes ``[batch, code]`` to ``[batch, channels, size, size]`` in (0, 1).

    A transposed convolution turns the code into 4x4 features; each further one (4x4, stride 2) doubles the size and
    halves the filters, and the last but one has ``width`` of them. ReLU between layers, a sigmoid at the end. So 64x64
    takes one layer more than 32x32. GroupNorm replaces batch normalisation: an image depends on its code alone, and
    running statistics change in the forward pass, which ``torch.func`` forbids.

    Args:
        code: numbers in a code.
        channels: channels of the images.
        size: height and width, 8 or a larger power of two.
        width: filters of the last layer but one.
    """

    def __init__(self, code: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        count = doublings(size)
        filters = [width * 2**k for k in reversed(range(count))]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code, filters[0], 4, bias=False),
            group_norm(filters[0]),
            nn.ReLU(),
        ]
        for wide, narrow in itertools.pairwise(filters):
            layers.append(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False))
            layers += [group_norm(narrow), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.02)  # as in DCGAN

    def forward(self, codes: Tensor) -> Tensor:
        """Return images ``[batch, channels, size, size]`` of codes ``[batch, code]``."""
        images: Tensor = self.layers(codes[:, :, None, None])
        return images


def laplacian_l1(difference: Tensor) -> Tensor:
    """Return ``[batch]``: the L1 distance of two images' Laplacian pyramids, from the difference of the images.

    Lap1 of Bojanowski et al. (2018): the sum over levels j of ``4^j |L_j|_1``, here per pixel. A level has a quarter
    of the pixels of the one before, so this is the sum over levels of the mean of ``|L_j|``. Images are halved by 2x2
    means and doubled by repetition; the last level is the remaining single pixel. As the pyramid is linear, the
    difference of two pyramids is the pyramid of the difference.

    Args:
        difference: ``[batch, channel, size, size]``; ``size`` is a power of two.
    """
    total = torch.zeros_like(difference[:, 0, 0, 0])
    while difference.shape[-1] > 1:
        coarse = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(coarse, scale_factor=2.0, mode="nearest")).abs().mean((1, 2, 3))
        difference = coarse
    return total + difference.abs().mean((1, 2, 3))

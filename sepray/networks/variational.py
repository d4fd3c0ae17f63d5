"""Variational autoencoders of images by strided convolutions, and a discriminator whose features can be matched.

The networks of the CASS authors' published code. Imports nothing from sepray. Images are
``[batch, channel, height, width]`` of one size, which is fixed where a network is built; a layer halves height and
width, rounding up. Normalisation is GroupNorm in the place of batch normalisation, whose running statistics change in
the forward pass, which ``torch.func`` forbids.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

Size = tuple[int, int]


def halved(size: Size, times: int) -> list[Size]:
    """Return the sizes of an image before, between and after layers that halve it, rounding up."""
    sizes = [size]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class Convolutions(nn.ModuleList):
    """5x5 convolutions with stride 2: ``[b, channels, h, w] -> [b, 2^(stages-1) width, ...]``, layer by layer.

    Each has twice the channels of the one before, normalisation and LeakyReLU (of this slope; 0 is ReLU).
    """

    def __init__(self, channels: int, width: int, stages: int, slope: float) -> None:
        plan = [channels, *(width * 2**k for k in range(stages))]
        super().__init__(
            nn.Sequential(
                nn.Conv2d(before, after, 5, stride=2, padding=2, bias=False), _norm(after), nn.LeakyReLU(slope)
            )
            for before, after in itertools.pairwise(plan)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return what every layer makes of the image."""
        found: list[Tensor] = []
        for layer in self:
            image = layer(image)
            found.append(image)
        return found


class VariationalEncoder(nn.Module):
    """Convolutions, a dense layer, and mean and logarithmic variance of a Gaussian code ``[b, code]``."""

    def __init__(self, channels: int, size: Size, width: int, stages: int, dense: int, code: int) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels, width, stages, slope=0.0)
        height, breadth = halved(size, stages)[-1]
        self.dense = nn.Linear(width * 2 ** (stages - 1) * height * breadth, dense)
        self.code = nn.Linear(dense, 2 * code)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithmic variance."""
        hidden = torch.relu(self.dense(self.convolutions(image)[-1].flatten(1)))
        mean, log_variance = self.code(hidden).chunk(2, dim=-1)
        return mean, log_variance


class MaskDecoder(nn.Module):
    """The mirror image of ``VariationalEncoder``: a code ``[b, code]`` becomes a mask of exactly the image's size."""

    def __init__(self, channels: int, size: Size, width: int, stages: int, dense: int, code: int) -> None:
        super().__init__()
        sizes = halved(size, stages)[::-1]
        self.shape = (width * 2 ** (stages - 1), *sizes[0])
        self.dense = nn.Sequential(
            nn.Linear(code, dense), nn.ReLU(), nn.Linear(dense, math.prod(self.shape)), nn.ReLU()
        )
        plan = [*(width * 2**k for k in reversed(range(stages))), channels]
        layers: list[nn.Module] = []
        for k, (small, large) in enumerate(itertools.pairwise(sizes)):
            # A transposed convolution makes 2n - 1 of n, and one more where that is asked for.
            more = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            last = k == stages - 1
            layers.append(nn.ConvTranspose2d(plan[k], plan[k + 1], 5, 2, padding=2, output_padding=more, bias=last))
            layers += [nn.Sigmoid()] if last else [_norm(plan[k + 1]), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """Return the mask, between 0 and 1."""
        mask: Tensor = self.layers(self.dense(code).unflatten(-1, self.shape))
        return mask


class FeatureDiscriminator(nn.Module):
    """Convolutions with LeakyReLU (0.2) and a linear layer: ``[b, channels, h, w] -> [b]`` logits, high for real."""

    def __init__(self, channels: int, size: Size, width: int, stages: int) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels, width, stages, slope=0.2)
        height, breadth = halved(size, stages)[-1]
        self.head = nn.Linear(width * 2 ** (stages - 1) * height * breadth, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return one logit an image."""
        return self.judged(image)[0]

    def judged(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, and the features of the third convolution (or the last one of fewer)."""
        features = self.convolutions(image)
        return self.head(features[-1].flatten(1))[..., 0], features[min(2, len(features) - 1)]


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of codes ``[b, code]`` from a standard normal one, in nat a dimension."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)

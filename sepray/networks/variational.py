"""Variational autoencoders that make masks, and discriminators with matched features, after the CASS authors' code.

Images are ``[batch, channel, height, width]`` of one size, fixed when a network is built; a convolution of stride 2
halves height and width, rounding up. GroupNorm replaces batch normalisation, whose running statistics change in the
forward pass, which ``torch.func`` forbids.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .checks import check_counts
from .normalisation import group_norm

Size = tuple[int, int]
"""Height and width of an image."""


@dataclass(frozen=True)
class VariationalConfig:
    """Structure of the networks and of the spectrogram, by default the authors'; all trials of a study share it.

    513 bins, convolutions of 32 to 512 channels, codes of 100 dimensions.
    """

    n_fft: int = 1024
    """Samples in a frame of the STFT."""
    hop: int = 768
    """Samples from one frame to the next."""
    width: int = 32
    """Channels after the first convolution of encoders; each further one doubles them."""
    stages: int = 5
    """Convolutions of an encoder; each halves bins and frames."""
    discriminator_width: int = 32
    """Channels after the first convolution of discriminators; each further one doubles them."""
    discriminator_stages: int = 5
    """Convolutions of a discriminator; each halves bins and frames."""
    dense: int = 1024
    """Units of the networks' dense layers."""
    code: int = 100
    """Dimensions of a Gaussian code."""
    batch_size: int = 4
    """Items in a batch."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        sizes = ("width", "stages", "discriminator_width", "discriminator_stages", "dense", "code", "batch_size")
        check_counts(self, sizes)


def halved(size: Size, times: int) -> list[Size]:
    """Return the sizes of an image before, between and after ``times`` layers that halve it, rounding up."""
    sizes = [size]
    for _ in range(times):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class Convolutions(nn.ModuleList):
    """5x5 convolutions with stride 2: ``[b, channels, h, w] -> [b, 2^(stages-1) width, ...]``, layer by layer.

    The first makes ``width`` channels, and each further one doubles them. Each is followed by normalisation (``norm``
    of its channels) and LeakyReLU (``slope`` 0 is ReLU).
    """

    def __init__(
        self,
        channels: int,
        width: int,
        stages: int,
        slope: float,
        norm: Callable[[int], nn.Module] = group_norm,
    ) -> None:
        plan = [channels, *(width * 2**k for k in range(stages))]
        super().__init__(
            nn.Sequential(
                nn.Conv2d(before, after, 5, stride=2, padding=2, bias=False), norm(after), nn.LeakyReLU(slope)
            )
            for before, after in itertools.pairwise(plan)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features after every layer, ``[b, channel, h, w]`` each."""
        features: list[Tensor] = []
        for layer in self:
            image = layer(image)
            features.append(image)
        return features


class VariationalEncoder(nn.Module):
    """Convolutions, a dense layer, and mean and logarithmic variance of a Gaussian code ``[b, code]``."""

    def __init__(self, channels: int, size: Size, width: int, stages: int, dense: int, code: int) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels, width, stages, slope=0.0)
        height, breadth = halved(size, stages)[-1]
        self.dense = nn.Linear(width * 2 ** (stages - 1) * height * breadth, dense)
        self.code = nn.Linear(dense, 2 * code)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithmic variance of the codes, ``[b, code]`` each."""
        hidden = torch.relu(self.dense(self.convolutions(image)[-1].flatten(1)))
        mean, log_variance = self.code(hidden).chunk(2, dim=-1)
        return mean, log_variance


class MaskDecoder(nn.Module):
    """The mirror image of ``VariationalEncoder``: from a code ``[b, code]`` to a mask of exactly the image's size."""

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
            # A transposed convolution turns n into 2n - 1, plus its output padding.
            more = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            last = k == stages - 1
            layers.append(nn.ConvTranspose2d(plan[k], plan[k + 1], 5, 2, padding=2, output_padding=more, bias=last))
            layers += [nn.Sigmoid()] if last else [group_norm(plan[k + 1]), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """Return masks ``[b, channels, h, w]``, between 0 and 1."""
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
        """Return the logits ``[b]`` of images ``[b, channels, h, w]``."""
        return self.judge(image)[0]

    def judge(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits ``[b]``, and the features after the third convolution (the last, if there are fewer)."""
        features = self.convolutions(image)
        return self.head(features[-1].flatten(1))[..., 0], features[min(2, len(features) - 1)]


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the mean Kullback-Leibler divergence of codes ``[b, code]`` from standard normal, in nat per dimension."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()

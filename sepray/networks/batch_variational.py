"""The networks of the CASS authors' published code with its batch normalisation, in dense layers too.

Images are ``[batch, channel, height, width]`` of one size, fixed when a network is built; a convolution of stride 2
halves height and width, rounding up. Without normalisation no unit of the encoder's dense layer stays active.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from .batch_norm import BatchNorm
from .variational import Convolutions, Size, halved

MOMENTUM = 1 - 0.9**4
"""Share of the newest batch in running statistics.

The layers of the authors' code have 0.1, and see each step's batch four times."""
_running = functools.partial(BatchNorm, momentum=MOMENTUM)


class BatchNormEncoder(nn.Module):
    """Convolutions, a dense layer, and mean and logarithmic variance of a Gaussian code ``[b, code]``."""

    def __init__(self, channels: int, size: Size, width: int, stages: int, dense: int, code: int) -> None:
        super().__init__()
        self.convolutions = Convolutions(channels, width, stages, 0.0, _running)
        self.dense = nn.Sequential(
            nn.Linear(_features(size, width, stages), dense, bias=False), _running(dense), nn.ReLU()
        )
        self.code = nn.Linear(dense, 2 * code, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithmic variance of the codes, ``[b, code]`` each."""
        mean, log_variance = self.code(self.dense(self.convolutions(image)[-1].flatten(1))).chunk(2, dim=-1)
        return mean, log_variance


class BatchNormMaskDecoder(nn.Module):
    """A dense layer and transposed convolutions: from a code ``[b, code]`` to a mask of exactly the image's size."""

    def __init__(self, channels: int, size: Size, width: int, stages: int, code: int) -> None:
        super().__init__()
        sizes = halved(size, stages)[::-1]
        self.shape = (width * 2 ** (stages - 1), *sizes[0])
        features = math.prod(self.shape)
        self.dense = nn.Sequential(nn.Linear(code, features, bias=False), _running(features), nn.ReLU())
        plan = [*(width * 2**k for k in reversed(range(stages))), channels]
        layers: list[nn.Module] = []
        for k, (small, large) in enumerate(itertools.pairwise(sizes)):
            # A transposed convolution turns n into 2n - 1, plus its output padding.
            more = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            weights = nn.ConvTranspose2d(plan[k], plan[k + 1], 5, 2, padding=2, output_padding=more, bias=False)
            activation = nn.Sigmoid() if k == stages - 1 else nn.ReLU()
            layers.append(nn.Sequential(weights, _running(plan[k + 1]), activation))
        self.layers = nn.ModuleList(layers)

    def forward(self, code: Tensor) -> Tensor:
        """Return the masks ``[b, channels, h, w]`` of one batch of codes ``[b, code]``, between 0 and 1."""
        [masks] = self.decode([code])
        return masks

    def decode(self, batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the masks ``[b, channels, h, w]`` of each batch of codes ``[b, code]``; batches have one size."""
        hidden = [values.unflatten(-1, self.shape) for values in _apart([self.dense], batches)]
        return _apart(self.layers, hidden)


class BatchNormDiscriminator(nn.Module):
    """Convolutions, a dense layer and a linear one: ``[b, channels, h, w] -> [b]`` logits, high for real.

    LeakyReLU (0.2) follows each layer but the last. Normalisation is always by the statistics of the batch. Batches of
    several kinds of images go through the convolutions together, and each is normalised by itself.
    """

    def __init__(self, channels: int, size: Size, width: int, stages: int, dense: int) -> None:
        super().__init__()
        norm = functools.partial(BatchNorm, runs=False)
        self.convolutions = Convolutions(channels, width, stages, 0.2, norm)
        self.dense = nn.Sequential(
            nn.Linear(_features(size, width, stages), dense, bias=False), norm(dense), nn.LeakyReLU(0.2)
        )
        self.head = nn.Linear(dense, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits ``[b]`` of one batch of images."""
        [logits] = self.judge(self.features([image]))
        return logits

    def features(self, batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the features of each batch after the third convolution (the last, if fewer); batches have one size."""
        return _apart(itertools.islice(self.convolutions, 3), batches)

    def judge(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits ``[b]`` of each batch, given its ``features``."""
        flat = [image.flatten(1) for image in _apart(itertools.islice(self.convolutions, 3, None), features)]
        return [self.head(hidden)[..., 0] for hidden in _apart([self.dense], flat)]


def _apart(layers: Iterable[nn.Module], batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Apply layers (weights, normalisation, activation) to batches of one size; normalise each batch by itself."""
    together = torch.cat(list(batches))
    for layer in layers:
        weights, norm, activation = layer.children()
        apart = weights(together).chunk(len(batches))
        together = activation(torch.cat([norm(values) for values in apart]))
    return together.chunk(len(batches))


def _features(size: Size, width: int, stages: int) -> int:
    """Return the number of values in an image's features after ``stages`` convolutions."""
    height, breadth = halved(size, stages)[-1]
    filters: int = width * 2 ** (stages - 1)
    return filters * height * breadth

"""Residual networks over spectrograms: the encoder, the decoder and the discriminator of CASS.

All images are ``[batch, channel, height, width]``. Normalisation is GroupNorm (``normalisation``).

The nine layers of a ResNet-9 are the convolutions (and the linear layer) on the main path: one in a stem or head, two
in each of the four residual blocks (``depth = 4``). As usual, the 1x1 convolutions of shortcuts do not count.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .normalisation import group_norm


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm, added to their input (He et al.): ``[b, in, h, w] -> [b, out, h', w']``.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output; if they or the size differ, the shortcut is a 1x1 convolution.
        scale: 1 keeps the size, 2 doubles it (nearest neighbour, then convolution: no checkerboard), -2 halves it.
    """

    def __init__(self, channels_in: int, channels_out: int, scale: int = 1) -> None:
        super().__init__()
        if scale not in (-2, 1, 2):
            raise ValueError(f"scale must be -2, 1 or 2, not {scale}")
        self.scale = scale
        stride = 2 if scale == -2 else 1
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.first_norm = group_norm(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = group_norm(channels_out)
        # A block begins as its shortcut alone (Goyal et al. 2017, 5.1): deep stacks learn from the first epoch on.
        nn.init.zeros_(self.second_norm.weight)
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Apply the block to images ``[b, in, h, w]``."""
        shortcut = self.shortcut(image)
        if self.scale == 2:  # the 1x1 convolution before the upsampling: the same result for a quarter of the work
            shortcut = F.interpolate(shortcut, scale_factor=2.0, mode="nearest")
            image = F.interpolate(image, scale_factor=2.0, mode="nearest")
        image = F.relu(self.first_norm(self.first(image)))
        return F.relu(self.second_norm(self.second(image)) + shortcut)


def channel_plan(width: int, depth: int, stages: int) -> list[tuple[int, int, int]]:
    """Return ``(channels_in, channels_out, scale)`` of each of an encoder's ``depth`` blocks.

    The stem is the first of the ``stages`` that halve the image; the other ``stages - 1`` are the first blocks, and
    each of them doubles the number of channels.
    """
    plan, channels = [], width
    for block in range(depth):
        halves = block < stages - 1
        plan.append((channels, 2 * channels if halves else channels, -2 if halves else 1))
        channels = plan[-1][1]
    return plan


class Encoder(nn.Module):
    """ResNet of ``1 + 2 depth`` layers: ``[b, channels, h, w] -> [b, 2^(stages-1) width, h / 2^stages, w / 2^stages]``.

    Height and width of the image are multiples of ``2^stages``.
    """

    def __init__(self, channels: int, width: int, depth: int, stages: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False)
        self.stem_norm = group_norm(width)
        self.blocks = nn.Sequential(*(ResidualBlock(*plan) for plan in channel_plan(width, depth, stages)))

    def forward(self, image: Tensor) -> Tensor:
        """Return the features ``[b, 2^(stages-1) width, h / 2^stages, w / 2^stages]`` of ``[b, channels, h, w]``."""
        features: Tensor = self.blocks(F.relu(self.stem_norm(self.stem(image))))
        return features


class Decoder(nn.Module):
    """The mirror image of ``Encoder``: blocks that double the image, and a head of one layer."""

    def __init__(self, channels: int, width: int, depth: int, stages: int) -> None:
        super().__init__()
        plan = [(after, before, abs(scale)) for before, after, scale in channel_plan(width, depth, stages)[::-1]]
        self.blocks = nn.Sequential(*(ResidualBlock(*block) for block in plan))
        # Four times the channels, shuffled to twice the size: as good as a block at full size, and far cheaper.
        self.head = nn.Conv2d(width, 4 * channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return images ``[b, channels, h, w]`` of any real values, from features as ``Encoder`` returns them."""
        return F.pixel_shuffle(self.head(self.blocks(features)), 2)


class Discriminator(nn.Module):
    """ResNet of ``2 depth + 1`` layers: ``[b, channels, h, w] -> [b]`` logits, high for real images.

    No stem, but blocks, the first ``stages`` of which halve the image; then the mean over all positions, so that any
    size is taken, and a linear layer.
    """

    def __init__(self, channels: int, width: int, depth: int, stages: int) -> None:
        super().__init__()
        plan = [(channels, width, -2), *channel_plan(width, depth - 1, stages)]
        self.blocks = nn.Sequential(*(ResidualBlock(*block) for block in plan))
        self.head = nn.Linear(plan[-1][1], 1)

    def features(self, image: Tensor) -> Tensor:
        """Return the input of the linear layer, ``[b, feature]``."""
        features: Tensor = self.blocks(image).mean(dim=(-2, -1))
        return features

    def judge(self, features: Tensor) -> Tensor:
        """Return the logits ``[b]`` of features ``[b, feature]``."""
        logits: Tensor = self.head(features)
        return logits[..., 0]

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits ``[b]`` of images ``[b, channels, h, w]``."""
        return self.judge(self.features(image))

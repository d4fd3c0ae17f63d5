"""The U-Net (Ronneberger et al. 2015) over images.

All images are ``[batch, channel, height, width]``. Unlike in the original, convolutions are padded, so that the output
has the input's size, and each resolution has one convolution on either path, not two.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UNet(nn.Module):
    """``[b, channels_in, h, w] -> [b, channels_out, h, w]`` of any real values; h, w are multiples of ``2^levels``.

    Down: a 3x3 convolution to ``filters`` channels, then at each level max pooling by 2 and a 3x3 convolution to twice
    the channels. Up: at each level a 2x2 transposed convolution of stride 2 to half the channels, concatenated with the
    features of that size from the way down, and a 3x3 convolution of both. ReLU follows each convolution; there is no
    normalisation. Last, a 1x1 convolution of the features and the input itself, so that the network need not carry
    what should stay as it is.
    """

    def __init__(self, channels_in: int, channels_out: int, filters: int, levels: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(levels + 1)]
        pairs = list(itertools.pairwise(widths))
        self.stem = nn.Conv2d(channels_in, filters, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, padding=1) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs[::-1])
        self.merge = nn.ModuleList(nn.Conv2d(2 * fine, fine, 3, padding=1) for fine, _ in pairs[::-1])
        self.head = nn.Conv2d(filters + channels_in, channels_out, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Apply the network to images ``[b, channels_in, h, w]``."""
        features, skips = F.relu(self.stem(image)), []
        for convolution in self.down:
            skips.append(features)
            features = F.relu(convolution(F.max_pool2d(features, 2)))
        for upsample, merge in zip(self.up, self.merge, strict=True):
            features = torch.cat((F.relu(upsample(features)), skips.pop()), dim=1)
            features = F.relu(merge(features))
        result: Tensor = self.head(torch.cat((features, image), dim=1))
        return result

"""GroupNorm, which takes the place of batch normalisation.

Batch statistics would tie a separator to its batch size, and running statistics change in the forward pass, which
``torch.func`` forbids.
"""

from __future__ import annotations

import math

from torch import nn


def group_norm(channels: int, groups: int = 8) -> nn.GroupNorm:
    """Return a GroupNorm of ``[batch, channel, ...]``, of at most ``groups`` equal groups of channels."""
    return nn.GroupNorm(math.gcd(channels, groups), channels)

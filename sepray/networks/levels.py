"""The root mean square of signals and images, by which separators make themselves independent of a recording's unit."""

from __future__ import annotations

import torch
from torch import Tensor

_SILENCE = 1e-8


def level(items: Tensor, axes: int = 2) -> Tensor:
    """Return the root mean square of each item over its last ``axes`` axes, which stay as axes of length 1.

    Args:
        items: ``[..., channel, time]``, or with ``axes=3`` images ``[..., channel, height, width]``.
        axes: number of axes that an item has.

    Returns:
        ``[..., 1, 1]`` or ``[..., 1, 1, 1]``, at least 1e-8 so that it can be divided by.
    """
    return items.square().mean(dim=tuple(range(-axes, 0)), keepdim=True).sqrt().clamp(min=_SILENCE)


def joint_level(items: Tensor) -> Tensor:
    """Return the root mean square of all values of a tensor of any shape, a scalar of at least 1e-8."""
    root: Tensor = items.square().mean().sqrt()
    return torch.clamp(root, min=_SILENCE)

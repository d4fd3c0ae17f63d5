"""The local Gaussian model of sources in several channels, and its Wiener filter. Imports nothing from sepray.

In each bin of a spectrogram the image of source j in all channels is complex normal with zero mean and covariance
``v_j R_j`` (Duong, Vincent and Gribonval 2010). The power v_j varies over time, the spatial covariance R_j does not.
With one channel ``R_j`` is a number.

Legend: covariances are ``[..., channel, channel, bins, frames]``, with the channels before the bins so that products of
small matrices are products of large arrays; spatial covariances have 1 frame.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inverse(covariance: Tensor) -> Tensor:
    """Return the inverses of matrices ``[..., channel, channel, bins, frames]``: in closed form up to 2 channels."""
    channels = covariance.shape[-4]
    if channels == 1:
        return covariance.reciprocal()
    if channels > 2:
        inverted: Tensor = torch.linalg.inv(covariance.movedim((-4, -3), (-2, -1)))
        return inverted.movedim((-2, -1), (-4, -3))
    a, b, c, d = covariance.flatten(-4, -3).unbind(-3)
    adjugate = torch.stack((d, -b, -c, a), dim=-3).unflatten(-3, (2, 2))
    determinant = (a * d - b * c)[..., None, None, :, :]
    return torch.divide(adjugate, determinant)


def product(matrix: Tensor, spectrum: Tensor) -> Tensor:
    """Return ``[..., channel, bins, frames]``: matrices ``[..., channel, channel, bins, frames]`` times a spectrum."""
    return (matrix * spectrum.unsqueeze(-4)).sum(-3)


def wiener(powers: Tensor, covariances: Tensor, spectrum: Tensor, noise: float | Tensor) -> Tensor:
    """Return the expected images of the sources, ``v_j R_j (sum_k v_k R_k + noise)^-1 x``.

    Args:
        powers: v, ``[..., source, bins, frames]``, not negative.
        covariances: R, ``[..., source, channel, channel, bins, 1]``.
        spectrum: x, ``[..., channel, bins, frames]``, complex.
        noise: variance of noise that is independent in each channel and bin, a number or ``[..., 1, 1, bins, frames]``.

    Returns:
        ``[..., source, channel, bins, frames]``; without noise they sum to the spectrum.
    """
    each = powers[..., None, None, :, :] * covariances
    solved = product(inverse(each.sum(-5) + diagonal(noise, spectrum)), spectrum)
    return product(each, solved.unsqueeze(-4))


def diagonal(noise: float | Tensor, like: Tensor) -> Tensor:
    """Return a variance as a covariance ``[..., channel, channel, bins or 1, frames or 1]``.

    Args:
        noise: variance, a number or ``[..., 1, 1, bins or 1, frames or 1]``.
        like: spectrum ``[..., channel, bins, frames]`` with the number of channels, the type and the device.
    """
    return noise * torch.eye(like.shape[-3], dtype=like.dtype, device=like.device)[..., None, None]

"""Spectral normalisation: weights whose largest singular value is 1 (Miyato et al., 2018).

The singular value is computed exactly at every use. The paper's power iteration keeps a vector between updates; critics
here are small, and a function of the weights alone is the same for one training and for several under
``torch.func.vmap``. A convolution counts as the matrix ``[channels out, channels in * height * width]`` (section 2.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class SpectralNorm(nn.Module):
    """Divides a weight ``[channels out, ...]`` by the largest singular value of its matrix (section 2.1)."""

    def forward(self, weight: Tensor) -> Tensor:
        """Return the normalised weight, of the same shape; one of zeros stays zero."""
        largest: Tensor = torch.linalg.matrix_norm(weight.flatten(1), 2)
        return weight / largest.clamp(min=1e-12)


def normalise(network: nn.Module) -> None:
    """Normalise the weights of all ``Conv2d`` and ``Linear`` layers of a network, now and after each update."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", SpectralNorm())

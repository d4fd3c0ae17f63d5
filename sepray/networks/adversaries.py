"""Losses of a critic and of the player that wants to persuade it: the CASS paper's cross entropy, and three more.

The critic gives logits ``[batch]``, high for images that it takes for real.

- Hinge: Lim and Ye, "Geometric GAN" (2017), section 3.
- Least squares: Mao et al., "Least squares generative adversarial networks" (2017), eq. 9, with 0 for fakes and 1 for
  real images.
- Feature matching: Salimans et al., "Improved techniques for training GANs" (2016), section 3.1. The critic learns by
  the cross entropy; the other player brings the mean features of its images to those of real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .cross_adversarial import fake_loss, real_loss


class Adversary(NamedTuple):
    """Losses of the two players as functions of the critic's logits ``[batch]``; each returns a scalar.

    Attributes:
        persuading: loss of the player whose images the critic should take for real; None where that loss is not a
            function of logits (``matching_loss``).
        real: loss of the critic for real images.
        fake: loss of the critic for the other player's images.
    """

    persuading: Callable[[Tensor], Tensor] | None
    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]


def matching_loss(features: Tensor, real: Tensor) -> Tensor:
    """Return the squared distance of the mean features of two batches ``[batch, feature]``; a scalar."""
    return (features.mean(0) - real.mean(0)).square().sum()


ADVERSARIES = {
    "cross_entropy": Adversary(real_loss, real_loss, fake_loss),
    "hinge": Adversary(
        lambda logits: -logits.mean(),
        lambda logits: F.relu(1 - logits).mean(),
        lambda logits: F.relu(1 + logits).mean(),
    ),
    "least_squares": Adversary(
        lambda logits: (logits - 1).square().mean() / 2,
        lambda logits: (logits - 1).square().mean() / 2,
        lambda logits: logits.square().mean() / 2,
    ),
    "feature_matching": Adversary(None, real_loss, fake_loss),
}
"""Name of a hyperparameter -> the losses that it weighs."""

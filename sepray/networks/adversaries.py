"""What an adversary's two players minimise: the binary cross entropy of the CASS paper, and three losses of others.

Logits are ``[batch]``, high for real images. Hinge: Lim and Ye, "Geometric GAN" (2017), section 3. Least squares: Mao
et al., "Least squares generative adversarial networks" (2017), eq. 9, with 0 for fakes and 1 for real ones. Feature
matching: Salimans et al., "Improved techniques for training GANs" (2016), section 3.1, whose critic learns by the cross
entropy, while the other player makes the mean features of its images those of real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .cross_adversarial import fake_loss, real_loss


class Adversary(NamedTuple):
    """Losses by logits ``[batch]``, each a scalar.

    Attributes:
        persuading: that of the player whose images the critic should take for real; None: it is not by logits.
        real: the critic's, of real images.
        fake: the critic's, of others.
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
"""By the name of the hyperparameter that weighs it."""

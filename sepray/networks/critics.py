"""Losses of Wasserstein critics with a gradient penalty (Gulrajani et al. 2017).

A critic maps images ``[batch, channel, height, width]`` to scores ``[batch]``, high for real images. An item's score
depends on that item alone, so critics do not normalise over the batch. The gradients inside the losses are
``torch.func.grad``'s, and all random numbers are arguments, so that a loss runs under ``torch.func.vmap`` as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
Sides = Literal["two-sided", "one-sided"]


class CriticTerms(NamedTuple):
    """Terms of one critic's loss ``-distance + weight * penalty``, scalars.

    Attributes:
        distance: ``E[D(real)] - E[D(fake)]``, the critic's estimate of the Wasserstein distance.
        penalty: mean of ``(|grad D| - 1)^2`` (one-sided: of ``max(0, |grad D| - 1)^2``) at points between fake and real
            images.
    """

    distance: Tensor
    penalty: Tensor


def critic_terms(critic: Critic, real: Tensor, fake: Tensor, position: Tensor, sides: Sides) -> CriticTerms:
    """Return the terms of a critic's loss.

    Args:
        critic: critic that is trained.
        real: real images, ``[batch, channel, height, width]``.
        fake: fake images, of the same shape; detached by the caller if no gradient should reach them.
        position: ``[batch]``, in [0, 1]: where on the line from a fake image to a real one the gradient is taken.
        sides: gradients that are penalised: two-sided, those whose norm is not 1; one-sided, those above 1.
    """
    true, false = critic(torch.cat((real, fake))).chunk(2)  # one pass over both: larger batches are faster
    between = torch.lerp(fake, real, position[:, None, None, None])
    return CriticTerms(true.mean() - false.mean(), gradient_penalty(critic, between, sides))


def gradient_penalty(critic: Critic, images: Tensor, sides: Sides) -> Tensor:
    """Return the mean over items of ``(|grad D| - 1)^2``, one-sided of ``max(0, |grad D| - 1)^2``; a scalar.

    Args:
        critic: critic D.
        images: where the gradient is taken, ``[batch, channel, height, width]``.
        sides: gradients that are penalised, as for ``critic_terms``.
    """
    gradient = torch.func.grad(lambda points: critic(points).sum())(images)
    # The root's gradient is infinite at 0, which a critic that ignores its image would reach.
    excess = (gradient.square().sum(dim=(1, 2, 3)) + 1e-16).sqrt() - 1
    penalised: Tensor = excess.clamp(min=0) if sides == "one-sided" else excess
    return penalised.square().mean()

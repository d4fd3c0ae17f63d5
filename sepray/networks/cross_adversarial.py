"""Bases of the CASS separators, whose discriminators may see other sources' estimates.

Each source i has an autoencoder AE_i and a discriminator D_i. Besides its own source's estimate, D_i may be shown the
estimate of any other source j, with a weight ``cross.<j>_to_<i>`` (equation 9 of the paper).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import LossFunction, Phase, Separator, Signal, Supervision, Tensors
from ..errors import UsageError


class CrossAdversarialSeparator(Separator):
    """Base of all CASS separators: the paper's, and those after its authors' code.

    Attributes:
        critic_weight: weight of the losses that are reported of the discriminators; 0 if the autoencoders do not learn
            from discriminators, which then cannot win.

    Raises:
        UsageError: the signal has a single source, or is an image.
    """

    supervision = Supervision.PAIRED
    critic_weight: float = 1.0

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        if len(signal.sources) < 2 or len(signal.shape) != 1:
            raise UsageError(f"cass separates one-dimensional signals of at least 2 sources, not {signal}")

    def crosses(self) -> list[tuple[str, int, int]]:
        """Return (name of the weight, i, j) for every ordered pair: discriminator j is shown the estimate of source i.

        The name is that of a hyperparameter, e.g. ``cross.maternal_to_fetal``.
        """
        sources = list(enumerate(self.signal.sources))
        return [(f"cross.{a}_to_{b}", i, j) for i, a in sources for j, b in sources if i != j]

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """Return a reason if the discriminators won: they are sure of every item, and estimates no better than silence.

        Silence has a relative L2 error of 1; a discriminator is sure where its loss, of weight 1, is at most 0.001.
        """
        if not self.critic_weight:
            return None
        losses = [metrics.get(f"train/discriminator/{source}") for source in self.signal.sources]
        error = metrics.get("validation/relative_l2")
        if error is None or error < 1 or any(loss is None or loss > 1e-3 * self.critic_weight for loss in losses):
            return None
        return f"the discriminators won: their losses are below 0.001 and the relative L2 error is {error:.2f}"


class VariationalSeparator(CrossAdversarialSeparator):
    """Base of the separators after the CASS authors' code, which make masks by variational autoencoders.

    Attributes:
        encoders: for each source, images to mean and logarithmic variance of its code.
        decoders: for each source, its code to a mask.
        code: number of dimensions of a code.
        frames: number of frames that the networks were built for.
    """

    encoders: nn.ModuleList
    decoders: nn.ModuleList
    code: int
    frames: int

    def hyperparameters(self) -> dict[str, float]:
        """Return the values of the authors' code."""
        weights = {"l1_weight": 5.0, "feature_weight": 1.0, "gan_weight": 0.1, "code_weight": 0.01}
        rates = {"autoencoder_learning_rate": 2e-5, "discriminator_learning_rate": 2e-5}
        return weights | rates | {name: 0.1 for name, _, _ in self.crosses()}

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Note whether the autoencoders learn from the discriminators."""
        values = {**self.hyperparameters(), **hyperparameters}
        self.critic_weight = float(values["gan_weight"] != 0 or values["feature_weight"] != 0)

    def alternating(self, autoencoders: LossFunction, discriminators: LossFunction) -> tuple[Phase, ...]:
        """Return the two updates of a step: the autoencoders' by one loss, then the discriminators' by another."""
        own = ("encoders", "decoders")
        return (
            Phase("autoencoders", own, "autoencoder_learning_rate", autoencoders, draw=self.noise),
            Phase("discriminators", ("discriminators",), "discriminator_learning_rate", discriminators),
        )

    def noise(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw standard normal noise ``[batch, source, code]``."""
        shape = (len(batch["mixture"]), len(self.signal.sources), self.code)
        return {"noise": torch.randn(shape, generator=generator).to(batch["mixture"].device)}

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return the magnitudes that masks multiply, ``[batch, channel, bins, frames]``.

        Args:
            mixture: ``[batch, channel, time]``.
        """
        raise TypeError(f"{type(self).__name__} must define magnitudes()")

    def estimate(self, mixture: Tensor) -> list[Tensor]:
        """Return each source's estimate as its discriminator sees it: ``log(1 + m)`` of its magnitudes m.

        They are ``[batch, channel, bins, frames]`` for mixtures ``[batch, channel, time]``.
        """
        magnitudes = self.magnitudes(mixture)
        return [(mask * magnitudes).log1p() for mask in self.masks(magnitudes)]

    def masks(self, magnitudes: Tensor) -> list[Tensor]:
        """Return each source's mask of magnitudes ``[batch, channel, bins, frames]``, of the same shape.

        Args:
            magnitudes: magnitudes of as many frames as the networks were built for.
        """
        image = magnitudes.log1p()
        return [decoder(encoder(image)[0]) for encoder, decoder in zip(self.encoders, self.decoders, strict=True)]

    def masks_in_pieces(self, magnitudes: Tensor) -> list[Tensor]:
        """Return each source's mask of magnitudes of any number of frames, made in pieces of ``frames`` frames.

        Args:
            magnitudes: ``[batch, channel, bins, frames]``; the last piece is zero-padded.
        """
        frames = magnitudes.shape[-1]
        padded = F.pad(magnitudes, (0, -frames % self.frames))
        pieces = padded.unflatten(-1, (-1, self.frames)).movedim(-2, 1)
        return [
            mask.unflatten(0, pieces.shape[:2]).movedim(1, -2).flatten(-2)[..., :frames]
            for mask in self.masks(pieces.flatten(0, 1))
        ]


def real_loss(logits: Tensor) -> Tensor:
    """Return the mean binary cross entropy of logits of any shape that should say "real", ``BCELoss(D(x), 1)``."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return the mean binary cross entropy of logits of any shape that should say "not real", ``BCELoss(D(x), 0)``."""
    return F.softplus(logits).mean()

"""The CASS authors' autoencoders with losses of logarithmic magnitudes. Known as ``cass:logarithmic``.

``cass:published`` does what the authors' code does. This method was once named so; it differs in networks and losses,
and is here so that studies and models of that time can be used. For each source there are five 5x5 convolutions with
stride 2, a dense layer and a Gaussian code; the mirrored decoder ends in a sigmoid, and the estimate is that mask times
the mixture. Autoencoders minimise 5 L1 of ``log(1 + magnitude)`` + L1 of the features at the discriminator's third
convolution + 0.01 KL of the code, decoders in addition 0.1 times the adversarial term. Discriminators minimise the mean
of their two cross entropies + 0.1 times the sum of the cross terms. Any of these weights can be searched.

Unlike ``cass:published`` it is trained on the mixture's magnitudes, as in separation. Estimates do not depend on other
items of a batch, not even in training: GroupNorm replaces batch normalisation. On bassoon and saxophone it learns less:
nothing normalises the encoder's dense layer, and its units die (``benchmarks/cass_code.py`` has figures of
``cass:published``).

Chosen here:

- Networks and losses see ``log(1 + magnitude)`` of a mixture of unit root mean square; masks multiply magnitudes.
- The KL divergence is a mean over a code's dimensions, as the L1 error is over bins. (Summed over dimensions, it left
  codes empty.)
- The adversarial term reaches the decoder through a code that is held fixed. Separation takes the mean of the code.
- Discriminators have as many convolutions as encoders, and one output.
- A mask has exactly the spectrogram's size, and no gradient of a discriminator's update reaches an autoencoder.
- Dense layers fix the number of frames, so the spectrogram of a longer signal is masked in pieces of that many frames,
  the last one zero-padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Signal, Tensors
from ..networks.cross_adversarial import VariationalSeparator, fake_loss, real_loss
from ..networks.levels import level
from ..networks.variational import FeatureDiscriminator, MaskDecoder, VariationalConfig, VariationalEncoder, divergence
from ..signals.stft import Spectrogram

VARIANT_OF = "cass"
"""This module's configurations are named ``cass:logarithmic...`` (``registry``)."""
STORED_AS = "published"
"""Value of ``variant`` in stored configurations."""
NAMED_BEFORE = "cass:published"
"""Former name of these configurations: a study that was begun under it goes on with them."""


@dataclass(frozen=True)
class Config(VariationalConfig):
    """Structure of the networks and of the spectrogram, by default of the authors' sizes."""

    FORMER_FIELDS: ClassVar[Mapping[str, object]] = {
        "variant": STORED_AS,
        "representation": "magnitude",
        "depth": 4,
        "precision": "float32",
    }
    """Fields and values kept in the identity of studies: this class was once part of ``cass``, which has the fields."""

    def __post_init__(self) -> None:
        super().__post_init__()
        Spectrogram(self.n_fft, self.hop, "magnitude")

    def build(self, signal: Signal) -> LogarithmicCass:
        """Return the separator with freshly initialised weights."""
        return LogarithmicCass(signal, self)


SMALL = Config(
    n_fft=256,
    hop=64,
    width=8,
    stages=3,
    discriminator_width=8,
    discriminator_stages=3,
    dense=128,
    code=32,
    batch_size=16,
)
"""Configuration for short signals of a low rate: shorter frames and smaller networks."""
DEBUG = Config(n_fft=16, hop=12, width=4, stages=2, discriminator_width=4, discriminator_stages=2, dense=16, code=4)


class LogarithmicCass(VariationalSeparator):
    """The separator; see the module's description."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.spectrogram = Spectrogram(config.n_fft, config.hop, "magnitude")
        size = self.spectrogram.shape(signal.shape[0])
        self.frames, self.code, channels = size[1], config.code, signal.channels
        shape = (channels, size, config.width, config.stages, config.dense, config.code)
        critic = (channels, size, config.discriminator_width, config.discriminator_stages)
        self.encoders = nn.ModuleList(VariationalEncoder(*shape) for _ in signal.sources)
        self.decoders = nn.ModuleList(MaskDecoder(*shape) for _ in signal.sources)
        self.discriminators = nn.ModuleList(FeatureDiscriminator(*critic) for _ in signal.sources)

    def phases(self) -> tuple[Phase, ...]:
        """Return the autoencoders' update and the discriminators'."""
        return self.alternating(variational_loss, rejection_loss)

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return ``[batch, channel, bins, frames]`` of a mixture that is divided by its level."""
        return self.spectrogram.encode(mixture / level(mixture))

    def targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        """Return the targets of ``estimate``, from the true sources ``[batch, source, channel, time]``."""
        sources = sources / level(mixture)[:, None]
        images = self.spectrogram.encode(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return list(images.log1p().unbind(1))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain, whole = level(mixture), self.magnitudes(mixture)
        masks = self.masks_in_pieces(whole)
        return torch.stack([self.spectrogram.decode(mask * whole, mixture / gain) * gain for mask in masks], dim=1)


def variational_loss(cass: LogarithmicCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources: ``5 L1 + feature L1 + 0.01 KL``, and ``0.1 BCE(D_i(AE_i(X)), 1)`` for the decoder alone."""
    magnitudes, targets = cass.magnitudes(batch["mixture"]), cass.targets(batch["mixture"], batch["sources"])
    total, parts, estimates = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor](), list[Tensor]()
    for i, source in enumerate(cass.signal.sources):
        mean, log_variance = cass.encoders[i](magnitudes.log1p())
        code = mean + random["noise"][:, i] * (log_variance / 2).exp()
        # The decoder sees the code twice; held fixed, it keeps the adversarial loss from the encoder.
        both = (cass.decoders[i](torch.cat((code, code.detach()))) * torch.cat((magnitudes, magnitudes))).log1p()
        critic = cast(FeatureDiscriminator, cass.discriminators[i])
        (logits, features), (_, wanted) = critic.judge(both), critic.judge(targets[i])
        estimate, held = both.chunk(2)
        losses = {
            "l1": F.l1_loss(estimate, targets[i]),
            "feature": F.l1_loss(features.chunk(2)[0], wanted),
            "gan": real_loss(logits.chunk(2)[1]),
            "code": divergence(mean, log_variance),
        }
        total = total + sum(hyperparameters[f"{name}_weight"] * loss for name, loss in losses.items())
        parts |= {f"{name}/{source}": loss for name, loss in losses.items()}
        estimates.append(held.detach())
    return Loss(total, parts, {"estimates": torch.stack(estimates, 1), "targets": torch.stack(targets, 1)})


def rejection_loss(cass: LogarithmicCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources i: mean of ``BCE(D_i(AE_i(X)), 0), BCE(D_i(X_i), 1)``, + ``0.1 BCE(D_i(AE_j(X)), 0)`` over j."""
    estimates, targets = batch["estimates"], batch["targets"]
    total, parts = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        others = [(name, j) for name, j, shown_to in cass.crosses() if shown_to == i]
        shown = torch.cat([estimates[:, i], targets[:, i], *(estimates[:, j] for _, j in others)])
        fake, real, *foreign = cass.discriminators[i](shown).split(len(targets))
        own = (fake_loss(fake) + real_loss(real)) / 2
        crossed = [hyperparameters[name] * fake_loss(part) for (name, _), part in zip(others, foreign, strict=True)]
        total = total + own + sum(crossed)
        parts |= {f"discriminator/{source}": own}
    return Loss(total, parts)

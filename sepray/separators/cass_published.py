"""CASS as its authors published it as code: variational autoencoders that make masks. Known as ``cass:published``.

This is not the method of the paper's text (``cass``). For each source there are five 5x5 convolutions with stride 2, a
dense layer and a Gaussian code; the mirrored decoder ends in a sigmoid, and the estimate is that mask times the
mixture's magnitudes. Autoencoders minimise 5 L1 of the magnitudes + L1 of the features at the discriminator's third
convolution + 0.01 KL of the code, decoders in addition 0.1 times the adversarial term. Discriminators minimise the mean
of their two cross entropies + 0.1 times the sum of the cross terms. Any of these weights can be searched. Networks see
``log(1 + magnitude)``; all layers are batch normalised, dense ones too.

As in the code, autoencoders are trained on the sum of the sources' magnitudes. No recording has these magnitudes: where
sources meet in a bin, the mixture's is smaller. ``cass:published_mixture`` is trained on mixtures' magnitudes, as in
separation.

The code departs from the paper's text: convolutional autoencoders with masks instead of ResNet-9; 5 L1 + features
instead of 0.9 MSE + 0.1 BCE; cross terms of 0.1 (0.01); a learning rate of 2e-5 (1e-5 and 1e-6); batches of 4 (50).

Chosen here:

- A mixture is scaled to a root mean square of 0.12, about that of Bach10's mixtures (full scale is 1). So any unit
  gives the same result, and the weights mean what they mean in the code.
- Autoencoders are updated together, then the discriminators on the same estimates; the code takes a new pass for each
  of discriminator, encoder and decoder. No gradient of a discriminator's update reaches an autoencoder.
- The adversarial term reaches the decoder through a code that is held fixed. Separation takes the mean of the code.
- A mask has exactly the spectrogram's size; the code's mask lacks a bin, and is padded so that it lies one bin off.
- Dense layers fix the number of frames, so the spectrogram of a longer signal is masked in pieces of that many frames,
  the last one zero-padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Signal, Tensors
from ..errors import UsageError
from ..networks.batch_norm import learning
from ..networks.batch_variational import BatchNormDiscriminator, BatchNormEncoder, BatchNormMaskDecoder
from ..networks.checks import check_choice
from ..networks.cross_adversarial import VariationalSeparator, fake_loss, real_loss
from ..networks.levels import level
from ..networks.variational import VariationalConfig, divergence
from ..signals.stft import Spectrogram

VARIANT_OF = "cass"
"""This module's configurations are named ``cass:published...`` (``registry``)."""
STORED_AS = "published_code"
"""Value of ``variant`` in stored configurations; ``published`` is that of ``cass_logarithmic``, once named so."""

LEVEL = 0.12
"""Root mean square that mixtures are scaled to."""
Input = Literal["summed", "mixture"]


@dataclass(frozen=True)
class Config(VariationalConfig):
    """Structure of the networks and of the spectrogram, by default the authors'; all trials of a study share it."""

    trained_on: Input = "summed"
    """Training input: the sum of the sources' magnitudes, or the mixture's magnitudes, as in separation."""

    FORMER_FIELDS: ClassVar[Mapping[str, object]] = {"variant": STORED_AS}
    """Field by which stored configurations of this class are told from those of the other variants of ``cass``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "trained_on", Input)
        if self.batch_size < 2:
            raise UsageError("batch_size must be at least 2: batches are normalised")
        Spectrogram(self.n_fft, self.hop, "magnitude")

    def build(self, signal: Signal) -> MaskCass:
        """Return the separator with freshly initialised weights."""
        return MaskCass(signal, self)


MIXTURE = Config(trained_on="mixture")
"""Configuration that is trained on mixtures' magnitudes, as in separation."""
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


class MaskCass(VariationalSeparator):
    """The separator; see the module's description."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.spectrogram = Spectrogram(config.n_fft, config.hop, "magnitude")
        size = self.spectrogram.shape(signal.shape[0])
        self.frames, self.code, self.trained_on = size[1], config.code, config.trained_on
        shape = (signal.channels, size, config.width, config.stages)
        critic = (signal.channels, size, config.discriminator_width, config.discriminator_stages, config.dense)
        self.encoders = nn.ModuleList(BatchNormEncoder(*shape, config.dense, config.code) for _ in signal.sources)
        self.decoders = nn.ModuleList(BatchNormMaskDecoder(*shape, config.code) for _ in signal.sources)
        self.discriminators = nn.ModuleList(BatchNormDiscriminator(*critic) for _ in signal.sources)

    def phases(self) -> tuple[Phase, ...]:
        """Return the autoencoders' update and the discriminators'."""
        return self.alternating(variational_loss, rejection_loss)

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return ``[batch, channel, bins, frames]`` of a mixture that is scaled to ``LEVEL``."""
        return self.spectrogram.encode(mixture * _gain(mixture))

    def true_magnitudes(self, mixture: Tensor, sources: Tensor) -> Tensor:
        """Return ``[batch, source, channel, bins, frames]`` of sources that are scaled as their mixture is."""
        scaled = sources * _gain(mixture)[:, None]
        images: Tensor = self.spectrogram.encode(scaled.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return images

    def targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        """Return the targets of ``estimate``, from the true sources ``[batch, source, channel, time]``."""
        return list(self.true_magnitudes(mixture, sources).log1p().unbind(1))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain, whole = _gain(mixture), self.magnitudes(mixture)
        masks = self.masks_in_pieces(whole)
        return torch.stack([self.spectrogram.decode(mask * whole, mixture * gain) / gain for mask in masks], dim=1)


def variational_loss(cass: MaskCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources: ``5 L1 + feature L1 + 0.01 KL``, and ``0.1 BCE(D_i(AE_i(X)), 1)`` for the decoder alone."""
    true = cass.true_magnitudes(batch["mixture"], batch["sources"])
    magnitudes = true.sum(1) if cass.trained_on == "summed" else cass.magnitudes(batch["mixture"])
    targets = true.log1p()
    total, parts, estimates = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor](), list[Tensor]()
    with learning(cass) as kept:
        for i, source in enumerate(cass.signal.sources):
            mean, log_variance = cass.encoders[i](magnitudes.log1p())
            code = mean + random["noise"][:, i] * (log_variance / 2).exp()
            # The decoder sees the code twice; held fixed, it keeps the adversarial loss from the encoder.
            decoder = cast(BatchNormMaskDecoder, cass.decoders[i])
            estimate, held = (mask * magnitudes for mask in decoder.decode((code, code.detach())))
            critic = cast(BatchNormDiscriminator, cass.discriminators[i])
            seen, held_seen, wanted = critic.features((estimate.log1p(), held.log1p(), targets[:, i]))
            [logits] = critic.judge((held_seen,))
            losses = {
                "l1": F.l1_loss(estimate, true[:, i]),
                "feature": F.l1_loss(seen, wanted),
                "gan": real_loss(logits),
                "code": divergence(mean, log_variance),
            }
            total = total + sum(hyperparameters[f"{name}_weight"] * loss for name, loss in losses.items())
            parts |= {f"{name}/{source}": loss for name, loss in losses.items()}
            estimates.append(held.detach().log1p())
    return Loss(total, parts, {"estimates": torch.stack(estimates, 1), "targets": targets}, kept)


def rejection_loss(cass: MaskCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources i: mean of ``BCE(D_i(AE_i(X)), 0), BCE(D_i(X_i), 1)``, + ``0.1 BCE(D_i(AE_j(X)), 0)`` over j."""
    estimates, targets = batch["estimates"], batch["targets"]
    total, parts = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        critic = cast(BatchNormDiscriminator, cass.discriminators[i])
        others = [(name, j) for name, j, shown_to in cass.crosses() if shown_to == i]
        shown = [estimates[:, i], targets[:, i], *(estimates[:, j] for _, j in others)]
        fake, real, *foreign = critic.judge(critic.features(shown))
        own = (fake_loss(fake) + real_loss(real)) / 2
        crossed = [hyperparameters[name] * fake_loss(part) for (name, _), part in zip(others, foreign, strict=True)]
        total = total + own + sum(crossed)
        parts |= {f"discriminator/{source}": own}
    return Loss(total, parts)


def _gain(mixture: Tensor) -> Tensor:
    """Return the factor that scales each mixture to ``LEVEL``, ``[batch, 1, 1]``."""
    return LEVEL / level(mixture)

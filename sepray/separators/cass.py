"""CASS: cross adversarial source separation via autoencoders (Ong, Chui and Yang).

Three members of one family, told apart by hyperparameters: the baseline autoencoders (Fig. 1; ``adversarial = 0``),
CASS (Fig. 2; eq. 7 and 8) and CASS with cross adversarial training (Fig. 3; eq. 9; any ``cross`` weight above 0).

Each source i has an encoder and a decoder, together AE_i, and a discriminator D_i, each a ResNet-9. Where the paper
is silent: Adam; the mean square over all items, channels, bins and frames; one update of all autoencoders, then one
of all discriminators on the same batch and on the estimates made before the autoencoders moved (one forward pass,
not two); GroupNorm in the place of batch normalisation.

The paper gives no sizes for its ECG signals. The default frames are short (0.11 s at 128 Hz, 8 bins): two beats that
a longer frame would hold together stay apart, and the fetal error is lowest. Weights, losses and separation are
float32; in training the networks may run in bfloat16 (``precision``; benchmarks/epoch.py has the figures).

Levels. An item's mixture is divided by its root mean square before the transform, so that a recording in other units
is separated the same; and each source's spectrogram is divided by the root mean square, over the training sources, of
that source's spectrogram. So a source of a tenth of the amplitude weighs the same against its adversarial term, where
with plain amplitudes its squared error would be a hundredth, lost beside the cross entropy of any beta. A
discriminator sees estimates of other sources in *their* units: it has to tell them by their form, not by their level.

``PUBLISHED`` (``cass:published``) is what the authors' code does, which is another method: variational autoencoders
that make masks, with an L1 and a feature-matching loss. ``VariationalCass`` says how, and what was chosen.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Signal, Supervision, Tensors
from ..networks.residual import Decoder, Discriminator, Encoder
from ..networks.variational import FeatureDiscriminator, MaskDecoder, VariationalEncoder, divergence
from ..signals.stft import Representation, Spectrogram, level

Precision = Literal["auto", "float32", "bfloat16"]
Variant = Literal["paper", "published"]


@dataclass(frozen=True)
class Config:
    """Structure of the networks and of the spectrogram; all trials of a study share it."""

    variant: Variant = "paper"
    """The paper's text, or the authors' published code: magnitudes, float32, and no depth of residual blocks."""
    n_fft: int = 14
    """Samples in a frame of the STFT."""
    hop: int = 7
    """Samples from one frame to the next."""
    representation: Representation = "complex"
    """What networks see: real and imaginary part, or the magnitude (estimates then take the mixture's phase)."""
    width: int = 16
    """Channels after the first layer of encoders."""
    depth: int = 4
    """Residual blocks of a network; it has 2 depth + 1 layers."""
    stages: int = 1
    """How often an encoder halves bins and frames, doubling the channels each time but the first."""
    discriminator_width: int = 8
    """Channels after the first block of discriminators."""
    discriminator_stages: int = 3
    """How often a discriminator halves bins and frames."""
    precision: Precision = "auto"
    """Of the networks in training; auto is bfloat16 on CPUs with instructions for it, where that is faster."""
    dense: int = 1024
    """Units of the published autoencoders' dense layers."""
    code: int = 100
    """Dimensions of their Gaussian codes."""
    batch_size: int = 50
    """Items in a batch."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        sizes = ("width", "depth", "stages", "discriminator_width", "discriminator_stages", "dense", "code")
        for name in (*sizes, "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, not {self.variant!r}")
        for name in ("stages", "discriminator_stages") if self.variant == "paper" else ():
            if getattr(self, name) > self.depth:
                raise ValueError(f"{name} must be at most depth = {self.depth}, not {getattr(self, name)}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, not {self.precision!r}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {self.betas}")
        Spectrogram(self.n_fft, self.hop, self.representation)

    def build(self, signal: Signal) -> CassFamily:
        """Return the separator with freshly initialised weights."""
        return Cass(signal, self) if self.variant == "paper" else VariationalCass(signal, self)


SMALL = Config(n_fft=256, hop=128, batch_size=16)
"""For half-second items at 8 kHz: longer frames than those of an ECG."""
DEBUG = Config(
    n_fft=16, hop=8, width=4, stages=1, discriminator_width=4, discriminator_stages=1, depth=1, precision="float32"
)

PUBLISHED = Config(
    variant="published",
    n_fft=1024,
    hop=768,
    representation="magnitude",
    width=32,
    stages=5,
    discriminator_width=32,
    discriminator_stages=5,
    precision="float32",
    batch_size=4,
    betas=(0.5, 0.999),
)
"""The authors' code: 513 bins, convolutions of 32 to 512 channels, codes of 100 dimensions."""
PUBLISHED_SMALL = replace(
    PUBLISHED,
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
"""The same for short signals of a low rate: shorter frames and smaller networks."""
PUBLISHED_DEBUG = replace(
    PUBLISHED, n_fft=16, hop=12, width=4, stages=2, discriminator_width=4, discriminator_stages=2, dense=16, code=4
)


class CassFamily(Separator):
    """What the paper's separator and that of the authors' code have in common.

    Raises:
        ValueError: a single source, or an image.
    """

    supervision = Supervision.PAIRED

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        if len(signal.sources) < 2 or len(signal.shape) != 1:
            raise ValueError(f"cass separates one-dimensional signals of at least 2 sources, not {signal}")

    def crosses(self) -> list[tuple[str, int, int]]:
        """Return (name, i, j) for every ordered pair: the estimate of source i is shown to discriminator j."""
        sources = list(enumerate(self.signal.sources))
        return [(f"cross.{a}_to_{b}", i, j) for i, a in sources for j, b in sources if i != j]

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """Say that the discriminators won: they are sure of every item, and the estimates no better than silence."""
        losses = [metrics.get(f"train/discriminator/{source}") for source in self.signal.sources]
        error = metrics.get("validation/relative_l2")
        if error is None or error < 1 or any(loss is None or loss > 1e-3 for loss in losses):
            return None
        return f"the discriminators won: their losses are below 0.001 and the relative L2 error is {error:.2f}"


class Cass(CassFamily):
    """The paper's separator; see the module's description."""

    source_scale: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.spectrogram = Spectrogram(config.n_fft, config.hop, config.representation, 2**config.stages)
        self.precision = config.precision
        channels = self.spectrogram.channels(signal.channels)
        size = (channels, config.width, config.depth, config.stages)
        critic = (channels, config.discriminator_width, config.depth, config.discriminator_stages)
        self.encoders = nn.ModuleList(Encoder(*size) for _ in signal.sources)
        self.decoders = nn.ModuleList(Decoder(*size) for _ in signal.sources)
        self.discriminators = nn.ModuleList(Discriminator(*critic) for _ in signal.sources)
        self.register_buffer("source_scale", torch.ones(len(signal.sources)))

    def hyperparameters(self) -> dict[str, float]:
        """Return the paper's values (section 4)."""
        values = {
            "adversarial": 1.0,
            "beta": 0.1,
            "autoencoder_learning_rate": 1e-5,
            "discriminator_learning_rate": 1e-6,
        }
        return values | {name: 0.01 for name, _, _ in self.crosses()}

    def prepare(self, data: Tensors) -> None:
        """Measure each source's scale: the root mean square of its spectrogram, its mixture's level being one."""
        images = self._targets(data["mixture"], data["sources"])
        self.source_scale.copy_(torch.stack([image.square().mean().sqrt() for image in images]).clamp(min=1e-8))

    def phases(self) -> tuple[Phase, ...]:
        """Return the autoencoders' update (eq. 7) and the discriminators' (eq. 8 and 9)."""
        return (
            Phase("autoencoders", ("encoders", "decoders"), "autoencoder_learning_rate", autoencoder_loss),
            Phase(
                "discriminators",
                ("discriminators",),
                "discriminator_learning_rate",
                discriminator_loss,
                active="adversarial",
            ),
        )

    def estimate(self, mixture: Tensor) -> list[Tensor]:
        """Return each source's spectrogram ``[batch, channel, bins, frames]``, in that source's units."""
        image = self.spectrogram.encode(mixture / level(mixture))
        return [decoder(encoder(image)) for encoder, decoder in zip(self.encoders, self.decoders, strict=True)]

    def targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        """Return the true spectrograms, as ``estimate`` should return them."""
        images = self._targets(mixture, sources)
        return [image / scale for image, scale in zip(images, self.source_scale, strict=True)]

    def _targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        sources = sources / level(mixture)[:, None]
        images = self.spectrogram.encode(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return list(images.unbind(1))

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which losses run the networks."""
        automatic = self.precision == "auto" and device.type == "cpu" and _native_bfloat16()
        enabled = automatic or self.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain, images = level(mixture), self.estimate(mixture)
        signals = [
            self.spectrogram.decode(image * scale, mixture) * gain
            for image, scale in zip(images, self.source_scale, strict=True)
        ]
        return torch.stack(signals, dim=1)


@functools.cache
def _native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself (False on a torch that cannot say)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _real(logits: Tensor) -> Tensor:
    """Return BCELoss(D(x), 1) of logits."""
    return F.softplus(-logits).mean()


def _fake(logits: Tensor) -> Tensor:
    """Return BCELoss(D(x), 0) of logits."""
    return F.softplus(logits).mean()


def autoencoder_loss(cass: Cass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Eq. 7, summed over sources: ``alpha MSE(AE_i(X), X_i) + beta BCE(D_i(AE_i(X)), 1)``, ``alpha = 1 - beta``."""
    beta = hyperparameters["beta"] * hyperparameters["adversarial"]
    targets = cass.targets(batch["mixture"], batch["sources"])
    with cass.autocast(beta.device):
        estimates = cass.estimate(batch["mixture"])
        logits = [critic(image) for critic, image in zip(cass.discriminators, estimates, strict=True)]
    total, parts = torch.zeros_like(beta), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        error = F.mse_loss(estimates[i].float(), targets[i])
        adversarial = _real(logits[i].float())
        total = total + (1 - beta) * error + beta * adversarial
        parts |= {f"mse/{source}": error, f"adversarial/{source}": adversarial}
    carry = {"estimates": torch.stack(estimates, 1).detach().float(), "targets": torch.stack(targets, 1)}
    return Loss(total, parts, carry)


def discriminator_loss(cass: Cass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Eq. 9, summed over sources i; with all cross weights zero eq. 8.

    ``BCE(D_i(AE_i(X)), 0) + BCE(D_i(X_i), 1) + sum over j != i of cross.j_to_i BCE(D_i(AE_j(X)), 0)``
    """
    estimates, targets = batch["estimates"], batch["targets"]
    crosses = cass.crosses()
    total, parts = torch.zeros_like(hyperparameters["beta"]), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        others = [(name, j) for name, j, shown_to in crosses if shown_to == i]
        shown = torch.cat([estimates[:, i], targets[:, i], *(estimates[:, j] for _, j in others)])
        with cass.autocast(shown.device):
            logits = cass.discriminators[i](shown).float()  # one pass over all: larger batches are faster
        fake, real, *foreign = logits.split(len(targets))
        own = _fake(fake) + _real(real)
        crossed = [hyperparameters[name] * _fake(one) for (name, _), one in zip(others, foreign, strict=True)]
        total = total + own + sum(crossed)
        parts |= {f"discriminator/{source}": own}
    return Loss(total, parts)


class VariationalCass(CassFamily):
    """CASS as the authors' published code has it: the named configuration ``PUBLISHED``.

    For each source five 5x5 convolutions with stride 2, a dense layer and a Gaussian code; the mirrored decoder ends in
    a sigmoid, and the estimate is that mask times the mixture. The autoencoders minimise 5 L1 + L1 of the features at
    the discriminator's third convolution + 0.01 KL of the code, the decoders besides 0.1 times the adversarial term;
    discriminators the mean of their two cross entropies + 0.1 of the sum of the cross ones. Any weight can be searched.

    What was chosen: networks and losses see ``log(1 + magnitude)``, of a mixture of unit root mean square, while masks
    multiply magnitudes; the KL is a mean over a code's dimensions, as the L1 is over bins (their sum left codes empty);
    the adversarial term reaches the decoder through a code that is held fixed; separation takes the mean of the code;
    discriminators have as many convolutions as encoders, and one output; GroupNorm. A mask has exactly the
    spectrogram's size, and no gradient of a discriminator's update reaches an autoencoder. Dense layers fix the number
    of frames, so the spectrogram of a longer signal is masked in pieces of as many, the last one zero-padded.
    """

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

    def hyperparameters(self) -> dict[str, float]:
        """Return the values of the authors' code."""
        weights = {"l1_weight": 5.0, "feature_weight": 1.0, "gan_weight": 0.1, "code_weight": 0.01}
        rates = {"autoencoder_learning_rate": 2e-5, "discriminator_learning_rate": 2e-5}
        return weights | rates | {name: 0.1 for name, _, _ in self.crosses()}

    def phases(self) -> tuple[Phase, ...]:
        """Return the autoencoders' update and the discriminators'."""
        own = ("encoders", "decoders")
        return (
            Phase("autoencoders", own, "autoencoder_learning_rate", variational_loss, draw=self.noise),
            Phase("discriminators", ("discriminators",), "discriminator_learning_rate", rejection_loss),
        )

    def noise(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw standard normal noise ``[batch, source, code]``."""
        shape = (len(batch["mixture"]), len(self.signal.sources), self.code)
        return {"noise": torch.randn(shape, generator=generator).to(batch["mixture"].device)}

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Return ``[batch, channel, bins, frames]`` of a mixture that is divided by its level."""
        return self.spectrogram.encode(mixture / level(mixture))

    def masks(self, magnitudes: Tensor) -> list[Tensor]:
        """Return each source's mask of magnitudes with as many frames as the networks were built for."""
        image = magnitudes.log1p()
        return [decoder(encoder(image)[0]) for encoder, decoder in zip(self.encoders, self.decoders, strict=True)]

    def estimate(self, mixture: Tensor) -> list[Tensor]:
        """Return each source's logarithmic magnitudes, as its discriminator sees them."""
        magnitudes = self.magnitudes(mixture)
        return [(mask * magnitudes).log1p() for mask in self.masks(magnitudes)]

    def targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        """Return the true logarithmic magnitudes, as ``estimate`` should return them."""
        sources = sources / level(mixture)[:, None]
        images = self.spectrogram.encode(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return list(images.log1p().unbind(1))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain, whole = level(mixture), self.magnitudes(mixture)
        frames = whole.shape[-1]
        pieces = F.pad(whole, (0, -frames % self.frames)).unflatten(-1, (-1, self.frames)).movedim(-2, 1)
        found = self.masks(pieces.flatten(0, 1))
        masks = [mask.unflatten(0, pieces.shape[:2]).movedim(1, -2).flatten(-2)[..., :frames] for mask in found]
        return torch.stack([self.spectrogram.decode(mask * whole, mixture / gain) * gain for mask in masks], dim=1)


def variational_loss(cass: VariationalCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources: ``5 L1 + feature L1 + 0.01 KL``, and ``0.1 BCE(D_i(AE_i(X)), 1)`` for the decoder alone."""
    magnitudes, targets = cass.magnitudes(batch["mixture"]), cass.targets(batch["mixture"], batch["sources"])
    total, parts, estimates = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor](), list[Tensor]()
    for i, source in enumerate(cass.signal.sources):
        mean, log_variance = cass.encoders[i](magnitudes.log1p())
        code = mean + random["noise"][:, i] * (log_variance / 2).exp()
        # The decoder sees the code twice, the second time held fixed, for the loss that is not the encoder's.
        both = (cass.decoders[i](torch.cat((code, code.detach()))) * torch.cat((magnitudes, magnitudes))).log1p()
        critic = cast(FeatureDiscriminator, cass.discriminators[i])
        (logits, features), (_, wanted) = critic.judged(both), critic.judged(targets[i])
        estimate, held = both.chunk(2)
        losses = {
            "l1": F.l1_loss(estimate, targets[i]),
            "feature": F.l1_loss(features.chunk(2)[0], wanted),
            "gan": _real(logits.chunk(2)[1]),
            "code": divergence(mean, log_variance),
        }
        total = total + sum(hyperparameters[f"{name}_weight"] * loss for name, loss in losses.items())
        parts |= {f"{name}/{source}": loss for name, loss in losses.items()}
        estimates.append(held.detach())
    return Loss(total, parts, {"estimates": torch.stack(estimates, 1), "targets": torch.stack(targets, 1)})


def rejection_loss(cass: VariationalCass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum over sources i: mean of ``BCE(D_i(AE_i(X)), 0), BCE(D_i(X_i), 1)``, + ``0.1 BCE(D_i(AE_j(X)), 0)`` over j."""
    estimates, targets = batch["estimates"], batch["targets"]
    total, parts = torch.zeros_like(hyperparameters["l1_weight"]), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        others = [(name, j) for name, j, shown_to in cass.crosses() if shown_to == i]
        shown = torch.cat([estimates[:, i], targets[:, i], *(estimates[:, j] for _, j in others)])
        fake, real, *foreign = cass.discriminators[i](shown).split(len(targets))
        own = (_fake(fake) + _real(real)) / 2
        crossed = [hyperparameters[name] * _fake(one) for (name, _), one in zip(others, foreign, strict=True)]
        total = total + own + sum(crossed)
        parts |= {f"discriminator/{source}": own}
    return Loss(total, parts)

"""CASS: cross adversarial source separation via autoencoders (Ong, Chui and Yang).

Hyperparameters make it one of three methods:

- the baseline autoencoders (Fig. 1): ``adversarial = 0``;
- CASS (Fig. 2; eq. 7 and 8): all ``cross`` weights 0;
- CASS with cross adversarial training (Fig. 3; eq. 9): any ``cross`` weight above 0.

The code that the authors published is another method, the configuration ``cass:published`` (``cass_published``).

Each source i has an encoder and a decoder, together AE_i, and a discriminator D_i, each a ResNet-9. Chosen here, where
the paper is silent: Adam; the mean square over all items, channels, bins and frames; GroupNorm in place of batch
normalisation. A step is one update of all autoencoders, then one of all discriminators on the same batch. These see the
estimates made before the autoencoders moved: one forward pass, not two.

The paper gives no sizes for its ECG signals. The default frames are short (0.11 s at 128 Hz, 8 bins): two beats that
would share a longer frame lie in different ones, and the fetal error is lowest. Weights, losses and separation are
float32; in training the networks may run in bfloat16 (``precision``; benchmarks/epoch.py has the figures).

Levels. An item's mixture is divided by its root mean square before the transform, so that the unit of a recording does
not matter. Each source's spectrogram is divided by the root mean square, over the training sources, of that source's
spectrograms. So the squared error of a source of a tenth of the amplitude weighs the same against its adversarial
term. With plain amplitudes it would be a hundredth, lost beside the cross entropy of any beta. A discriminator sees
estimates of other sources in *their* units: it has to tell them by their form, not by their level.

Beyond the paper, and off by default: critics may have other losses (``critic_losses``), see the mixture beside the
estimate (``critic_sees_mixture``), and have spectrally normalised weights (``spectral_norm``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Signal, Tensors
from ..errors import UsageError
from ..networks.adversaries import ADVERSARIES, matching_loss
from ..networks.checks import check_choice, check_counts
from ..networks.cross_adversarial import CrossAdversarialSeparator
from ..networks.levels import level
from ..networks.residual import Decoder, Discriminator, Encoder
from ..networks.spectral_norm import normalise
from ..processor import has_bfloat16
from ..signals.stft import Representation, Spectrogram
from ..signals.template_input import input_channels, network_input

Precision = Literal["auto", "float32", "bfloat16"]
CriticLosses = Literal["paper", "weighted"]


@dataclass(frozen=True)
class Config:
    """Structure of the networks and of the spectrogram; all trials of a study share it."""

    n_fft: int = 14
    """Samples in a frame of the STFT."""
    hop: int = 7
    """Samples from one frame to the next."""
    representation: Representation = "complex"
    """Input of the networks: real and imaginary part, or the magnitude (estimates then take the mixture's phase)."""
    width: int = 16
    """Channels after the first layer of encoders."""
    depth: int = 4
    """Residual blocks of a network; it has 2 depth + 1 layers."""
    stages: int = 1
    """Number of times that an encoder halves bins and frames; each but the first doubles the channels."""
    discriminator_width: int = 8
    """Channels after the first block of discriminators."""
    discriminator_stages: int = 3
    """Number of times that a discriminator halves bins and frames."""
    precision: Precision = "auto"
    """Number format of the networks in training; auto is bfloat16 on CPUs that multiply it natively."""
    batch_size: int = 50
    """Items in a batch."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""

    critic_losses: CriticLosses = "paper"
    """Adversarial loss: the paper's cross entropy; or weighted: a weighted sum of cross entropy, hinge, least squares
    and feature matching, whose weights are hyperparameters of these names."""
    critic_sees_mixture: bool = False
    """Show critics the spectrogram of the mixture beside the one that they judge."""
    spectral_norm: bool = False
    """Divide every weight of the critics by its largest singular value."""

    FORMER_FIELDS: ClassVar[Mapping[str, object]] = {"variant": "paper", "dense": 1024, "code": 100}
    """Fields and values kept in the identity of studies: ``cass:logarithmic`` was once a variant of this class."""
    LATER_FIELDS: ClassVar[Mapping[str, object]] = {
        "critic_losses": "paper",
        "critic_sees_mixture": False,
        "spectral_norm": False,
    }
    """Values at which these fields are left out of the identity of studies: older versions, which lacked the fields,
    did the same."""

    def __post_init__(self) -> None:
        sizes = ("width", "depth", "stages", "discriminator_width", "discriminator_stages", "batch_size")
        check_counts(self, sizes)
        check_choice(self, "precision", Precision)
        check_choice(self, "critic_losses", CriticLosses)
        for name in ("stages", "discriminator_stages"):
            if getattr(self, name) > self.depth:
                raise UsageError(f"{name} must be at most depth = {self.depth}, not {getattr(self, name)}")
        Spectrogram(self.n_fft, self.hop, self.representation)

    def build(self, signal: Signal) -> Cass:
        """Return the separator with freshly initialised weights."""
        return Cass(signal, self)


SMALL = Config(n_fft=256, hop=128, batch_size=16)
"""Configuration for half-second items at 8 kHz: longer frames than those for an ECG."""
QUICK = Config(width=8, depth=2, discriminator_width=4, discriminator_stages=1, batch_size=25)
"""Configuration for a study of minutes on two cores."""
ECG = Config(n_fft=16, hop=8, width=12, stages=2, discriminator_width=4, critic_losses="weighted")
"""Configuration for ECG of every shape at 250 Hz: frames of 64 ms, and any of the critics' losses."""
DEBUG = Config(
    n_fft=16, hop=8, width=4, stages=1, discriminator_width=4, discriminator_stages=1, depth=1, precision="float32"
)


class Cass(CrossAdversarialSeparator):
    """The separator; see the module's description."""

    takes_template = True
    makes_components = True
    source_scale: Tensor
    matches_features = False

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.spectrogram = Spectrogram(config.n_fft, config.hop, config.representation, 2**config.stages)
        self.precision, self.critic_sees_mixture = config.precision, config.critic_sees_mixture
        self.adversaries = ("cross_entropy",) if config.critic_losses == "paper" else tuple(ADVERSARIES)
        channels = self.spectrogram.channels(signal.source_channels)
        seen = self.spectrogram.channels(input_channels(signal))
        size = (config.width, config.depth, config.stages)
        beside = self.spectrogram.channels(signal.channels) if config.critic_sees_mixture else 0
        judged = channels + beside
        critic = (judged, config.discriminator_width, config.depth, config.discriminator_stages)
        self.encoders = nn.ModuleList(Encoder(seen, *size) for _ in signal.sources)
        self.decoders = nn.ModuleList(Decoder(channels, *size) for _ in signal.sources)
        self.discriminators = nn.ModuleList(Discriminator(*critic) for _ in signal.sources)
        if config.spectral_norm:
            normalise(self.discriminators)
        self.register_buffer("source_scale", torch.ones(len(signal.sources)))

    def hyperparameters(self) -> dict[str, float]:
        """Return the paper's values (section 4); with ``weighted`` losses those of the cross entropy."""
        values = {
            "adversarial": 1.0,
            "beta": 0.1,
            "autoencoder_learning_rate": 1e-5,
            "discriminator_learning_rate": 1e-6,
        }
        if len(self.adversaries) > 1:
            values |= {name: float(name == "cross_entropy") for name in self.adversaries}
        return values | {name: 0.01 for name, _, _ in self.crosses()}

    def set_hyperparameters(self, hyperparameters: Mapping[str, float]) -> None:
        """Note whether features are matched, and the weight of the critics' losses.

        Only if features are matched does the autoencoders' update show critics the true sources.
        """
        values = {**self.hyperparameters(), **hyperparameters}
        self.matches_features = values.get("feature_matching", 0) != 0
        total = sum(values[name] for name in self.adversaries) if len(self.adversaries) > 1 else 1.0
        self.critic_weight = float(total) if values["adversarial"] * values["beta"] else 0.0

    def weights(self, hyperparameters: Tensors) -> dict[str, Tensor | float]:
        """Return the weight of each adversarial loss by name; a single one has weight 1."""
        if len(self.adversaries) == 1:
            return dict.fromkeys(self.adversaries, 1.0)
        left_out = () if self.matches_features else ("feature_matching",)
        return {name: hyperparameters[name] for name in self.adversaries if name not in left_out}

    def seen(self, images: Tensor, mixture: Tensor) -> Tensor:
        """Return the critics' input ``[image, channel, bins, frames]``: images, with mixtures if critics see these.

        Args:
            images: ``[image, channel, bins, frames]``, one or more for each item: first one of every item in order,
                then the next of every item, and so on.
            mixture: ``[batch, channel, time]``.
        """
        if not self.critic_sees_mixture:
            return images
        beside = self.spectrogram.encode(mixture / level(mixture))
        return torch.cat((images, beside.repeat(len(images) // len(beside), 1, 1, 1)), dim=1)

    def prepare(self, data: Tensors) -> None:
        """Measure each source's scale: the root mean square of its spectrograms, for mixtures of level 1."""
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
        image = self.spectrogram.encode(network_input(mixture, self.signal) / level(mixture))
        return [decoder(encoder(image)) for encoder, decoder in zip(self.encoders, self.decoders, strict=True)]

    def targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        """Return the targets of ``estimate``, from the true sources ``[batch, source, channel, time]``."""
        images = self._targets(mixture, sources)
        return [image / scale for image, scale in zip(images, self.source_scale, strict=True)]

    def _targets(self, mixture: Tensor, sources: Tensor) -> list[Tensor]:
        sources = sources / level(mixture)[:, None]
        images = self.spectrogram.encode(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return list(images.unbind(1))

    def persuasion(self, logits: Tensor, features: Tensor, real: Tensor, hyperparameters: Tensors) -> Tensor:
        """Return an autoencoder's adversarial loss: the weighted sum over adversaries.

        Args:
            logits: the critic's logits of estimates, ``[batch]``.
            features: the critic's features of estimates, ``[batch, feature]``; not read unless features are matched.
            real: its features of the true sources, likewise.
            hyperparameters: values of the hyperparameters.
        """
        total = torch.zeros_like(hyperparameters["beta"])
        for name, weight in self.weights(hyperparameters).items():
            persuading = ADVERSARIES[name].persuading
            if persuading is None:
                total = total + weight * matching_loss(features.float(), real.float())
            else:
                total = total + weight * persuading(logits.float())
        return total

    def acceptance(self, logits: Tensor, hyperparameters: Tensors) -> Tensor:
        """Return a critic's loss on real images, from its logits ``[batch]``: the weighted sum over adversaries."""
        losses = [w * ADVERSARIES[name].real(logits) for name, w in self.weights(hyperparameters).items()]
        return torch.stack(losses).sum()

    def rejection(self, logits: Tensor, hyperparameters: Tensors) -> Tensor:
        """Return a critic's loss on estimates, from its logits ``[batch]``: the weighted sum over adversaries."""
        losses = [w * ADVERSARIES[name].fake(logits) for name, w in self.weights(hyperparameters).items()]
        return torch.stack(losses).sum()

    def uses_bfloat16(self, device: torch.device) -> bool:
        """Say whether losses run the networks in bfloat16."""
        automatic = self.precision == "auto" and device.type == "cpu" and _native_bfloat16()
        return automatic or self.precision == "bfloat16"

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which losses run the networks."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.uses_bfloat16(device))

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain, images = level(mixture), self.estimate(mixture)
        own = mixture[:, : self.signal.source_channels]
        signals = [
            self.spectrogram.decode(image * scale, own) * gain
            for image, scale in zip(images, self.source_scale, strict=True)
        ]
        return torch.stack(signals, dim=1)


@functools.cache
def _native_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16 (False where this version of torch cannot tell)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return has_bfloat16([name for name, there in capabilities.items() if there])


def autoencoder_loss(cass: Cass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum of eq. 7 over sources: ``alpha MSE(AE_i(X), X_i) + beta BCE(D_i(AE_i(X)), 1)``, ``alpha = 1 - beta``."""
    beta = hyperparameters["beta"] * hyperparameters["adversarial"]
    targets = cass.targets(batch["mixture"], batch["sources"])
    critics = () if "adversarial" in cass.off else cass.discriminators
    with cass.autocast(beta.device):
        estimates = cass.estimate(batch["mixture"])
        shown = [cass.seen(image, batch["mixture"]) for image in estimates[: len(critics)]]
        matched = [cass.seen(image, batch["mixture"]) for image in targets[: len(critics)]]
        judged = [_judged(cass, *three) for three in zip(critics, shown, matched, strict=True)]
    total, parts = torch.zeros_like(beta), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        parts[f"mse/{source}"] = F.mse_loss(estimates[i].float(), targets[i])
        total = total + (1 - beta) * parts[f"mse/{source}"]
        if judged:
            parts[f"adversarial/{source}"] = cass.persuasion(*judged[i], hyperparameters)
            total = total + beta * parts[f"adversarial/{source}"]
    carry = {"estimates": torch.stack(estimates, 1).detach().float(), "targets": torch.stack(targets, 1)}
    return Loss(total, parts, carry)


def _judged(cass: Cass, critic: nn.Module, images: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a critic's logits of images and, where features are matched, its features of these and of real images."""
    if not cass.matches_features:
        return critic(images), images, real
    judge = cast(Discriminator, critic)
    features, wanted = judge.features(torch.cat((images, real))).chunk(2)
    return judge.judge(features), features, wanted


def discriminator_loss(cass: Cass, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Sum of eq. 9 over sources i; with all cross weights zero, this is eq. 8.

    ``BCE(D_i(AE_i(X)), 0) + BCE(D_i(X_i), 1) + sum over j != i of cross.j_to_i BCE(D_i(AE_j(X)), 0)``
    """
    estimates, targets = batch["estimates"], batch["targets"]
    crosses = cass.crosses()
    total, parts = torch.zeros_like(hyperparameters["beta"]), dict[str, Tensor]()
    for i, source in enumerate(cass.signal.sources):
        others = [(name, j) for name, j, shown_to in crosses if shown_to == i]
        shown = torch.cat([estimates[:, i], targets[:, i], *(estimates[:, j] for _, j in others)])
        with cass.autocast(shown.device):
            # One pass over all: larger batches are faster.
            logits = cass.discriminators[i](cass.seen(shown, batch["mixture"])).float()
        fake, real, *foreign = logits.split(len(targets))
        own = cass.rejection(fake, hyperparameters) + cass.acceptance(real, hyperparameters)
        rejections = [cass.rejection(part, hyperparameters) for part in foreign]
        crossed = [hyperparameters[name] * part for (name, _), part in zip(others, rejections, strict=True)]
        total = total + own + sum(crossed)
        parts |= {f"discriminator/{source}": own}
    return Loss(total, parts)

"""SSGAN: spectrum energy preserved Wasserstein learning (Zhang, Yan and Zhou), from unpaired samples of each source.

The separator (Table 2) has one encoder and, for each source, a decoder with skips from the encoder and noise added to
its code. It turns the magnitudes of a mixture into those of its K >= 2 sources. One critic for each source (Table 3)
compares them with samples of that source which belong to no mixture. Equation 2, with x the mixture's magnitudes,
s_i real and s^_i estimated sources, w_i = ``critic_weight.<source>``, beta = ``energy_weight`` and lambda =
``gradient_penalty``::

    separator:  min  -sum_i w_i E[d_i(s^_i)] + beta E[(sum_i |s^_i|^2 - |x|^2)^2]
    critics:    min   sum_i w_i (E[d_i(s^_i)] - E[d_i(s_i)] + lambda E[(|grad d_i(s~_i)| - 1)^2])

with s~_i uniformly between an s_i and an s^_i. As in Algorithm 1, a step is one update of the separator, then
``critic_steps`` updates of the critics, each on newly drawn mixtures and sources. The paper's ablations: LoU has no
skips, GAN no energy term, ENG only the energy term. Its two-source form (-V) is a task of two sources.

What the text leaves open, and what is chosen here:

- STFT. The paper's Hann windows of 1024 points do not overlap. As the window vanishes at its ends, no signal can be
  reconstructed from those, so here they overlap by half. Estimates take the mixture's phase (2.1); no mask is used.
  Neither critics nor energies notice when a source is moved by a frame, and networks do learn to move short sounds.
  Where frames overlap by half, such an estimate is wrong, by how much depends on the seed. A smaller ``hop`` is the
  remedy, so ``SMALL`` has frames that overlap by three quarters.
- A segment. Its 32 frames span 743 ms in the paper; as frames overlap by half they span 383 ms here (``31 hop + n_fft``
  samples at 44.1 kHz), so a critic sees half the context. A batch is 16 items, not 16 segments: all segments of an item
  are in one step. A ``stems`` item of 743 ms has three, so that a step sees 48.
- Segments overlap (2.1); the paper does not say by how much, here by half. A frame in several segments gets the mean of
  their estimates.
- Inputs are "scaled to [0, 1]". Mixtures and real sources are divided by one number, the root mean square of all
  training mixtures, so that no critic can tell estimates by their loudness. Then every magnitude is divided by the
  largest of the training mixtures. In separation a mixture is divided by its own root mean square, so that any unit is
  taken.
- |.|^2 sums over a whole segment, as omega counts segments in Algorithm 1. With magnitudes in [0, 1] the sum may be
  anything from 1 to 1000, depending on how sparse the spectrograms are, and its error enters squared. So energies are
  in units of the training mixtures' mean energy, and one beta means the same for every task.
- Each critic has its own penalty. If the norm of the gradient of the weighted sum were penalised, d_i could make up for
  any w_i by its slope. The penalty in L_g of equation 1 does not depend on the separator's weights and is left out.
- Table 2 gives two of the decoder's widths twice: the output shapes (.., 32), (.., 16) are taken, not "64" filters. It
  shows three skips (``skips = 3``); the text says that each step has one (``skips = 4``).
- 513 bins become 256, and 256 become 513, without padding; all other sizes halve and double with a padding of 1.
- The noise, of shape (1, 16, 1), is normal with a standard deviation ``noise`` (0.1), the same for all channels of a
  code. In training it is added before the ReLU; in separation there is none.
- The tables have no normalisation, so there is none. Weights start as He et al. (2015) propose, biases at 0.
- The critics' fully connected layer has no bias, as the difference of two scores cancels it. I_critic is 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_counts
from ..networks.critics import critic_terms
from ..networks.levels import joint_level, level
from ..signals.stft import Spectrogram

CRITIC_STRIDES = (2, 2, 1, 2, 2, 1)
CRITIC_WEIGHTS: Mapping[str, float] = {"bass": 0.25, "drums": 0.25, "vocals": 0.4, "other": 0.1}
"""The weights alpha_i of Table 1, for a task with exactly these sources."""


@dataclass(frozen=True)
class Config:
    """Structure of the networks and of the spectrogram, by default the paper's (Tables 1 to 3)."""

    n_fft: int = 1024
    """Samples in a frame of the STFT."""
    hop: int = 512
    """Samples from one frame to the next."""
    context: int = 32
    """Frames in a segment."""
    context_hop: int = 16
    """Frames from one segment to the next."""
    encoder_filters: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Filters of the encoder's layers; the last number is that of each source's code."""
    decoder_filters: tuple[int, ...] = (128, 64, 32, 16)
    """Filters of the decoders' layers but the last."""
    critic_filters: tuple[int, ...] = (64, 64, 128, 128, 256, 256)
    """Filters of the critics' six layers."""
    skips: int = 3
    """Number of a decoder's layers, the first ones, with a skip from the encoder; 0 is the paper's LoU."""
    energy: bool = True
    """Use the energy term; without it this is the paper's GAN."""
    wasserstein: bool = True
    """Use critics; without them this is the paper's ENG."""
    critic_steps: int = 5
    """Updates of the critics for each update of the separator (I_critic)."""
    batch_size: int = 16
    """Items in a batch."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        stages = len(self.encoder_filters)
        if stages < 2 or len(self.decoder_filters) != stages - 1 or len(self.critic_filters) != len(CRITIC_STRIDES):
            raise UsageError(
                f"there must be 2 or more encoder_filters, one decoder_filters less and {len(CRITIC_STRIDES)} "
                f"critic_filters, not {self.encoder_filters}, {self.decoder_filters} and {self.critic_filters}"
            )
        multiple = max(2**stages, 16)
        if self.context < 1 or self.context % multiple or self.n_fft % (2 * multiple):
            raise UsageError(
                f"context and n_fft / 2 must be multiples of {multiple}, not {self.context} and {self.n_fft / 2:g}"
            )
        if not 1 <= self.context_hop <= self.context:
            raise UsageError(f"context_hop must be between 1 and {self.context}, not {self.context_hop}")
        if not 0 <= self.skips < stages:
            raise UsageError(f"skips must be between 0 and {stages - 1}, not {self.skips}")
        if not (self.energy or self.wasserstein):
            raise UsageError("energy and wasserstein cannot both be off: there would be nothing to learn from")
        for name in ("encoder_filters", "decoder_filters", "critic_filters"):
            if (least := min(getattr(self, name))) < 1:
                raise UsageError(f"{name} must be at least 1, not {least}")
        check_counts(self, ("critic_steps", "batch_size"))
        Spectrogram(self.n_fft, self.hop, "magnitude")

    def build(self, signal: Signal) -> Ssgan:
        """Return the separator with freshly initialised weights."""
        return Ssgan(signal, self)


LOU = Config(skips=0)
"""Ablation: lack of U-Net connections."""
GAN = Config(energy=False)
"""Ablation: the Wasserstein terms alone."""
ENG = Config(wasserstein=False)
"""Ablation: the energy term alone."""
SMALL = Config(
    n_fft=256,
    hop=64,
    context=16,
    context_hop=16,
    encoder_filters=(16, 32, 64),
    decoder_filters=(32, 16),
    critic_filters=(8, 8, 16, 16, 32, 32),
    skips=2,
    critic_steps=1,
    batch_size=8,
)
"""Configuration for half-second items at 8 kHz and CPUs: fewer, narrower layers; frames overlap by three quarters."""
DEBUG = Config(
    n_fft=32,
    hop=16,
    context=16,
    context_hop=8,
    encoder_filters=(4, 8),
    decoder_filters=(4,),
    critic_filters=(4, 4, 4, 4, 8, 8),
    skips=1,
    critic_steps=2,
)


def _sizes(size: tuple[int, int], stages: int) -> list[tuple[int, int]]:
    """Return the sizes of an image before, between and after ``stages`` halvings, rounded down."""
    return [(size[0] >> stage, size[1] >> stage) for stage in range(stages + 1)]


def _padding(size: tuple[int, int]) -> tuple[int, int]:
    """Return the padding with which a 3x3 convolution of stride 2 halves an image of this size, rounding down."""
    return 1 - size[0] % 2, 1 - size[1] % 2


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class SeparatorNetwork(nn.Module):
    """Table 2: magnitudes ``[batch, channel, bins, context]`` to ``[batch, source, channel, bins, context]``."""

    def __init__(self, config: Config, channels: int, sources: int, size: tuple[int, int]) -> None:
        super().__init__()
        encoder, decoder = config.encoder_filters, config.decoder_filters
        stages = len(encoder)
        sizes = _sizes(size, stages)
        self.sources, self.skips, self.code_size = sources, config.skips, sizes[-1]
        inputs = (channels, *encoder[:-1])
        outputs = (*encoder[:-1], encoder[-1] * sources)
        self.encoder = nn.ModuleList(
            nn.Conv2d(inputs[k], outputs[k], 3, stride=2, padding=_padding(sizes[k])) for k in range(stages)
        )
        joined = [encoder[-2 - k] if k < config.skips else 0 for k in range(stages - 1)]
        inputs = (encoder[-1], *(decoder[k] + joined[k] for k in range(stages - 1)))
        outputs = (*decoder, channels)
        paddings = [_padding(target) for target in sizes[-2::-1]]  # paddings of the convolutions that the steps invert
        self.decoders = nn.ModuleList(
            nn.ModuleList(
                nn.ConvTranspose2d(inputs[k], outputs[k], 3, 2, padding=paddings[k], output_padding=paddings[k])
                for k in range(stages)
            )
            for _ in range(sources)
        )
        self.apply(_initialise)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the estimates; ``noise [batch, source, 1, *code_size]`` is added to the codes."""
        features, skips = image, list[Tensor]()
        for layer in self.encoder[:-1]:
            features = F.relu(layer(features))
            skips.append(features)
        codes = self.encoder[-1](features).unflatten(1, (self.sources, -1))
        codes = F.relu(codes if noise is None else codes + noise)
        skips = skips[::-1][: self.skips]
        return torch.stack(
            [self._decode(decoder, codes[:, k], skips) for k, decoder in enumerate(self.decoders)], dim=1
        )

    def _decode(self, decoder: nn.Module, code: Tensor, skips: list[Tensor]) -> Tensor:
        features = code
        for k, layer in enumerate(decoder.children()):
            features = F.relu(layer(features))
            if k < len(skips):
                features = torch.cat((features, skips[k]), dim=1)
        return features


class MagnitudeCritic(nn.Module):
    """Table 3: magnitudes ``[batch, channel, bins, context]`` to scores ``[batch]``, high for real ones."""

    def __init__(self, filters: tuple[int, ...], channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stride, width in zip(CRITIC_STRIDES, filters, strict=True):
            padding = _padding(size) if stride == 2 else (1, 1)
            layers += [nn.Conv2d(channels, width, 3, stride, padding), nn.LeakyReLU(0.2)]
            channels, size = width, (size[0] // stride, size[1] // stride)
        last = nn.Linear(channels * math.prod(size), 1, bias=False)
        self.layers = nn.Sequential(*layers, nn.Flatten(), last, nn.LeakyReLU(0.2))
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Return one score for each image."""
        scores: Tensor = self.layers(image)
        return scores[:, 0]


class Ssgan(Separator):
    """The separator; see the module's description."""

    supervision = Supervision.UNPAIRED_SOURCES
    source_level: Tensor
    peak: Tensor
    mean_energy: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.sources) < 2 or len(signal.shape) != 1:
            raise UsageError(f"ssgan separates one-dimensional signals of at least 2 sources, not {signal}")
        self.config = config
        self.spectrogram = Spectrogram(config.n_fft, config.hop, "magnitude")
        size = (config.n_fft // 2 + 1, config.context)
        self.network = SeparatorNetwork(config, signal.channels, len(signal.sources), size)
        critics = len(signal.sources) if config.wasserstein else 0
        self.critics = nn.ModuleList(
            MagnitudeCritic(config.critic_filters, signal.channels, size) for _ in range(critics)
        )
        self.register_buffer("source_level", torch.ones(()))
        self.register_buffer("peak", torch.ones(()))
        self.register_buffer("mean_energy", torch.ones(()))

    def hyperparameters(self) -> dict[str, float]:
        """Return the paper's values (Table 1, section 3.1), and sepray's ``noise``; weights of critics sum to 1.

        For the paper's four instruments they are ``CRITIC_WEIGHTS``; for any other K sources, for which the paper gives
        none, 1/K each.
        """
        values = {
            "energy_weight": 10.0,
            "gradient_penalty": 10.0,
            "noise": 0.1,
            "separator_learning_rate": 1e-4,
            "critic_learning_rate": 1e-4,
        }
        sources = self.signal.sources
        weights = CRITIC_WEIGHTS if set(sources) == set(CRITIC_WEIGHTS) else dict.fromkeys(sources, 1 / len(sources))
        return values | {f"critic_weight.{source}": weights[source] for source in sources}

    def prepare(self, data: Tensors) -> None:
        """Measure the training mixtures: their level and, at level 1, their largest magnitude and mean energy."""
        self.source_level.copy_(joint_level(data["mixture"]))
        mixture = data["mixture"] / self.source_level
        self.peak.copy_(self.spectrogram.encode(mixture).max())
        self.mean_energy.copy_(self.cut(mixture).square().sum(dim=(1, 2, 3)).mean())

    def phases(self) -> tuple[Phase, ...]:
        """Return Algorithm 1's updates: one of the separator, then ``critic_steps`` of the critics."""
        separator = Phase("separator", ("network",), "separator_learning_rate", separator_loss, self.draw_noise)
        if not self.config.wasserstein:
            return (separator,)
        steps = self.config.critic_steps
        rate, draw = "critic_learning_rate", self.draw
        critics = Phase("critics", ("critics",), rate, critic_loss, draw, repeats=steps, own_batches=True)  # line 6
        return separator, critics

    def draw_noise(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw standard normal noise ``[segment, source, 1, *code_size]``."""
        mixture = batch["mixture"]
        segments = mixture.shape[0] * self.segments(mixture.shape[-1])
        shape = (segments, len(self.signal.sources), 1, *self.network.code_size)
        return {"noise": torch.randn(shape, generator=generator).to(mixture.device)}

    def draw(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the noise, and ``position [source, segment]``, uniform in 0..1: the places of the gradient penalty."""
        noise = self.draw_noise(batch, generator)["noise"]
        position = torch.rand((noise.shape[1], noise.shape[0]), generator=generator).to(noise.device)
        return {"noise": noise, "position": position}

    def segments(self, time: int) -> int:
        """Return the number of segments of a signal of ``time`` samples."""
        frames, config = self.spectrogram.shape(time)[1], self.config
        return 1 + max(0, -(-(frames - config.context) // config.context_hop))

    def cut(self, signal: Tensor) -> Tensor:
        """Turn ``[batch, channel, time]`` into magnitudes ``[batch * segment, channel, bins, context]``.

        In the last segment, frames beyond the end of the signal are 0.
        """
        config, image = self.config, self.spectrogram.encode(signal) / self.peak
        covered = config.context + (self.segments(signal.shape[-1]) - 1) * config.context_hop
        image = F.pad(image, (0, covered - image.shape[-1]))
        return image.unfold(-1, config.context, config.context_hop).permute(0, 3, 1, 2, 4).flatten(0, 1)

    def join(self, segments: Tensor, batch: int, time: int) -> Tensor:
        """Turn ``[batch * segment, ..., bins, context]`` into ``[batch, ..., bins, frames]``.

        Where segments overlap, the result is their mean.
        """
        config, frames = self.config, self.spectrogram.shape(time)[1]
        columns = segments.unflatten(0, (batch, -1)).movedim(1, -1)  # [batch, ..., bins, context, segment]
        covered = config.context + (columns.shape[-1] - 1) * config.context_hop
        overlap_add = {"kernel_size": (1, config.context), "stride": (1, config.context_hop)}
        flat = columns.reshape(-1, *columns.shape[-2:])
        sums = F.fold(flat, (1, covered), **overlap_add) / F.fold(
            torch.ones_like(flat[:1]), (1, covered), **overlap_add
        )
        return sums.reshape(*columns.shape[:-2], covered)[..., :frames]

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain = level(mixture)
        estimates = self.network(self.cut(mixture / gain))
        images = self.join(estimates, len(mixture), mixture.shape[-1]) * self.peak
        signals = [self.spectrogram.decode(image, mixture) * gain for image in images.unbind(1)]
        return torch.stack(signals, dim=1)


def separator_loss(ssgan: Ssgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return equation 2 in the separator: ``-sum_i w_i E[d_i(s^_i)] + beta E[(sum_i |s^_i|^2 - |x|^2)^2]``."""
    image = ssgan.cut(batch["mixture"] / ssgan.source_level)
    estimates = ssgan.network(image, hyperparameters["noise"] * random["noise"])
    total, parts = torch.zeros_like(hyperparameters["noise"]), dict[str, Tensor]()
    if ssgan.config.energy:
        difference = estimates.square().sum(dim=(1, 2, 3, 4)) - image.square().sum(dim=(1, 2, 3))
        parts["energy"] = (difference / ssgan.mean_energy).square().mean()
        total = total + hyperparameters["energy_weight"] * parts["energy"]
    for i, critic in enumerate(ssgan.critics):
        source = ssgan.signal.sources[i]
        parts[f"score/{source}"] = critic(estimates[:, i]).mean()
        total = total - hyperparameters[f"critic_weight.{source}"] * parts[f"score/{source}"]
    return Loss(total, parts)


def critic_loss(ssgan: Ssgan, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return equation 2 in the critics, ``sum_i w_i (E[d_i(s^_i)] - E[d_i(s_i)] + lambda E[(|grad d_i| - 1)^2])``."""
    with torch.no_grad():
        image = ssgan.cut(batch["mixture"] / ssgan.source_level)
        estimates = ssgan.network(image, hyperparameters["noise"] * random["noise"])
        real = batch["sources"] / ssgan.source_level
    total, parts = torch.zeros_like(hyperparameters["noise"]), dict[str, Tensor]()
    for i, critic in enumerate(ssgan.critics):
        source = ssgan.signal.sources[i]
        terms = critic_terms(critic, ssgan.cut(real[:, i]), estimates[:, i], random["position"][i], "two-sided")
        loss = hyperparameters["gradient_penalty"] * terms.penalty - terms.distance
        total = total + hyperparameters[f"critic_weight.{source}"] * loss
        parts |= {f"distance/{source}": terms.distance, f"penalty/{source}": terms.penalty}
    return Loss(total, parts)

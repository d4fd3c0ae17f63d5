"""Generators and discriminators of waveforms, and the base of the separators that have them (CycleGAN, S-SepGAN).

After "S-SepGAN - GAN based music source separation" (ElAraby, Ni and Vu Tran), section 3, whose generator is that of
CycleGAN (Zhu et al. 2017) with audio as a "one-dimensional image". All signals are ``[batch, channel, time]``.

The paper says that convolutions are strided and one-dimensional; the sizes are those of its notebook (two stride-4
convolutions, 8 residual blocks, nearest-neighbour upsampling, about 5.9 million weights). Neither source gives kernels
and widths, nor anything about the discriminator. Chosen here are 64 channels, doubled by each strided convolution, and
kernels of 15 at both ends, of 8 with stride 4, of 7 after upsampling and of 5 in the blocks. So the default generator
has 5.87 million weights. There is no output activation, since samples in units of the mixture's level go beyond 1.

Normalisation is InstanceNorm, as in CycleGAN, written as a GroupNorm with one group for each channel: this has no
running statistics, which would change in the forward pass, as ``torch.func`` forbids.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import LossFunction, Phase, Separator, Signal, Tensors
from ..errors import UsageError
from .checks import check_choice, check_counts
from .levels import level

STRIDE = 4
AdversarialLoss = Literal["relativistic", "cross-entropy"]


def instance_norm(channels: int) -> nn.GroupNorm:
    """Return an InstanceNorm with gain and offset, and without running statistics."""
    return nn.GroupNorm(channels, channels)


class WaveformResidualBlock(nn.Module):
    """``x + norm(conv(relu(norm(conv(x)))))``, kernels of 5, same size; nothing after the sum, as in CycleGAN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 5, padding=2, bias=False)
        self.first_norm = instance_norm(channels)
        self.second = nn.Conv1d(channels, channels, 5, padding=2, bias=False)
        self.second_norm = instance_norm(channels)
        # A block begins as its shortcut alone (Goyal et al. 2017, 5.1): deep stacks learn from the first epoch on.
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[batch, channels, time]`` of the same shape."""
        branch = F.relu(self.first_norm(self.first(features)))
        result: Tensor = features + self.second_norm(self.second(branch))
        return result


class Upsample(nn.Module):
    """Repeat each sample ``STRIDE`` times: nearest-neighbour upsampling of ``[batch, channel, time]``."""

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[batch, channel, STRIDE time]``."""
        return features[..., None].expand(*features.shape, STRIDE).flatten(-2)


class Generator(nn.Module):
    """Waveforms of any length to waveforms of the same length: ``[b, channels, time] -> [b, channels, time]``.

    Each item is divided by its level and its estimate multiplied by it, so the result does not depend on the unit. The
    signal is zero-padded at its end to a multiple of the strides' product, and the result cropped again.

    Args:
        channels: channels of the signals.
        width: channels after the first convolution.
        blocks: number of residual blocks.
        stages: number of stride-4 convolutions, and of upsamplings.
        shortcut: whether the network's output is added to its input.
    """

    def __init__(
        self, channels: int, width: int = 64, blocks: int = 8, stages: int = 2, shortcut: bool = False
    ) -> None:
        super().__init__()
        self.multiple, self.shortcut = STRIDE**stages, shortcut
        layers: list[nn.Module] = [
            nn.Conv1d(channels, width, 15, padding=7, bias=False),
            instance_norm(width),
            nn.ReLU(),
        ]
        widths = [width * 2**stage for stage in range(stages + 1)]
        for fine, coarse in itertools.pairwise(widths):
            down = nn.Conv1d(fine, coarse, 2 * STRIDE, stride=STRIDE, padding=STRIDE // 2, bias=False)
            layers += [down, instance_norm(coarse), nn.ReLU()]
        layers += [WaveformResidualBlock(widths[-1]) for _ in range(blocks)]
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [Upsample(), nn.Conv1d(coarse, fine, 7, padding=3, bias=False), instance_norm(fine), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, channels, 15, padding=7))

    def forward(self, signal: Tensor) -> Tensor:
        """Return the generated signal."""
        time, gain = signal.shape[-1], level(signal)
        covered = max(time + -time % self.multiple, 2 * self.multiple)  # a norm needs at least two samples
        padded = F.pad(signal / gain, (0, covered - time))
        result: Tensor = self.layers(padded)
        if self.shortcut:
            result = result + padded
        return result[..., :time] * gain


class WaveformDiscriminator(nn.Module):
    """Convolutions of stride 4, a score for each patch: ``[b, channels, time] -> [b, ceil(time / 4^stages)]``.

    PatchGAN, the discriminator of CycleGAN, along time: kernels of 15, LeakyReLU (0.2), channels doubled at each
    stage, InstanceNorm after all but the first. Scores are logits, high for real signals. The head has no bias: a
    relativistic loss does not depend on it.
    """

    def __init__(self, channels: int, width: int = 64, stages: int = 3) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(stages)]
        layers: list[nn.Module] = [nn.Conv1d(channels, width, 15, stride=STRIDE, padding=7), nn.LeakyReLU(0.2)]
        for fine, coarse in itertools.pairwise(widths):
            layers.append(nn.Conv1d(fine, coarse, 15, stride=STRIDE, padding=7, bias=False))
            layers += [instance_norm(coarse), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv1d(widths[-1], 1, 3, padding=1, bias=False))
        self.shortest = STRIDE**stages + 1  # with fewer samples a norm would get less than two

    def forward(self, signal: Tensor) -> Tensor:
        """Return the scores of the patches."""
        scores: Tensor = self.layers(F.pad(signal, (0, max(0, self.shortest - signal.shape[-1]))))
        return scores[..., 0, :]


def discriminator_loss(kind: AdversarialLoss, real: Tensor, *fakes: tuple[Tensor, Tensor | float]) -> Tensor:
    """Return a discriminator's loss, from its scores for real signals and for one or more kinds of fake ones.

    ``relativistic`` is the relativistic average least-squares loss (Jolicoeur-Martineau 2019). The kinds of fakes f_k
    have weights w_k, in their own terms and in the mean fake score::

        E_real[(D(r) - sum_k w_k E[D(f_k)] / sum_k w_k - 1)^2] + sum_k w_k E[(D(f_k) - E[D(r)] + 1)^2]

    ``cross-entropy`` are the equations of the S-SepGAN paper: ``-E[log D(r)] - sum_k w_k E[log(1 - D(f_k))]`` (printed
    as ``1 - log D``), where D is the sigmoid of the score.

    Args:
        kind: name of the loss.
        real: scores of real signals, of any shape.
        fakes: for each kind of fake its scores, of any shape, and its weight; the first weight is above 0.
    """
    if kind == "cross-entropy":
        return F.softplus(-real).mean() + sum((w * F.softplus(f).mean() for f, w in fakes), start=real.new_zeros(()))
    pairs = [(scores, torch.as_tensor(weight, device=real.device)) for scores, weight in fakes]
    average = torch.stack([w * f.mean() for f, w in pairs]).sum() / torch.stack([w for _, w in pairs]).sum()
    rejected = torch.stack([w * (f - real.mean() + 1).square().mean() for f, w in pairs]).sum()
    return (real - average - 1).square().mean() + rejected


def adversarial_loss(kind: AdversarialLoss, real: Tensor, fake: Tensor) -> Tensor:
    """Return a generator's adversarial loss, from its discriminator's scores.

    ``relativistic``: ``E[(D(f) - E[D(r)] - 1)^2] + E[(D(r) - E[D(f)] + 1)^2]``; ``cross-entropy``: ``-E[log D(f)]``,
    the form of Goodfellow et al. (2014) that does not saturate.
    """
    if kind == "cross-entropy":
        return F.softplus(-fake).mean()
    return (fake - real.mean() - 1).square().mean() + (real - fake.mean() + 1).square().mean()


class Windows(NamedTuple):
    """The part of each training item that a step sees.

    Attributes:
        samples: length of a window.
        start: first sample of each window, ``[batch]`` or ``[batch, source]``; None if items are no longer than a
            window.
    """

    samples: int
    start: Tensor | None

    def cut(self, signal: Tensor) -> Tensor:
        """Cut ``[batch, ..., time]`` to ``[batch, ..., samples]``; without starts nothing is cut."""
        if self.start is None:
            return signal
        offset = torch.arange(self.samples, device=signal.device)
        index = self.start.reshape(*self.start.shape, *[1] * (signal.ndim - self.start.ndim)) + offset
        return signal.gather(-1, index.expand(*signal.shape[:-1], self.samples))


def draw_starts(time: int, samples: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw the numbers of the first samples of windows, uniformly.

    Args:
        time: samples of an item.
        samples: samples of a window, at most ``time``.
        shape: shape of the tensor to return.
        generator: source of the random numbers.

    Returns:
        integers from 0 to ``time - samples``.
    """
    return torch.randint(time - samples + 1, tuple(shape), generator=generator)


@dataclass(frozen=True)
class WaveformConfig:
    """Structure of the networks; all trials of a study share it."""

    wanted: tuple[str, ...] = ()
    """Names of the sources that get a generator; none: all. The others share the rest of the mixture equally."""
    width: int = 64
    """Channels after the first convolution of a generator; each strided one doubles them."""
    blocks: int = 8
    """Residual blocks of a generator."""
    stages: int = 2
    """Stride-4 convolutions of a generator."""
    shortcut: bool = False
    """Add a generator's input to its output, so that it learns what to take away; not in the paper."""
    discriminator_width: int = 64
    """Channels after the first convolution of a discriminator."""
    discriminator_stages: int = 3
    """Stride-4 convolutions of a discriminator."""
    objective: AdversarialLoss = "relativistic"
    """Adversarial loss: relativistic average least squares, or the paper's equations (cross-entropy)."""
    window: int = 16384
    """Samples of a training item that a step sees, from a random start (1.024 s at the paper's 16 kHz)."""
    batch_size: int = 10
    """Items in a batch."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        sizes = ("width", "blocks", "stages", "discriminator_width", "discriminator_stages", "window", "batch_size")
        check_counts(self, sizes)
        check_choice(self, "objective", AdversarialLoss)
        if len(set(self.wanted)) < len(self.wanted):
            raise UsageError(f"wanted must name each source once, not {', '.join(self.wanted)}")

    def generators(self, signal: Signal) -> nn.ModuleList:
        """Return a generator for each wanted source."""
        size = (signal.channels, self.width, self.blocks, self.stages, self.shortcut)
        return nn.ModuleList(Generator(*size) for _ in self.wanted or signal.sources)

    def discriminators(self, signal: Signal) -> nn.ModuleList:
        """Return a discriminator for each wanted source."""
        size = (signal.channels, self.discriminator_width, self.discriminator_stages)
        return nn.ModuleList(WaveformDiscriminator(*size) for _ in self.wanted or signal.sources)


class WaveformSeparator(Separator):
    """Base of separators with a generator (mixture to source) and a discriminator for each wanted source.

    Attributes:
        wanted: index and name of each source that has a generator, in the order of the config.

    Raises:
        UsageError: the signal is of another kind, or a wanted source is none of the task's.
    """

    def __init__(self, signal: Signal, config: WaveformConfig) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.sample_rate is None or len(signal.sources) < 2:
            raise UsageError(f"waveform networks separate one-dimensional signals of at least 2 sources, not {signal}")
        if unknown := [name for name in config.wanted if name not in signal.sources]:
            raise UsageError(f"wanted {', '.join(unknown)} is not among the sources {', '.join(signal.sources)}")
        self.config = config
        self.wanted = [(signal.sources.index(name), name) for name in config.wanted or signal.sources]
        self.generators = config.generators(signal)
        self.discriminators = config.discriminators(signal)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, any ``time``, into ``[batch, source, channel, time]``.

        Sources without a generator share the rest of the mixture equally: with two sources and one generator, the
        other estimate is mixture minus estimate.
        """
        estimates = {index: self.generators[k](mixture) for k, (index, _) in enumerate(self.wanted)}
        count = len(self.signal.sources)
        rest = (mixture - torch.stack([*estimates.values()]).sum(0)) / max(1, count - len(estimates))
        return torch.stack([estimates.get(index, rest) for index in range(count)], dim=1)

    def adversarial_phases(
        self,
        generators: tuple[str, ...],
        generators_loss: LossFunction,
        discriminators: tuple[str, ...],
        discriminators_loss: LossFunction,
    ) -> tuple[Phase, Phase]:
        """Return the generators' update and the discriminators', which is skipped where ``adversarial_weight`` is 0.

        Args:
            generators: names of the modules that the first update changes.
            generators_loss: loss of the first update, whose random tensors are those of ``draw``.
            discriminators: names of the modules that the second update changes.
            discriminators_loss: loss of the second update.
        """
        return (
            Phase("generators", generators, "generator_learning_rate", generators_loss, self.draw),
            Phase(
                "discriminators",
                discriminators,
                "discriminator_learning_rate",
                discriminators_loss,
                active="adversarial_weight",
            ),
        )

    def starts(self, items: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each tensor of window starts that a step needs."""
        raise TypeError(f"{type(self).__name__} must define starts()")

    def draw(self, batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw where windows start (see ``starts``); nothing if items are no longer than a window."""
        mixture, samples = batch["mixture"], self.config.window
        items, time = mixture.shape[0], mixture.shape[-1]
        if time <= samples:
            return {}
        shapes = self.starts(items)
        return {name: draw_starts(time, samples, shape, generator).to(mixture.device) for name, shape in shapes.items()}


def score(discriminator: nn.Module, *signals: Tensor) -> tuple[Tensor, ...]:
    """Return a discriminator's scores ``[batch, patch]`` of several batches of signals, in one pass.

    Args:
        discriminator: a ``WaveformDiscriminator``.
        signals: ``[batch, channel, time]``, all of one shape.
    """
    scores: Tensor = discriminator(torch.cat(signals))
    return scores.chunk(len(signals))

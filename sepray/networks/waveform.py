"""Residual networks over waveforms, and a relativistic adversary, shared by separators.

After "S-SepGAN - GAN based music source separation" (ElAraby, Ni and Vu Tran), section 3, whose generator is that of
CycleGAN (Zhu et al. 2017) with audio as "one-dimensional image". Imports nothing from sepray but the contracts. All
signals are ``[batch, channel, time]``.

The paper says that convolutions are strided and one-dimensional; the sizes are those of its notebook (two stride-4
convolutions, 8 residual blocks, nearest-neighbour upsampling, about 5.9 million weights). Neither gives kernels and
widths, nor anything of the discriminator. Chosen here, so that the default generator has 5.87 million weights: 64
channels, doubled by each strided convolution; kernels of 15 at the ends, of 8 with stride 4, of 7 after upsampling,
of 5 in the blocks. There is no output activation, since samples in units of the mixture's level go beyond 1.

Normalisation is InstanceNorm, as in CycleGAN, written as a GroupNorm of one channel a group: it has no running
statistics, which change in the forward pass, as ``torch.func`` forbids.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Separator, Signal

STRIDE = 4
Objective = Literal["relativistic", "cross-entropy"]


def level(signal: Tensor) -> Tensor:
    """Return the root mean square of each item, ``[..., 1, 1]`` of ``[..., channel, time]``; silence is 1e-8."""
    return signal.square().mean(dim=(-2, -1), keepdim=True).sqrt().clamp(min=1e-8)


def instance_norm(channels: int) -> nn.GroupNorm:
    """Return an InstanceNorm with gain and offset, and without running statistics."""
    return nn.GroupNorm(channels, channels)


class ResidualBlock(nn.Module):
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
        """Apply the block."""
        branch = F.relu(self.first_norm(self.first(features)))
        result: Tensor = features + self.second_norm(self.second(branch))
        return result


class Upsample(nn.Module):
    """Repeat each sample ``STRIDE`` times: nearest-neighbour upsampling of ``[batch, channel, time]``."""

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[batch, channel, STRIDE time]``."""
        return features[..., None].expand(*features.shape, STRIDE).flatten(-2)


class Generator(nn.Module):
    """Waveform to waveform of the same length, whatever that is: ``[b, channels, time] -> [b, channels, time]``.

    Each item is divided by its level and its estimate multiplied by it, so the result is the same in any unit. The
    signal is followed by zeros up to a multiple of the strides' product, and cropped again.

    Args:
        channels: of the signals.
        width: channels of the first convolution.
        blocks: residual blocks.
        stages: stride-4 convolutions, and upsamplings.
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
        layers += [ResidualBlock(widths[-1]) for _ in range(blocks)]
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [Upsample(), nn.Conv1d(coarse, fine, 7, padding=3, bias=False), instance_norm(fine), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, channels, 15, padding=7))

    def forward(self, signal: Tensor) -> Tensor:
        """Return the generated signal."""
        time, gain = signal.shape[-1], level(signal)
        covered = max(time + -time % self.multiple, 2 * self.multiple)  # a norm needs two samples at least
        padded = F.pad(signal / gain, (0, covered - time))
        result: Tensor = self.layers(padded)
        if self.shortcut:
            result = result + padded
        return result[..., :time] * gain


class Discriminator(nn.Module):
    """Convolutions of stride 4, a score for each patch: ``[b, channels, time] -> [b, ceil(time / 4^stages)]``.

    PatchGAN, the discriminator of CycleGAN, along time: kernels of 15, LeakyReLU (0.2), channels doubled at each
    stage, InstanceNorm after all but the first. Scores are logits, high for real signals. The head has no offset: a
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
        self.shortest = STRIDE**stages + 1  # samples that leave two to each norm

    def forward(self, signal: Tensor) -> Tensor:
        """Return the scores of the patches."""
        scores: Tensor = self.layers(F.pad(signal, (0, max(0, self.shortest - signal.shape[-1]))))
        return scores[..., 0, :]


def discriminator_loss(objective: Objective, real: Tensor, *fakes: tuple[Tensor, Tensor | float]) -> Tensor:
    """Return what a discriminator minimises, of its scores for real signals and for one or more kinds of fake ones.

    ``relativistic``, the relativistic average least-squares loss (Jolicoeur-Martineau 2019), with weights w_k of the
    kinds f_k, which count in the mean fake score by their weight::

        E_real[(D(r) - sum_k w_k E[D(f_k)] / sum_k w_k - 1)^2] + sum_k w_k E[(D(f_k) - E[D(r)] + 1)^2]

    ``cross-entropy``, the equations of the S-SepGAN paper: ``-E[log D(r)] - sum_k w_k E[log(1 - D(f_k))]`` (they read
    ``1 - log D``), where D is the sigmoid of the score.

    Args:
        objective: which of them.
        real: scores, of any shape.
        fakes: the scores of each kind, of any shape, and the kind's weight; the first weight is above 0.
    """
    if objective == "cross-entropy":
        return F.softplus(-real).mean() + sum((w * F.softplus(f).mean() for f, w in fakes), start=real.new_zeros(()))
    pairs = [(scores, torch.as_tensor(weight, device=real.device)) for scores, weight in fakes]
    average = torch.stack([w * f.mean() for f, w in pairs]).sum() / torch.stack([w for _, w in pairs]).sum()
    rejected = torch.stack([w * (f - real.mean() + 1).square().mean() for f, w in pairs]).sum()
    return (real - average - 1).square().mean() + rejected


def adversarial_loss(objective: Objective, real: Tensor, fake: Tensor) -> Tensor:
    """Return what a generator minimises, of its discriminator's scores.

    ``relativistic``: ``E[(D(f) - E[D(r)] - 1)^2] + E[(D(r) - E[D(f)] + 1)^2]``; ``cross-entropy``: ``-E[log D(f)]``,
    the form of Goodfellow et al. (2014) that does not saturate.
    """
    if objective == "cross-entropy":
        return F.softplus(-fake).mean()
    return (fake - real.mean() - 1).square().mean() + (real - fake.mean() + 1).square().mean()


class Windows(NamedTuple):
    """Which part of each training item a step looks at.

    Attributes:
        samples: of a window.
        start: of each window, ``[batch]`` or ``[batch, source]``; None where items are no longer than a window.
    """

    samples: int
    start: Tensor | None

    def cut(self, signal: Tensor) -> Tensor:
        """Return ``[batch, ..., samples]`` of ``[batch, ..., time]``, or all of it."""
        if self.start is None:
            return signal
        offset = torch.arange(self.samples, device=signal.device)
        index = self.start.reshape(*self.start.shape, *[1] * (signal.ndim - self.start.ndim)) + offset
        return signal.gather(-1, index.expand(*signal.shape[:-1], self.samples))


def draw_starts(time: int, samples: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return the starts of windows of so many samples in items of ``time`` samples, each as likely."""
    return torch.randint(time - samples + 1, tuple(shape), generator=generator)


@dataclass(frozen=True)
class WaveformConfig:
    """Structure of the networks; all trials of a study share it."""

    wanted: tuple[str, ...] = ()
    """Sources that have a generator; none named: all. The others share what these leave of the mixture."""
    width: int = 64
    """Channels after the first convolution of a generator; each strided one doubles them."""
    blocks: int = 8
    """Residual blocks of a generator."""
    stages: int = 2
    """Stride-4 convolutions of a generator."""
    shortcut: bool = False
    """Add a generator's output to its input, so that it learns what to take away; the paper has no such thing."""
    discriminator_width: int = 64
    """Channels after the first convolution of a discriminator."""
    discriminator_stages: int = 3
    """Stride-4 convolutions of a discriminator."""
    objective: Objective = "relativistic"
    """Of the adversaries: relativistic average least squares, or the paper's equations (cross-entropy)."""
    window: int = 16384
    """Samples of a training item that a step looks at, at a place drawn at random (1.024 s at the paper's 16 kHz)."""
    batch_size: int = 10
    """Items in a batch."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        sizes = ("width", "blocks", "stages", "discriminator_width", "discriminator_stages", "window", "batch_size")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.objective not in get_args(Objective):
            raise ValueError(f"objective must be one of {', '.join(get_args(Objective))}, not {self.objective!r}")
        if len(set(self.wanted)) < len(self.wanted):
            raise ValueError(f"wanted must name each source once, not {', '.join(self.wanted)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {self.betas}")

    def generators(self, signal: Signal) -> nn.ModuleList:
        """Return a generator for each wanted source."""
        size = (signal.channels, self.width, self.blocks, self.stages, self.shortcut)
        return nn.ModuleList(Generator(*size) for _ in self.wanted or signal.sources)

    def discriminators(self, signal: Signal) -> nn.ModuleList:
        """Return a discriminator for each wanted source."""
        size = (signal.channels, self.discriminator_width, self.discriminator_stages)
        return nn.ModuleList(Discriminator(*size) for _ in self.wanted or signal.sources)


class WaveformSeparator(Separator):
    """Base of the separators that have a generator, mixture to source, for each wanted source.

    Attributes:
        wanted: index and name of each source that has a generator, in the order of the config.

    Raises:
        ValueError: another kind of signal, or a wanted source that the task does not have.
    """

    def __init__(self, signal: Signal, config: WaveformConfig) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.sample_rate is None or len(signal.sources) < 2:
            raise ValueError(f"waveform networks separate one-dimensional signals of at least 2 sources, not {signal}")
        if unknown := [name for name in config.wanted if name not in signal.sources]:
            raise ValueError(f"wanted {', '.join(unknown)} is not among the sources {', '.join(signal.sources)}")
        self.config = config
        self.wanted = [(signal.sources.index(name), name) for name in config.wanted or signal.sources]
        self.generators = config.generators(signal)
        self.discriminators = config.discriminators(signal)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, any ``time``, into ``[batch, source, channel, time]``.

        Sources without a generator share equally what the others leave: of two the other is mixture minus estimate.
        """
        found = {index: self.generators[k](mixture) for k, (index, _) in enumerate(self.wanted)}
        count = len(self.signal.sources)
        rest = (mixture - torch.stack([*found.values()]).sum(0)) / max(1, count - len(found))
        return torch.stack([found.get(index, rest) for index in range(count)], dim=1)

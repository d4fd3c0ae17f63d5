"""Adversarial semi-supervised separation (Stoller, Ewert and Dixon 2017; S-SepGAN 2.4.2): a few items are paired.

A U-Net f turns the magnitudes of a mixture into those of its K >= 2 sources. Paired items (m, s) train it by their
error. Unpaired mixtures m' and unpaired samples of each source train it by one Wasserstein critic D_k for each source,
and by how well the estimates add up to their mixture::

    separator:  min  L_s + alpha L_u + beta L_add
                     L_s = sum_k E[(f(m)_k - s_k)^2],  L_u = -sum_k E[D_k(f(m')_k)],  L_add = E[(sum_k f(m')_k - m')^2]
    critics:    min  sum_k E[D_k(f(m')_k)] - E[D_k(s'_k)] + lambda E[max(0, |grad D_k(x_k)| - 1)^2]

with lambda = ``gradient_penalty``, s'_k a real source that belongs to no known mixture, and x_k uniformly between it
and an estimate. The penalty is one-sided, as the text says (the printed square is two-sided).

The platform gives ``paired_fraction`` of the training items with their sources; of the others it gives mixtures, and
sources in independent orders (``Supervision.SEMI_PAIRED``). Defaults are the published settings for 8192 Hz, where
items of two seconds are the published 64 frames. What the text leaves open, and what is chosen here:

- Squared errors are means over channels, bins and frames, summed over sources. f, L_s and the critics work on
  log(1 + magnitude). L_add compares magnitudes themselves, since those nearly add up and their logarithms do not.
- Mixtures and sources, paired or not, are divided by the root mean square of all training mixtures, so that no critic
  can tell estimates by their loudness. In separation a mixture is divided by its own level, so that any unit is taken.
- Estimates are magnitudes behind a ReLU, with the mixture's phase; masks would add up whatever the network does. They
  start near the mixture, since a ReLU that is shut has no gradient.
- Critics have ``critic_layers`` 4x4 convolutions of stride 2 that double the channels, with LeakyReLU(0.2). Then come
  the sum over all positions, a hidden layer of 32 units and a linear one without bias. The sum is divided by the root
  of the number of positions, so that the slope hardly depends on an item's length. Weights start as He et al. (2015)
  propose. There is no normalisation, here or in the U-Net. A step is ``critic_steps`` updates of the critics, then one
  of the separator.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..contracts import Loss, Phase, Separator, Signal, Supervision, Tensors
from ..errors import UsageError
from ..networks.checks import check_counts
from ..networks.critics import critic_terms
from ..networks.levels import joint_level, level
from ..networks.unet import UNet
from ..signals.stft import Spectrogram


@dataclass(frozen=True)
class Config:
    """Structure of the networks and of the spectrogram, and the paired share of the data."""

    paired_fraction: float = 0.1
    """Share of the training items that come with their sources, above 0 and below 1."""
    n_fft: int = 512
    """Samples in a frame of the STFT."""
    hop: int = 256
    """Samples from one frame to the next."""
    filters: int = 16
    """Channels of the U-Net at full resolution."""
    levels: int = 4
    """Number of times that the U-Net halves bins and frames, doubling the channels."""
    critic_filters: int = 32
    """Channels after the first layer of the critics."""
    critic_layers: int = 4
    """Convolutions of the critics, each of which halves bins and frames; at most levels."""
    critic_steps: int = 5
    """Updates of the critics for each update of the separator."""
    batch_size: int = 64
    """Items in a batch. A step takes three batches: paired items, unpaired mixtures and unpaired sources."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        check_counts(self, ("filters", "levels", "critic_filters", "critic_layers", "critic_steps", "batch_size"))
        if self.critic_layers > self.levels:
            raise UsageError(f"critic_layers must be at most levels = {self.levels}, not {self.critic_layers}")
        if not 0 < self.paired_fraction < 1:
            raise UsageError(f"paired_fraction must be above 0 and below 1, not {self.paired_fraction}")
        Spectrogram(self.n_fft, self.hop, "magnitude")

    def build(self, signal: Signal) -> SemiAdversarial:
        """Return the separator with freshly initialised weights."""
        return SemiAdversarial(signal, self)


SMALL = Config(n_fft=256, hop=128, filters=8, critic_filters=8, batch_size=16, critic_steps=2)
"""Configuration for half-second items at 8 kHz and CPUs: narrower, with shorter frames and fewer critic steps."""
DEBUG = Config(
    paired_fraction=0.25, n_fft=32, hop=16, filters=4, levels=2, critic_filters=4, critic_layers=2, critic_steps=2
)


class LogMagnitudeCritic(nn.Module):
    """A critic: log magnitudes ``[batch, channel, bins, frames]`` to scores ``[batch]``.

    Bins and frames are at least ``2^layers`` each.
    """

    def __init__(self, channels: int, filters: int, layers: int) -> None:
        super().__init__()
        widths = [channels, *(filters * 2**layer for layer in range(layers))]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in itertools.pairwise(widths)
        )
        self.hidden = nn.Linear(widths[-1], 32)
        self.head = nn.Linear(32, 1, bias=False)
        for layer in (*self.convolutions, self.hidden, self.head):
            nn.init.kaiming_normal_(layer.weight, a=0.2)

    def forward(self, image: Tensor) -> Tensor:
        """Return one score for each image, high for real ones."""
        for convolution in self.convolutions:
            image = F.leaky_relu(convolution(image), 0.2)
        pooled = image.flatten(2).sum(dim=2) / math.sqrt(image.shape[-2] * image.shape[-1])
        scores: Tensor = self.head(F.leaky_relu(self.hidden(pooled), 0.2))
        return scores[:, 0]


class SemiAdversarial(Separator):
    """The separator; see the module's description."""

    supervision = Supervision.SEMI_PAIRED
    source_level: Tensor

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        sources, channels = len(signal.sources), signal.channels
        if sources < 2 or len(signal.shape) != 1:
            raise UsageError(f"semi_adversarial separates one-dimensional signals of at least 2 sources, not {signal}")
        self.paired_fraction = config.paired_fraction
        self.critic_steps = config.critic_steps
        self.spectrogram = Spectrogram(config.n_fft, config.hop, "magnitude", 2**config.levels)
        self.network = UNet(channels, sources * channels, config.filters, config.levels)
        with torch.no_grad():  # the head's last inputs are the mixture's channels: each estimate starts near these
            self.network.head.weight[:, -channels:, 0, 0] = torch.eye(channels).repeat(sources, 1)
        self.critics = nn.ModuleList(
            LogMagnitudeCritic(channels, config.critic_filters, config.critic_layers) for _ in signal.sources
        )
        self.register_buffer("source_level", torch.ones(()))

    def hyperparameters(self) -> dict[str, float]:
        """Return the published values; with ``unpaired = 0`` L_s is the only term."""
        return {
            "unpaired": 1.0,
            "alpha": 1e-3,
            "beta": 1e-3,
            "gradient_penalty": 10.0,
            "separator_learning_rate": 5e-5,
            "critic_learning_rate": 5e-5,
        }

    def prepare(self, data: Tensors) -> None:
        """Measure the level of the training mixtures."""
        self.source_level.copy_(joint_level(data["mixture"]))

    def phases(self) -> tuple[Phase, ...]:
        """Return ``critic_steps`` updates of the critics, then one of the separator."""
        critics = Phase(
            "critics",
            ("critics",),
            "critic_learning_rate",
            critic_loss,
            draw=draw,
            repeats=self.critic_steps,
            own_batches=True,
            active="unpaired",
        )
        return critics, Phase("separator", ("network",), "separator_learning_rate", separator_loss)

    def image(self, signal: Tensor) -> Tensor:
        """Return the log magnitudes ``[batch, channel, bins, frames]`` of ``[batch, channel, time]``."""
        return self.spectrogram.encode(signal).log1p()

    def images(self, sources: Tensor) -> Tensor:
        """Return log magnitudes ``[batch, source, channel, bins, frames]`` of ``[batch, source, channel, time]``."""
        images: Tensor = self.image(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
        return images

    def estimate(self, image: Tensor) -> Tensor:
        """Return the sources' log magnitudes ``[batch, source, channel, bins, frames]``.

        Args:
            image: the mixtures' log magnitudes, ``[batch, channel, bins, frames]``.
        """
        estimates: Tensor = F.relu(self.network(image)).unflatten(1, (len(self.signal.sources), -1))
        return estimates

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channel, time]``, ``time >= n_fft``, into ``[batch, source, channel, time]``."""
        gain = level(mixture)
        magnitudes = self.estimate(self.image(mixture / gain)).expm1()
        signals = [self.spectrogram.decode(magnitude, mixture) * gain for magnitude in magnitudes.unbind(1)]
        return torch.stack(signals, dim=1)


def draw(batch: Tensors, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw ``position [source, batch]``, uniform in 0..1: the places of the gradient penalty (``critic_terms``)."""
    items, sources = batch["sources"].shape[:2]
    return {"position": torch.rand((sources, items), generator=generator).to(batch["sources"].device)}


def critic_loss(separator: SemiAdversarial, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return ``sum_k E[D_k(f(m')_k)] - E[D_k(s'_k)] + lambda E[max(0, |grad D_k(x_k)| - 1)^2]``."""
    with torch.no_grad():
        fake = separator.estimate(separator.image(batch["mixture"] / separator.source_level))
        real = separator.images(batch["sources"] / separator.source_level)
    total, parts = torch.zeros_like(hyperparameters["alpha"]), dict[str, Tensor]()
    for k, critic in enumerate(separator.critics):
        terms = critic_terms(critic, real[:, k], fake[:, k], random["position"][k], "one-sided")
        total = total + hyperparameters["gradient_penalty"] * terms.penalty - terms.distance
        source = separator.signal.sources[k]
        parts |= {f"distance/{source}": terms.distance, f"penalty/{source}": terms.penalty}
    return Loss(total, parts)


def separator_loss(separator: SemiAdversarial, batch: Tensors, hyperparameters: Tensors, random: Tensors) -> Loss:
    """Return ``L_s + unpaired (alpha L_u + beta L_add)``; see the module's description."""
    mixture, paired = batch["mixture"], batch["paired_mixture"]
    images = separator.image(torch.cat((paired, mixture)) / separator.source_level)
    known, free = separator.estimate(images).split((len(paired), len(mixture)))
    truth = separator.images(batch["paired_sources"] / separator.source_level)
    supervised = (known - truth).square().mean(dim=(0, 2, 3, 4)).sum()
    additive = F.mse_loss(free.expm1().sum(dim=1), images[len(paired) :].expm1())
    if "unpaired" in separator.off:
        return Loss(supervised, {"supervised": supervised, "additive": additive})
    unsupervised = -torch.stack([critic(free[:, k]).mean() for k, critic in enumerate(separator.critics)]).sum()
    weighted = hyperparameters["alpha"] * unsupervised + hyperparameters["beta"] * additive
    total = supervised + hyperparameters["unpaired"] * weighted
    return Loss(total, {"supervised": supervised, "unsupervised": unsupervised, "additive": additive})

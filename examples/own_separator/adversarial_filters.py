"""A separator of your own: a filter for each source, and for each a discriminator of true sources and estimates.

The filters minimise their squared error plus ``adversarial`` times what the discriminators hold against them; the
discriminators learn to give 1 to true sources and 0 to estimates (least squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sepray.contracts import Loss, Phase, Separator, Signal, Tensors
from sepray.errors import UsageError


@dataclass(frozen=True)
class Config:
    """Structure of the filters and the discriminators; all trials of a study share it."""

    taps: int = 33
    """Length of a filter in samples, an odd number."""
    width: int = 8
    """Channels of a discriminator."""
    batch_size: int = 32
    """Items in a batch."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moments."""

    def __post_init__(self) -> None:
        if self.taps < 1 or self.taps % 2 == 0:
            raise UsageError(f"taps must be an odd number above 0, not {self.taps}")

    def build(self, signal: Signal) -> AdversarialFilters:
        """Return the separator with freshly initialised weights."""
        return AdversarialFilters(signal, self)


DEBUG = Config(taps=5, width=2, batch_size=8)


class AdversarialFilters(Separator):
    """The separator. It sees mixtures with their sources, as ``supervision`` says where nothing else is given."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        if len(signal.shape) != 1 or signal.channels != 1:
            raise UsageError("adversarial_filters separates signals of one channel, no images")
        count = len(signal.sources)
        self.filters = nn.Conv1d(1, count, config.taps, padding=config.taps // 2, bias=False)
        self.discriminators = nn.Sequential(
            nn.Conv1d(count, config.width * count, 9, stride=4, groups=count),
            nn.LeakyReLU(0.2),
            nn.Conv1d(config.width * count, count, 9, stride=4, groups=count),
        )

    def hyperparameters(self) -> dict[str, float]:
        """Return everything that a study may search, with its default."""
        return {"learning_rate": 1e-2, "discriminator_learning_rate": 1e-3, "adversarial": 0.01}

    def phases(self) -> tuple[Phase, ...]:
        """Return the two updates of a step. The second is skipped where ``adversarial`` is 0."""
        return (
            Phase("filters", ("filters",), "learning_rate", filter_loss),
            Phase(
                "discriminators",
                ("discriminators",),
                "discriminator_learning_rate",
                discriminator_loss,
                active="adversarial",
            ),
        )

    def estimate(self, mixture: Tensor) -> Tensor:
        """Return ``[batch, source, 1, time]`` from ``[batch, 1, time]``, with gradients."""
        estimates: Tensor = self.filters(mixture)[:, :, None]
        return estimates

    def judge(self, sources: Tensor) -> Tensor:
        """Return the discriminators' opinions ``[batch, source, frame]`` of ``[batch, source, 1, time]``."""
        opinions: Tensor = self.discriminators(sources[:, :, 0])
        return opinions

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Turn ``[batch, 1, time]`` into ``[batch, source, 1, time]``, mixtures of any length."""
        return self.estimate(mixture)


def filter_loss(separator: AdversarialFilters, batch: Tensors, weights: Tensors, random: Tensors) -> Loss:
    """Return the filters' loss, and hand the estimates on to the discriminators' phase."""
    estimates = separator.estimate(batch["mixture"])
    error = (estimates - batch["sources"]).square().mean()
    fooled = (separator.judge(estimates) - 1).square().mean()
    total = error + weights["adversarial"] * fooled
    return Loss(total, {"error": error, "fooled": fooled}, {"estimates": estimates.detach()})


def discriminator_loss(separator: AdversarialFilters, batch: Tensors, weights: Tensors, random: Tensors) -> Loss:
    """Return the discriminators' loss on true sources and on the estimates of the same mixtures."""
    true = (separator.judge(batch["sources"]) - 1).square().mean()
    false = separator.judge(batch["estimates"]).square().mean()
    return Loss(true + false, {"true": true, "false": false})

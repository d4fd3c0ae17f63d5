"""Separators that take simulated time: every part of their training advances a clock that the test holds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sepray.contracts import Loss, Phase, Separator, Signal


class SimulatedClock:
    """A clock whose time advances only when the code sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


CLOCK = SimulatedClock()
BUILT: list[object] = []
"""Configurations that were built."""


@dataclass(frozen=True)
class Config:
    """Seconds that the parts of a training take."""

    build_seconds: float = 0.5
    prepare_seconds: float = 1.5
    outer_seconds: tuple[float, ...] = (4.0, 1.0, 3.0)
    """Seconds of ``before_epoch`` in each epoch; later epochs take as long as the last value says."""
    first_seconds: float = 0.25
    """Seconds of an update of the first phase."""
    second_seconds: float = 0.125
    """Seconds of an update of the second phase, which runs twice in each step."""
    warm_up_seconds: float = 7.0
    """Seconds that the very first update takes beside ``first_seconds``."""
    first_build_seconds: float = 0.0
    """Seconds that building takes beside ``build_seconds`` where ``BUILT`` is empty."""
    separate_seconds: float = 0.01
    """Seconds of separating one item."""
    fits: bool = False
    """Whether the method has no phases."""
    diverges_at: int = -1
    """Epoch whose first loss is not finite."""
    batch_size: int = 4
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> Clockwork:
        CLOCK.now += self.build_seconds + (0.0 if BUILT else self.first_build_seconds)
        BUILT.append(self)
        return Clockwork(signal, self)


class Clockwork(Separator):
    """A separator that multiplies the mixture by two gains, and records what it was given."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.config = config
        self.gains = nn.Parameter(torch.ones(2))
        self.other = nn.Parameter(torch.ones(3))
        self.register_buffer("level", torch.ones(5))
        self.batches: list[int] = []
        self.seen: list[int] = []
        self.separated: list[int] = []
        self.epoch = 0

    def hyperparameters(self):
        return {"rate": 0.01, "adversarial": 1.0}

    def prepare(self, data):
        CLOCK.now += self.config.prepare_seconds

    def before_epoch(self, data, epoch, generator):
        self.epoch = epoch
        self.seen.append(len(data["mixture"]))
        CLOCK.now += self.config.outer_seconds[min(epoch, len(self.config.outer_seconds) - 1)]
        return data

    def phases(self):
        if self.config.fits:
            return ()
        return (
            Phase("first", ("gains",), "rate", first_loss),
            Phase("second", ("other",), "rate", second_loss, repeats=2, active="adversarial"),
        )

    def fit_epoch(self, data, hyperparameters, generator):
        CLOCK.now += 20.0 if self.epoch == 0 else 5.0
        return {"error": 1.0}

    def separate(self, mixture):
        self.separated.append(len(mixture))
        CLOCK.now += self.config.separate_seconds * len(mixture)
        return (mixture[:, None] * self.gains.detach()[:, None, None]).detach()


def first_loss(separator, batch, hyperparameters, random):
    config = separator.config
    CLOCK.now += config.first_seconds + (0 if separator.batches else config.warm_up_seconds)
    separator.batches.append(len(batch["mixture"]))
    error = (separator.gains - 1).square().sum()
    total = error / 0 if separator.epoch == config.diverges_at else error
    return Loss(total, {"mse": error})


def second_loss(separator, batch, hyperparameters, random):
    CLOCK.now += separator.config.second_seconds
    error = separator.other.square().sum()
    return Loss(error, {"adversarial": error})

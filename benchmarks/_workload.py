"""The work of all contenders of ``study_efficiency.py``: as a separator and a task of sepray, and as a plain loop."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from sepray.contracts import Loss, Phase, Separator, Signal, Split, TaskData, Tensors
from sepray.training.trainer import batches

SAMPLES = 504
"""Samples in a mixture, as in the ecg task."""
BATCH = 50
HELD = 100
"""Number of validation mixtures."""


@dataclass(frozen=True)
class Config:
    """A network of three convolutions; if ``train`` is false, without phases, so that an epoch costs nothing."""

    width: int = 16
    train: bool = True
    batch_size: int = BATCH
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> Network:
        """Return the separator with freshly initialised weights."""
        return Network(signal, self)


class Network(Separator):
    """Estimates all sources at once in the time domain."""

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.train_at_all = config.train
        sizes = [signal.channels, config.width, config.width, len(signal.sources)]
        layers = [nn.Conv1d(i, o, 9, padding=4) for i, o in pairwise(sizes)]
        self.layers = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def hyperparameters(self) -> dict[str, float]:
        """Return the learning rate and the weight of the loss."""
        return {"learning_rate": 1e-3, "weight": 1.0}

    def estimate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, 1, time]`` into ``[batch, source, 1, time]``."""
        estimate: Tensor = self.layers(mixture).unsqueeze(2)
        return estimate

    def loss(self, module: Network, batch: Tensors, weights: Tensors, random: Tensors) -> Loss:
        """Return the weighted mean squared error."""
        error = (module.estimate(batch["mixture"]) - batch["sources"]).square().mean()
        return Loss(weights["weight"] * error, {"mse": error})

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase; none if there is nothing to train."""
        return (Phase("layers", ("layers",), "learning_rate", self.loss),) if self.train_at_all else ()

    def fit_epoch(self, data: Tensors, hyperparameters: Tensors, generator: torch.Generator) -> dict[str, float]:
        """Train nothing, on purpose: an epoch without phases is to cost nothing."""
        return {}

    def separate(self, mixture: Tensor) -> Tensor:
        """Separate without gradients."""
        with torch.no_grad():
            return self.estimate(mixture)


@dataclass(frozen=True)
class Data:
    """Mixtures of a slow and a fast sinusoid; the training split has ``steps`` batches."""

    steps: int = 1
    seed: int = 0

    def load(self, cache: Path) -> TaskData:
        """Return the data; it takes too little time to be worth caching."""
        generator = torch.Generator().manual_seed(self.seed)

        def split(items: int) -> Split:
            phase = torch.rand(items, 2, 1, 1, generator=generator) * 6.28
            rate = torch.tensor([0.05, 0.4]).reshape(1, 2, 1, 1)
            sources = torch.sin(rate * torch.arange(SAMPLES) + phase)
            return Split(sources.sum(1), sources)

        train, validation, test = split(max(1, self.steps) * BATCH), split(HELD), split(HELD)
        digest = hashlib.sha256(train.mixture.numpy().tobytes()).hexdigest()
        return TaskData(Signal(("slow", "fast"), 1, (SAMPLES,), 100.0), train, validation, test, digest)


class HandWritten:
    """The same training as a plain PyTorch loop."""

    def __init__(self, config: Config, data: TaskData, hyperparameters: Mapping[str, float], seed: int) -> None:
        torch.manual_seed(seed)
        self.config, self.data, self.weight = config, data, hyperparameters["weight"]
        self.network = config.build(data.signal)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=hyperparameters["learning_rate"], betas=config.betas, fused=True
        )
        self.generator = torch.Generator().manual_seed(seed)

    def epoch(self) -> dict[str, float]:
        """Train for one pass over the data; return the loss and the validation error."""
        train, held = self.data.train, self.data.validation
        total, steps = 0.0, 0
        self.network.train()
        for index in batches(len(train), self.config.batch_size, self.generator) if self.config.train else ():
            error = (self.network.estimate(train.mixture[index]) - train.sources[index]).square().mean()
            self.optimizer.zero_grad()
            (self.weight * error).backward()
            self.optimizer.step()
            total, steps = total + error.item(), steps + 1
        error = (self.network.separate(held.mixture) - held.sources).flatten(2).norm(dim=-1)
        relative = error / held.sources.flatten(2).norm(dim=-1)
        return {"mse": total / max(1, steps), "relative_l2": relative.mean().item()}

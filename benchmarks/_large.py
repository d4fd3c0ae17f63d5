"""The task of ``large.py``: noise in one entry of the cache, larger than memory if need be, and its separator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sepray.contracts import Loss, Phase, Separator, Signal, Split, TaskData, Tensors
from sepray.data.cache import Plan, mapped

SAMPLES = 65536
ITEM_BYTES = 3 * 4 * SAMPLES
SIGNAL = Signal(("a", "b"), 1, (SAMPLES,), 16000.0)
HELD = 20
"""Items of the validation and the test split."""


@dataclass(frozen=True)
class Config:
    """Noise, in an entry of the cache."""

    items: int = 100

    def load(self, cache: Path) -> TaskData:
        """Return the splits, mapped from the entry's file."""
        shapes = {}
        for split, count in (("train", self.items), ("validation", HELD), ("test", HELD)):
            shapes |= {f"{split}/mixture": (count, 1, SAMPLES), f"{split}/sources": (count, 2, 1, SAMPLES)}

        def fill(out: Mapping[str, NDArray[np.float32]]) -> None:
            random = np.random.default_rng(0)
            for split in ("train", "validation", "test"):
                mixture, sources = out[f"{split}/mixture"], out[f"{split}/sources"]
                for item in range(len(mixture)):
                    sources[item] = random.standard_normal((2, 1, SAMPLES), dtype=np.float32)
                    mixture[item] = sources[item].sum(0)

        entry = mapped(cache, "large", {"items": self.items}, lambda: Plan(shapes, fill))
        splits = {
            split: Split(entry.tensors[f"{split}/mixture"], entry.tensors[f"{split}/sources"])
            for split in ("train", "validation", "test")
        }
        return TaskData(SIGNAL, **splits, fingerprint=entry.content)


@dataclass(frozen=True)
class GainsConfig:
    """A separator with as little to compute as there can be, so that nothing hides the time of reading."""

    batch_size: int = 16
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> Gains:
        """Return the separator."""
        return Gains(signal)


class Gains(Separator):
    """Each estimate is the mixture times a weight of the source's own."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.gains = nn.Parameter(torch.zeros(len(signal.sources)))

    def hyperparameters(self) -> dict[str, float]:
        """Return the learning rate."""
        return {"learning_rate": 1e-3}

    def estimate(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, 1, time]`` into ``[batch, source, 1, time]``."""
        return mixture[:, None] * self.gains[:, None, None]

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase."""
        return (Phase("gains", ("gains",), "learning_rate", loss),)

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Separate without gradients."""
        return self.estimate(mixture)


def loss(module: Gains, batch: Tensors, weights: Tensors, random: Tensors) -> Loss:
    """Return the mean squared error."""
    error = (module.estimate(batch["mixture"]) - batch["sources"]).square().mean()
    return Loss(error, {"mse": error})

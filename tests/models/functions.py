"""Loaded models that are functions, and items on which their scores are known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from sepray.contracts import Signal, Split, TaskData
from sepray.models.model import Model
from sepray.tracking.packaged_model import PackagedModel

FIRST, SECOND = "models:/first/1", "models:/second/1"
SIGNAL = Signal(("heart", "breath"), 1, (64,), 64.0, heart_sources=("heart",))
METADATA = {"metric": "relative_l2", "task": "any", "task_config": {}, "n_fft": 16, "hop": 4}


def _split(items: int) -> Split:
    """Both sources are the same, so that the mixture is twice either."""
    sources = torch.randn(items, 1, 1, 64, generator=torch.Generator().manual_seed(items)).expand(-1, 2, -1, -1)
    return Split(sources.sum(1), sources)


DATA = TaskData(SIGNAL, _split(5), _split(6), _split(7), "ab" * 32)


@dataclass(frozen=True)
class Config:
    """Configuration of the task."""

    def load(self, cache: Path) -> TaskData:
        return DATA


def model(
    name: str,
    separate: Callable[[np.ndarray], np.ndarray],
    sources: tuple[str, ...] = SIGNAL.sources,
    device: str = "auto",
    **changes: Any,
) -> Model:
    """Return a model that separates ``[batch, channel, time]`` by a function; changes are of its signal."""
    signal = replace(SIGNAL, sources=sources, heart_sources=(), **changes)
    separation = SimpleNamespace(signal=signal, predict=lambda data, params: separate(data))
    return Model(name, PackagedModel(Path(name), METADATA, "0a1b", separation), device)


def shares_of_the_mixture(name: str, share: float, sizes: list[int] | None = None, **changes: Any) -> Model:
    """Return a model that estimates each source as the same share of the mixture; it notes the sizes of batches."""

    def separate(mixture: np.ndarray) -> np.ndarray:
        if sizes is not None:
            sizes.append(len(mixture))
        return share * np.repeat(mixture[:, None], 2, axis=1)

    return model(name, separate, **changes)

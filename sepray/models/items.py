"""Loads the items that a model is scored on: of the task that it was trained on, or of one with the same sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import registry
from ..errors import UsageError
from ..tracking import trust
from .model import Model

if TYPE_CHECKING:
    from torch import Tensor

    from ..contracts import TaskConfig, TaskData

SPLITS = ("train", "validation", "test")
CACHE = "~/.cache/sepray"


def check_items(task: str | TaskConfig | None, split: str, batch_size: int) -> None:
    """Refuse a task or a split that does not exist, and an empty batch, before torch is imported.

    Raises:
        UsageError: there is no such task or split, or ``batch_size`` is below 1.
    """
    if isinstance(task, str):
        registry.check("sepray.tasks", task)
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; there are: {', '.join(SPLITS)}")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")


def task_data(model: Model, task: str | TaskConfig | None, cache: str | os.PathLike[str]) -> TaskData:
    """Return the data of a task, for a model that separates its sources.

    Args:
        model: a loaded model.
        task: name or configuration of the task; None: the task that the model was trained on, with the same settings.
            The plain name of that task (``ecg``) has the same settings too; ``ecg:debug`` has its own.
        cache: folder or URI for generated and decoded data.

    Raises:
        UsageError: there is no such task, its data cannot be made, or its sources or channels differ from the model's.
    """
    from ..loading import load_task

    data = load_task(_config(model, task), cache)
    if data.signal.sources != model.sources:
        theirs, own = ", ".join(data.signal.sources), ", ".join(model.sources)
        raise UsageError(f"{model.name} separates {own}, but the task has {theirs}")
    channels = (data.signal.channels, data.signal.source_channels)
    if channels != (model.channels, model.source_channels):
        raise UsageError(
            f"{model.name} makes sources of {model.source_channels} channel(s) of mixtures of {model.channels}, "
            f"but the task has sources of {channels[1]} and mixtures of {channels[0]}"
        )
    return data


def _config(model: Model, task: str | TaskConfig | None) -> TaskConfig:
    if task is not None and not isinstance(task, str):
        return task
    trained: str | None = model.metadata.get("task")
    if task is None and trained is None:
        raise UsageError(f"{model.name} does not say which task it was trained on: give --task, in Python task=")
    if task is None and not trust.consented():
        registry.require_named("sepray.tasks", str(trained))
    short, _, named = (task or "").partition(":")
    if task is not None and named and named not in registry.variants(registry.find("sepray.tasks", short).__name__):
        configured: TaskConfig = registry.config("sepray.tasks", task)
        return configured
    module = registry.find("sepray.tasks", task or str(trained)).__name__
    settings: dict[str, Any] = model.metadata.get("task_config", {}) if module == trained else {}
    try:
        config: TaskConfig = registry.restored("sepray.tasks", module, settings)
    except registry.MisfitError as error:
        given = f"{model.name} was trained with settings that the task {module} does not have here"
        wrong = given if module == trained else f"the task {module} has settings without a default"
        raise UsageError(
            f"{wrong} ({error}); give a Config of the task (Python: evaluate(model, task=Config(...)))"
        ) from None
    return config


def on_tensors(model: Model) -> Callable[[Tensor], Tensor]:
    """Return a model as a function from ``[batch, channel, *signal]`` to ``[batch, source, channel, *signal]``."""
    import torch

    def separate(mixture: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(model.separate(mixture.cpu().numpy())))

    return separate


def seen_by(model: Model, fingerprint: str, split: str) -> str:
    """Return a sentence if a model has learned from the items that it is scored on, or may have; else an empty text.

    Args:
        model: a loaded model.
        fingerprint: fingerprint of the task's data.
        split: name of the split that is scored.
    """
    if model.metadata.get("data_fingerprint") != fingerprint:
        return f"{model.name} was trained on other data, and may have learned from the recordings that are scored here."
    if split == "train":
        return f"{model.name} has learned from the items that are scored here."
    return ""

"""Measures by how much a separator beats the unprocessed mixture after some epochs, on a task with unlike sources."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from sepray import registry
from sepray.contracts import SeparatorConfig, TaskData
from sepray.scoring import metrics
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

UNPAIRED = 512
"""Training items for separators of unpaired samples: half of them give mixtures, as many as others train on."""


@functools.cache
def notes_and_bursts(train: int = 256, test: int = 64) -> TaskData:
    """The embedded task, made once a process."""
    config = registry.find("sepray.tasks", "notes_and_bursts").Config(train=train, validation=2, test=test)
    return config.load(Path())


def trained(
    config: SeparatorConfig, hyperparameters: Mapping[str, float], epochs: int, seed: int, data: TaskData
) -> Trainer:
    """Train a separator with what its supervision lets it see."""
    separator = build(config, data.signal, seed)
    generator = torch.Generator().manual_seed(seed)
    seen = view(data.train, separator.supervision, generator, separator.paired_fraction)
    trainer = Trainer(separator, seen, hyperparameters, seed, config.batch_size, config.betas)
    for _ in range(epochs):
        trainer.epoch()
    return trainer


def mean_improvement(
    config: SeparatorConfig, hyperparameters: Mapping[str, float], epochs: int, data: TaskData, seeds: int = 3
) -> float:
    """``improvement`` after some epochs, its mean over trainings from the seeds 0, 1, ..."""
    runs = (trained(config, hyperparameters, epochs, seed, data) for seed in range(seeds))
    return float(np.mean([improvement(run.separator.separate, data) for run in runs]))


def improvement(
    separate: Callable[[torch.Tensor], torch.Tensor], data: TaskData, sources: tuple[str, ...] | None = None
) -> float:
    """Mean SI-SDR over the test items and (these) sources, less that of the unprocessed mixture, in dB."""
    estimate = separate(data.test.mixture)
    unprocessed = data.test.mixture[:, None].expand_as(data.test.sources)
    wanted = [data.signal.sources.index(name) for name in sources or data.signal.sources]
    measure = metrics.METRICS["si_sdr"]
    gains = measure(estimate, data.test.sources) - measure(unprocessed, data.test.sources)
    return float(np.mean(gains[:, wanted].numpy()))

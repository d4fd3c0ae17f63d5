"""Estimates of one item as training goes on, by iteration of the method (NES, figure 2).

A training that has ended leaves only the checkpoints of its last epochs. So the training of the first seed is
repeated, as ``sepray reproduce`` does, and separates the item after some of its iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..comparison.running import SeparatorFigures
from ..comparison.spec import Comparison
from ..contracts import TaskData
from ..driver.saved_study import read_saved_study
from ..results import reproduction

MOST = 6
"""Largest number of iterations that are shown. Of more, so many are shown at equal distances, the first and the last
among them."""


@dataclass(frozen=True)
class Iterations:
    """Estimates of the first test item: iteration -> ``[source, channel, *signal]``."""

    estimates: Mapping[int, Tensor]


def retrained(entry: SeparatorFigures, comparison: Comparison, data: TaskData) -> Iterations:
    """Train the first seed of a row again, and return what it makes of the first test item after iterations.

    Args:
        entry: the row, of a separator whose configuration has ``epochs_per_iteration``.
        comparison: the comparison that it is of.
        data: the comparison's data.

    Raises:
        UsageError: the study of the row is not in the stores any more.
    """
    stores, contender = comparison.stores, entry.contender
    saved = read_saved_study(f"{comparison.name}-{contender.key}", stores.storage, stores.storage_path)
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        again = reproduction.repetition(saved, stores.cache, "finals", entry.trainings[0].number)
        period, epochs = contender.config.epochs_per_iteration, len(entry.trainings[0].history)
        shown = set(chosen(epochs // period))
        found = {}
        for epoch in range(1, epochs + 1):
            again.epoch()
            if epoch % period == 0 and epoch // period in shown:
                found[epoch // period] = _estimates(again, data)
        return Iterations(found)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def chosen(iterations: int) -> list[int]:
    """Return which iterations are shown, from 1."""
    if iterations <= MOST:
        return list(range(1, iterations + 1))
    return [round(1 + k * (iterations - 1) / (MOST - 1)) for k in range(MOST)]


def _estimates(again: reproduction.Repetition, data: TaskData) -> Tensor:
    separator = again.members.trainers[0].separator
    mixture = data.test.mixture[:1].to(again.context.device, copy=True)
    return separator.separate(mixture)[0].detach().cpu()

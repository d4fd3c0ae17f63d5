"""The separators of one trial, trained side by side from seeds of their own. Imports no Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..contracts import Augmentation, Separator, SeparatorConfig, Signal, Tensors, estimate
from ..disk.mapping import total_bytes
from ..scoring import metrics
from ..separator_checks import check_estimates
from ..training.trainer import Trainer, build
from .checkpoint import Checkpoint

_SCORED_BYTES = 1 << 28
"""Bytes of the sources whose estimates are held at once; smaller validation splits are scored in one piece."""


class Members:
    """The trainers of one trial's separators; what they report is averaged, and they are saved as one.

    Args:
        config: configuration of the separator.
        signal: what the separator is built for.
        seed: seed of the trial; each member's own seed is drawn from it.
        count: number of members.
        train: the training view, tensors ``[item, ...]``.
        hyperparameters: those that differ from the separator's defaults.
        device: device in torch's words, such as ``"cpu"`` or ``"cuda"``.
        augmentation: augmentation of the training items.
        weights: parameters and buffers that each member begins with, by name; None for random ones of its seed.
        build: builds a separator; default: ``trainer.build``.

    Attributes:
        trainers: one trainer for each member.
    """

    def __init__(
        self,
        config: SeparatorConfig,
        signal: Signal,
        *,
        seed: int,
        count: int,
        train: Tensors,
        hyperparameters: Mapping[str, Any],
        device: str,
        augmentation: Augmentation,
        weights: Mapping[str, np.ndarray] | None = None,
        build: Callable[[SeparatorConfig, Signal, int], Separator] = build,
    ) -> None:
        self.trainers = [
            Trainer(
                _begun(build(config, signal, member_seed), weights),
                train,
                hyperparameters,
                seed=member_seed,
                batch_size=config.batch_size,
                betas=config.betas,
                device=device,
                augment=augmentation,
            )
            for member_seed in map(int, np.random.SeedSequence(seed).generate_state(count))
        ]
        self._signal = signal

    @property
    def epochs(self) -> int:
        """Number of epochs that each member has been trained for."""
        return self.trainers[0].epochs

    def failure(self, result: Mapping[str, Any]) -> str | None:
        """Return the failure that the method itself sees in an epoch's result; None if it sees none."""
        return self.trainers[0].separator.failure(result)

    def epoch(self, validation: Tensors, batch_size: int) -> dict[str, float]:
        """Train each member for an epoch and score it on the validation split; return the means over members.

        Args:
            validation: ``mixture [item, channel, *signal]`` and ``sources [item, source, channel, *signal]``.
            batch_size: items separated at once on the validation split.

        Returns:
            the parts of the losses as ``train/...`` and the measures as ``validation/...``.
        """
        results = []
        for trainer in self.trainers:
            parts = {f"train/{name}": value for name, value in trainer.epoch().items()}
            measures = score(trainer.separator, self._signal, validation, batch_size)
            results.append(parts | {f"validation/{name}": value for name, value in measures.items()})
        return {name: float(np.mean([result[name] for result in results])) for name in results[0]}

    def state(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Return copies of all tensors, named ``<member>/...``, and the plain values of each member."""
        tensors: dict[str, Tensor] = {}
        values = []
        for index, trainer in enumerate(self.trainers):
            named, plain = trainer.state()
            tensors |= {f"{index}/{name}": tensor.detach().clone() for name, tensor in named.items()}
            values.append(plain)
        return tensors, values

    def load(self, saved: Checkpoint, hyperparameters: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken, but with these hyperparameters.

        Population based training copies the weights of another trial, not its settings.
        """
        for index, (trainer, values) in enumerate(zip(self.trainers, saved.metadata["members"], strict=True)):
            prefix = f"{index}/"
            own = {name.removeprefix(prefix): t for name, t in saved.tensors.items() if name.startswith(prefix)}
            trainer.load_state(own, values)
            trainer.set_hyperparameters(hyperparameters)


def _begun(separator: Separator, weights: Mapping[str, np.ndarray] | None) -> Separator:
    """Return a separator with the given weights, copied; without weights, the separator as it is."""
    if weights is not None:
        separator.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return separator


def score(separator: Separator, signal: Signal, validation: Tensors, batch_size: int) -> dict[str, float]:
    """Return the measures of a separator on the validation split, by name; arguments as of ``Members.epoch``.

    Raises:
        UsageError: the estimates have another shape than the sources.
    """
    each = max(1, total_bytes([validation["sources"][:1]]))
    groups = [tensor.split(max(1, _SCORED_BYTES // each)) for tensor in validation.values()]
    scores = [
        _scores(separator, signal, dict(zip(validation, group, strict=True)), batch_size)
        for group in zip(*groups, strict=True)
    ]
    joined = {name: torch.cat([group[name] for group in scores]) for name in scores[0]}
    return metrics.summary(joined, signal.sources, signal.heart_sources)


def _scores(separator: Separator, signal: Signal, items: Tensors, batch_size: int) -> dict[str, Tensor]:
    """Return the scores ``[item, source]`` of some items."""
    batches = []
    for mixture, sources in zip(*(items[name].split(batch_size) for name in ("mixture", "sources")), strict=True):
        batches.append(estimate(separator, mixture, sources))
        check_estimates(separator, batches[-1], sources)
    return metrics.score(torch.cat(batches), items["sources"], signal, items.get("beats"))

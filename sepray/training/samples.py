"""Divides training items into those that give mixtures and those that give samples, for unpaired training.

What makes samples unpaired is that they are in none of the mixtures. So the recordings that items were cut from
(``Split.units``) are divided at random: mixtures are of some, samples of the others. The sources of a mixture of
independent recordings (speech and noise) are divided each by its own recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..contracts import Split

_ATTEMPTS = 32


class Division(NamedTuple):
    """A division of training items.

    Attributes:
        mixtures: numbers of the items whose mixtures are learned from.
        samples: for each source, the numbers of the items that its samples are taken from.
        by_recordings: whether the recordings that these samples were cut from, except those of ``shared_parts``, are in
            none of the mixtures of ``mixtures``. If not, the items were divided, whatever they were cut from.
    """

    mixtures: Tensor
    samples: tuple[Tensor, ...]
    by_recordings: bool


def divide(split: Split, generator: torch.Generator) -> Division:
    """Divide the items of a training split at random: about half of them give mixtures.

    Where 32 attempts find no division by recordings, the items are divided, whatever they were cut from.

    Args:
        split: two items or more.
        generator: source of the random division.
    """
    items, sources = len(split), split.sources.shape[1]
    units = split.units or tuple((str(item),) for item in range(items))
    columns = [list(column) for column in zip(*units, strict=True)]
    for part in shared_parts(split):
        columns[part] = [str(item) for item in range(items)]
    for _ in range(_ATTEMPTS):
        share = 0.5 ** (1 / len(columns))
        kept = torch.stack([_chosen(column, share, generator) for column in columns])  # [part, item]
        of_mixtures = kept.all(0)
        left = [~kept[k] if len(columns) == sources > 1 else ~kept.any(0) for k in range(sources)]
        if of_mixtures.any() and all(own.any() for own in left):
            return Division(_numbers(of_mixtures), tuple(map(_numbers, left)), by_recordings=True)
    halves = _chosen([str(item) for item in range(items)], 0.5, generator)
    return Division(_numbers(halves), (_numbers(~halves),) * sources, by_recordings=False)


def shared_parts(split: Split) -> tuple[int, ...]:
    """Return the numbers of parts of the units that are one recording in all items, so that they cannot be divided."""
    if split.units is None:
        return ()
    return tuple(k for k, column in enumerate(zip(*split.units, strict=True)) if len(set(column)) < 2)


def _chosen(column: Sequence[str], share: float, generator: torch.Generator) -> Tensor:
    """Return for each item whether its unit is among a random share of the units: at least one, and not all."""
    names = sorted(set(column))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = {names[k] for k in torch.randperm(len(names), generator=generator)[:count].tolist()}
    return torch.tensor([name in chosen for name in column])


def _numbers(chosen: Tensor) -> Tensor:
    return chosen.nonzero()[:, 0]

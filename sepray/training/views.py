"""The view of a training split that a separator may see, by its declared supervision."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Split, Supervision


def view(
    split: Split, supervision: Supervision, generator: torch.Generator, paired_fraction: float = 0.0
) -> dict[str, Tensor]:
    """Return what a separator of this supervision may see of a training split.

    Always ``mixture [item, channel, *signal]``; besides, ``sources [item, source, channel, *signal]`` (PAIRED: of
    these mixtures; UNPAIRED_SOURCES: each source's items in an order of its own, so that nothing tells which belong
    together), or ``observed [item, channel, *signal]`` (OBSERVED_SOURCE: the last source, in an order of its own, from
    samples that are in no mixture where the task has them).

    SEMI_PAIRED: a ``paired_fraction`` of the items, drawn at random, is in ``paired_mixture`` and ``paired_sources``
    as it is; the others are what UNPAIRED_SOURCES makes of them. Whichever are fewer recur, so that all tensors have
    as many items.

    Raises:
        ValueError: SEMI_PAIRED with a fraction that leaves no paired or no unpaired item.
    """

    def shuffled(source: int) -> Tensor:
        return split.sources[torch.randperm(len(split), generator=generator), source]

    match supervision:
        case Supervision.PAIRED:
            return {"mixture": split.mixture, "sources": split.sources}
        case Supervision.SEMI_PAIRED:
            return _semi_paired(split, paired_fraction, generator)
        case Supervision.UNPAIRED_SOURCES:
            sources = torch.stack([shuffled(k) for k in range(split.sources.shape[1])], dim=1)
            return {"mixture": split.mixture, "sources": sources}
        case Supervision.OBSERVED_SOURCE:
            return {"mixture": split.mixture, "observed": shuffled(-1) if split.observed is None else split.observed}
        case Supervision.NONE:
            return {"mixture": split.mixture}


def _semi_paired(split: Split, fraction: float, generator: torch.Generator) -> dict[str, Tensor]:
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise ValueError(f"paired_fraction = {fraction} of {len(split)} items leaves none of one kind")
    order = torch.randperm(len(split), generator=generator)
    items = torch.arange(max(count, len(split) - count))
    paired, rest = order[:count], order[count:]
    hidden = view(Split(split.mixture[rest], split.sources[rest]), Supervision.UNPAIRED_SOURCES, generator)
    known = {"paired_mixture": split.mixture[paired], "paired_sources": split.sources[paired]}
    return {name: tensor[items % len(tensor)] for name, tensor in {**hidden, **known}.items()}

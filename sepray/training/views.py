"""Training views: the part of a training split that a separator may see, by the supervision that it declares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Split, Supervision
from ..errors import UsageError


def view(
    split: Split, supervision: Supervision, generator: torch.Generator, paired_fraction: float = 0.0
) -> dict[str, Tensor]:
    """Return the training view for a kind of supervision.

    The view always holds ``mixture [item, channel, *signal]``. Besides, by supervision:

    - NONE: nothing.
    - PAIRED: ``sources [item, source, channel, *signal]`` of these mixtures.
    - UNPAIRED_SOURCES: ``sources`` of the same shape, each source's items in a random order of its own, so that
      nothing tells which belong together.
    - OBSERVED_SOURCE: ``observed [item, channel, *signal]``, the last source in a random order; if the task has
      samples of it that are in no mixture, these.
    - SEMI_PAIRED: a ``paired_fraction`` of the items, drawn at random, is in ``paired_mixture`` and
      ``paired_sources``, unchanged. The other items are in ``mixture`` and ``sources`` as for UNPAIRED_SOURCES. The
      smaller of the two groups is repeated, so that all tensors have the same number of items.

    Args:
        split: the training split.
        supervision: what the separator may see.
        generator: source of the random orders.
        paired_fraction: for SEMI_PAIRED, the share of the items that come with their sources.

    Raises:
        UsageError: for SEMI_PAIRED, ``paired_fraction`` leaves no paired or no unpaired item.
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
        empty = "no item with its sources" if count <= 0 else "no item without its sources"
        raise UsageError(f"paired_fraction = {fraction} of {len(split)} training items leaves {empty}")
    order = torch.randperm(len(split), generator=generator)
    items = torch.arange(max(count, len(split) - count))
    paired, rest = order[:count], order[count:]
    unpaired = view(Split(split.mixture[rest], split.sources[rest]), Supervision.UNPAIRED_SOURCES, generator)
    pairs = {"paired_mixture": split.mixture[paired], "paired_sources": split.sources[paired]}
    return {name: tensor[items % len(tensor)] for name, tensor in {**unpaired, **pairs}.items()}

"""Training views: the part of a training split that a separator may see, by the supervision that it declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..contracts import Split, Supervision
from ..disk.mapping import copy_items
from ..errors import UsageError
from . import samples

WEAK = (Supervision.UNPAIRED_SOURCES, Supervision.SEMI_PAIRED, Supervision.OBSERVED_SOURCE)
"""Supervision by samples of sources that are in none of the mixtures of a view."""


New = Callable[[tuple[int, ...]], Tensor]
"""Makes an empty tensor of a shape."""


def view(
    split: Split,
    supervision: Supervision,
    generator: torch.Generator,
    paired_fraction: float = 0.0,
    new: New = torch.empty,
) -> dict[str, Tensor]:
    """Return the training view for a kind of supervision.

    The view always holds ``mixture [item, channel, *signal]``, and by supervision:

    - NONE: nothing.
    - PAIRED: ``sources [item, source, channel, *signal]`` of these mixtures, and ``parts`` where the split has them.
    - UNPAIRED_SOURCES: ``sources`` of the same shape, each source's in a random order of its own.
    - OBSERVED_SOURCE: ``observed [item, channel, *signal]``, the last source; if the task has samples of it that are in
      no mixture, these, and all mixtures.
    - SEMI_PAIRED: a ``paired_fraction`` of the items, drawn at random, is in ``paired_mixture`` and
      ``paired_sources``, unchanged. The other items are in ``mixture`` and ``sources`` as for UNPAIRED_SOURCES.

    Unpaired samples are in none of the mixtures of the view. Where there are several recordings, those of the samples
    are in none of ``mixture`` either: the items are divided (``samples.divide``), and about half of them give mixtures.
    For SEMI_PAIRED only the other items are divided, so ``paired_mixture`` may have the samples' recordings. Smaller
    groups of items are repeated, so that all tensors have the same number of items.

    Args:
        split: the training split.
        supervision: what the separator may see.
        generator: source of the random orders.
        paired_fraction: for SEMI_PAIRED, the share of the items that come with their sources.
        new: makes the tensors of items in another order, which are copies.

    Raises:
        UsageError: for SEMI_PAIRED, ``paired_fraction`` leaves no paired item or too few others.
    """
    match supervision:
        case Supervision.PAIRED:
            parts = {} if split.parts is None else {"parts": split.parts}
            return {"mixture": split.mixture, "sources": split.sources, **parts}
        case Supervision.SEMI_PAIRED:
            return _semi_paired(split, paired_fraction, generator, new)
        case Supervision.UNPAIRED_SOURCES:
            mixture, shown = _apart(split, generator)
            return {"mixture": _items(split.mixture, mixture, new), "sources": _sources(split.sources, shown, new)}
        case Supervision.OBSERVED_SOURCE if split.observed is not None:
            return {"mixture": split.mixture, "observed": split.observed}
        case Supervision.OBSERVED_SOURCE:
            mixture, shown = _apart(split, generator)
            return {
                "mixture": _items(split.mixture, mixture, new),
                "observed": _items(split.sources[:, -1], shown[-1], new),
            }
        case Supervision.NONE:
            return {"mixture": split.mixture}


def note(
    split: Split, supervision: Supervision, unit_names: Sequence[str], seed: int, paired_fraction: float = 0.0
) -> str:
    """Return a sentence on the unpaired samples that a separator saw; empty if it saw none.

    The arguments are those of ``sharing``.
    """
    if not divides(split, supervision):
        return ""
    if told := sharing(split, supervision, unit_names, seed, paired_fraction):
        return told
    if supervision is Supervision.SEMI_PAIRED:
        return (
            "unpaired samples are of recordings that are in none of the unpaired mixtures, which are about half of the "
            "items without their sources; the pairs may be of any recordings"
        )
    return (
        "unpaired samples are of recordings that are in none of the mixtures learned from, which are about half of the "
        "training items"
    )


def divides(split: Split, supervision: Supervision) -> bool:
    """Say whether the items are divided into mixtures and samples for this supervision."""
    return supervision in WEAK and not (supervision is Supervision.OBSERVED_SOURCE and split.observed is not None)


def sharing(
    split: Split, supervision: Supervision, unit_names: Sequence[str], seed: int, paired_fraction: float = 0.0
) -> str:
    """Return a sentence where unpaired samples are of the mixtures' own recordings; empty where they are of others.

    Args:
        split: the training split.
        supervision: what the separator sees.
        unit_names: what the parts of the split's units are, in the plural.
        seed: random seed of the generator that ``view`` is given.
        paired_fraction: for SEMI_PAIRED, the share of the items that come with their sources.

    Raises:
        UsageError: as ``view`` does.
    """
    if split.units is None or not divides(split, supervision):
        return ""
    generator, divided = torch.Generator().manual_seed(seed), split
    if supervision is Supervision.SEMI_PAIRED:
        _, _, divided = _pairs_and_rest(split, paired_fraction, generator)
    if not samples.divide(divided, generator).by_recordings:
        return (
            f"the {' and '.join(unit_names)} of the items could not be divided: unpaired samples are of other items "
            f"than the mixtures, but perhaps of the same {' and '.join(unit_names)}"
        )
    few = [unit_names[part] for part in _shared(divided, supervision)]
    if few:
        return (
            f"there are too few {' and '.join(few)} to be divided: unpaired samples are other crops than those in the "
            f"mixtures, but of the same {' and '.join(few)}"
        )
    return ""


def _shared(split: Split, supervision: Supervision) -> tuple[int, ...]:
    """Return the parts of the units that cannot be divided, among those that the visible samples were cut from."""
    few, sources = samples.shared_parts(split), split.sources.shape[1]
    if supervision is Supervision.OBSERVED_SOURCE and split.units and len(split.units[0]) == sources > 1:
        return tuple(part for part in few if part == sources - 1)
    return few


def _apart(split: Split, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
    """Return the items that give mixtures, and for each source those that give samples; as many of each."""
    division = samples.divide(split, generator)
    longest = torch.arange(max(map(len, (division.mixtures, *division.samples))))
    shown = []
    for own in division.samples:
        order = own[torch.randperm(len(own), generator=generator)]
        shown.append(order[longest % len(own)])
    return division.mixtures[longest % len(division.mixtures)], shown


def _items(tensor: Tensor, index: Tensor, new: New) -> Tensor:
    """Return copies of some items."""
    chosen = new((len(index), *tensor.shape[1:]))
    copy_items(chosen, tensor, index)
    return chosen


def _sources(sources: Tensor, items: Sequence[Tensor], new: New) -> Tensor:
    """Return samples ``[item, source, channel, *signal]``, each source's of the items that are given for it."""
    chosen = new((len(items[0]), *sources.shape[1:]))
    for source, index in enumerate(items):
        copy_items(chosen[:, source], sources[:, source], index)
    return chosen


def _pairs_and_rest(split: Split, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Split]:
    """Return the numbers of items with their sources, the numbers of the others, and the others without values."""
    count = round(fraction * len(split))
    if not 0 < count <= len(split) - 2:
        empty = "no item with its sources" if count <= 0 else "fewer than two items without their sources"
        raise UsageError(f"paired_fraction = {fraction} of {len(split)} training items leaves {empty}")
    order = torch.randperm(len(split), generator=generator)
    paired, rest = order[:count], order[count:]
    units = None if split.units is None else tuple(split.units[k] for k in rest.tolist())
    # Only numbers of items are drawn, so their values are not needed.
    mixtures, sources = (torch.empty((len(rest), *t.shape[1:]), device="meta") for t in (split.mixture, split.sources))
    return paired, rest, Split(mixtures, sources, units=units)


def _semi_paired(split: Split, fraction: float, generator: torch.Generator, new: New) -> dict[str, Tensor]:
    paired, rest, others = _pairs_and_rest(split, fraction, generator)
    mixture, shown = _apart(others, generator)
    items = torch.arange(max(len(paired), len(mixture)))
    unpaired, pairs = items % len(mixture), paired[items % len(paired)]
    return {
        "mixture": _items(split.mixture, rest[mixture[unpaired]], new),
        "sources": _sources(split.sources, [rest[own[unpaired]] for own in shown], new),
        "paired_mixture": _items(split.mixture, pairs, new),
        "paired_sources": _items(split.sources, pairs, new),
    }

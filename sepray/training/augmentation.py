"""Augmentation of batches: random crops and remixed mixtures, computed on the device that holds the data.

Tensors that belong to the same moment of a recording are cropped together: a mixture, another separator's estimate of
it, and its sources if the separator may see which sources belong to it. Unpaired tensors are cropped at times of their
own. Only the tensors of the view are used, so augmentation reveals nothing that the view hides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Augmentation, Supervision, Tensors

PLAIN = Augmentation()
"""No augmentation: items stay as they are."""


def batch(
    data: Tensors, index: Tensor, how: Augmentation, supervision: Supervision, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the chosen items of a training view, augmented.

    Args:
        data: the training view (``training.views``), and the ``start`` that a warm start added to it: each tensor
            ``[item, ..., time]``.
        index: numbers of the items, ``[batch]``.
        how: the augmentation; ``PLAIN`` takes items of any shape and draws no random numbers.
        supervision: supervision that the view was made for.
        generator: source of all random numbers; on the CPU, so that every device sees the same items.

    Returns:
        tensors of the same names, each ``[batch, ..., time]`` or ``[batch, ..., crop]``; not ``parts``, of which
        mixtures are made anew.
    """
    index = index.to(data["mixture"].device)
    if how == PLAIN:
        return {name: tensor[index] for name, tensor in data.items() if name != "parts"}
    length = how.crop or data["mixture"].shape[-1]
    last = data["mixture"].shape[-1] - length

    def starts(*shape: int) -> Tensor:
        return torch.randint(last + 1, (len(index), *shape), generator=generator).to(index.device)

    moment = starts()
    items = {name: _crops(data[name], index, moment, length) for name in ("mixture", "start") if name in data}
    if "observed" in data:
        items["observed"] = _crops(data["observed"], index, starts(), length)
    if "sources" in data:
        paired = supervision is Supervision.PAIRED
        begin = moment[:, None] if paired else starts(data["sources"].shape[1])
        pool = data.get("parts", data["sources"])
        items["sources"] = _crops_of_each(pool, index[:, None], begin, length)
        if paired:
            items |= _remixed(items["mixture"], items["sources"], pool, how, generator)
        items["sources"] = items["sources"][:, :, : data["sources"].shape[2]]
    if "paired_sources" in data:
        moment = starts()
        mixture = _crops(data["paired_mixture"], index, moment, length)
        sources = _crops_of_each(data["paired_sources"], index[:, None], moment[:, None], length)
        pairs = _remixed(mixture, sources, data["paired_sources"], how, generator)
        items |= {f"paired_{name}": tensor for name, tensor in pairs.items()}
    return items


def _crops(tensor: Tensor, index: Tensor, start: Tensor, length: int) -> Tensor:
    """Return ``length`` samples of items ``index [batch]`` of ``[item, ..., time]``, starting at ``start [batch]``."""
    crops: Tensor = tensor.unfold(-1, length, 1).movedim(-2, 1)[index, start]
    return crops


def _crops_of_each(sources: Tensor, index: Tensor, start: Tensor, length: int) -> Tensor:
    """Return crops ``[batch, source, channel, length]`` of ``[item, source, channel, time]``.

    ``index`` and ``start`` are ``[batch, source]``, or ``[batch, 1]`` if they are the same for all sources.
    """
    each = torch.arange(sources.shape[1], device=sources.device)
    crops: Tensor = sources.unfold(-1, length, 1).movedim(-2, 2)[index, each, start]
    return crops


def _remixed(
    mixture: Tensor, sources: Tensor, pool: Tensor, how: Augmentation, generator: torch.Generator
) -> dict[str, Tensor]:
    """Replace a share of the mixtures by new ones from sources of ``pool [item, source, channel, time]``."""
    if not how.remix:
        return {"mixture": mixture, "sources": sources}
    shape, length, device = sources.shape[:2], sources.shape[-1], sources.device
    chosen = (torch.rand(shape[0], generator=generator) < how.remix).to(device)[:, None]
    index = torch.randint(len(pool), shape, generator=generator).to(device)
    start = torch.randint(pool.shape[-1] - length + 1, shape, generator=generator).to(device)
    low, high = how.remix_level
    decibels = (low + (high - low) * torch.rand(shape, generator=generator)).to(device)
    others = _crops_of_each(pool, index, start, length) * (10 ** (decibels / 20))[..., None, None]
    # The part of a mixture that is not among its sources (noise, other instruments) stays.
    mixed = mixture + (others - sources).sum(1)
    return {
        "mixture": torch.where(chosen[..., None], mixed, mixture),
        "sources": torch.where(chosen[..., None, None], others, sources),
    }

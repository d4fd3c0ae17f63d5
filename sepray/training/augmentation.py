"""Batches whose items are cropped and mixed anew each time, on the device that holds them.

Imports nothing from sepray but the contracts. What belongs to one moment of one recording stays together: a mixture,
what another separator made of it, and its sources where a separator may see whose they are. What is unpaired is
cropped at times of its own, and nothing is made of what a view does not have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Augmentation, Supervision, Tensors

PLAIN = Augmentation()
"""Items as they are."""


def batch(
    data: Tensors, index: Tensor, how: Augmentation, supervision: Supervision, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return items of a training view, changed as ``how`` says.

    Args:
        data: the view (``training.view``) and what a start added to it: each tensor ``[item, ..., time]``.
        index: numbers of the items, ``[batch]``.
        how: what to do; ``PLAIN`` takes any items as they are, and draws nothing.
        supervision: which the view is of.
        generator: of everything random; on the CPU, so that all devices see the same items.

    Returns:
        by the same names ``[batch, ..., time]``, or ``[batch, ..., crop]``.
    """
    index = index.to(data["mixture"].device)
    if how == PLAIN:
        return {name: tensor[index] for name, tensor in data.items()}
    length = how.crop or data["mixture"].shape[-1]
    last = data["mixture"].shape[-1] - length

    def starts(*shape: int) -> Tensor:
        return torch.randint(last + 1, (len(index), *shape), generator=generator).to(index.device)

    moment = starts()
    made = {name: _crops(data[name], index, moment, length) for name in ("mixture", "start") if name in data}
    if "observed" in data:
        made["observed"] = _crops(data["observed"], index, starts(), length)
    if "sources" in data:
        paired = supervision is Supervision.PAIRED
        begin = moment[:, None] if paired else starts(data["sources"].shape[1])
        made["sources"] = _crops_of_each(data["sources"], index[:, None], begin, length)
        if paired:
            made |= _remixed(made["mixture"], made["sources"], data["sources"], how, generator)
    if "paired_sources" in data:
        moment = starts()
        mixture = _crops(data["paired_mixture"], index, moment, length)
        sources = _crops_of_each(data["paired_sources"], index[:, None], moment[:, None], length)
        new = _remixed(mixture, sources, data["paired_sources"], how, generator)
        made |= {f"paired_{name}": tensor for name, tensor in new.items()}
    return made


def _crops(tensor: Tensor, index: Tensor, start: Tensor, length: int) -> Tensor:
    """Return ``length`` samples of items ``index [batch]`` of ``[item, ..., time]``, from ``start [batch]`` on."""
    found: Tensor = tensor.unfold(-1, length, 1).movedim(-2, 1)[index, start]
    return found


def _crops_of_each(sources: Tensor, index: Tensor, start: Tensor, length: int) -> Tensor:
    """Return crops ``[batch, source, channel, length]`` of ``[item, source, channel, time]``.

    ``index`` and ``start`` are ``[batch, source]``, or of one source where all have the same.
    """
    each = torch.arange(sources.shape[1], device=sources.device)
    found: Tensor = sources.unfold(-1, length, 1).movedim(-2, 2)[index, each, start]
    return found


def _remixed(
    mixture: Tensor, sources: Tensor, pool: Tensor, how: Augmentation, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return mixtures and sources, of which some are made anew of sources of ``pool [item, source, channel, time]``."""
    if not how.remix:
        return {"mixture": mixture, "sources": sources}
    shape, length, device = sources.shape[:2], sources.shape[-1], sources.device
    chosen = (torch.rand(shape[0], generator=generator) < how.remix).to(device)[:, None]
    index = torch.randint(len(pool), shape, generator=generator).to(device)
    start = torch.randint(pool.shape[-1] - length + 1, shape, generator=generator).to(device)
    low, high = how.remix_level
    decibels = (low + (high - low) * torch.rand(shape, generator=generator)).to(device)
    others = _crops_of_each(pool, index, start, length) * (10 ** (decibels / 20))[..., None, None]
    # What a mixture has beside its sources (noise, other instruments) stays.
    mixed = mixture + (others - sources).sum(1)
    return {
        "mixture": torch.where(chosen[..., None], mixed, mixture),
        "sources": torch.where(chosen[..., None, None], others, sources),
    }

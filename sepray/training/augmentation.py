"""Augmentation of batches: random crops and remixed mixtures, computed on the device that holds the data.

Tensors of the same moment of a recording are cropped together: a mixture, another separator's estimate of it, and its
sources where the separator may see which ones belong to it. Unpaired tensors are cropped at times of their
own. Only the tensors of the view are used, so augmentation reveals nothing that the view hides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Augmentation, Supervision, Tensors

PLAIN = Augmentation()
"""No augmentation: items stay as they are."""
_CROPPED = ("mixture", "start", "observed", "sources", "paired_mixture", "paired_sources")


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
    drawn = draws(data, index, how, supervision, generator)
    device = data["mixture"].device
    return made(data, {name: tensor.to(device) for name, tensor in drawn.items()}, how, supervision)


def draws(
    data: Tensors, index: Tensor, how: Augmentation, supervision: Supervision, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return all that a batch depends on beside the data, on the CPU: ``index`` and random numbers; see ``batch``."""
    drawn = {"index": index}
    if how == PLAIN:
        return drawn
    last = data["mixture"].shape[-1] - _length(data, how)

    def starts(*shape: int) -> Tensor:
        return torch.randint(last + 1, (len(index), *shape), generator=generator)

    drawn["moment"] = starts()
    if "observed" in data:
        drawn["observed"] = starts()
    if "sources" in data:
        if supervision is Supervision.PAIRED:
            drawn |= _remix_draws("", len(index), data.get("parts", data["sources"]), data, how, generator)
        else:
            drawn["sources"] = starts(data["sources"].shape[1])
    if "paired_sources" in data:
        drawn["paired moment"] = starts()
        drawn |= _remix_draws("paired ", len(index), data["paired_sources"], data, how, generator)
    return drawn


def made(data: Tensors, drawn: Tensors, how: Augmentation, supervision: Supervision) -> dict[str, Tensor]:
    """Return the batch that follows from what was drawn (``draws``), which is on the device of the data."""
    index = drawn["index"]
    if how == PLAIN:
        return {name: tensor[index] for name, tensor in data.items() if name != "parts"}
    length, moment = _length(data, how), drawn["moment"]
    items = {name: _crops(data[name], index, moment, length) for name in ("mixture", "start") if name in data}
    if "observed" in data:
        items["observed"] = _crops(data["observed"], index, drawn["observed"], length)
    if "sources" in data:
        paired = supervision is Supervision.PAIRED
        begin = moment[:, None] if paired else drawn["sources"]
        pool = data.get("parts", data["sources"])
        items["sources"] = _crops_of_each(pool, index[:, None], begin, length)
        if paired:
            items |= _remixed("", items["mixture"], items["sources"], pool, how, drawn)
        items["sources"] = items["sources"][:, :, : data["sources"].shape[2]]
    if "paired_sources" in data:
        moment = drawn["paired moment"]
        mixture = _crops(data["paired_mixture"], index, moment, length)
        sources = _crops_of_each(data["paired_sources"], index[:, None], moment[:, None], length)
        pairs = _remixed("paired ", mixture, sources, data["paired_sources"], how, drawn)
        items |= {f"paired_{name}": tensor for name, tensor in pairs.items()}
    return items


def shapes(data: Tensors, size: int, how: Augmentation) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a batch of ``size`` items, by name."""
    if how == PLAIN:
        return {name: (size, *tensor.shape[1:]) for name, tensor in data.items() if name != "parts"}
    return {name: (size, *data[name].shape[1:-1], _length(data, how)) for name in _CROPPED if name in data}


def _length(data: Tensors, how: Augmentation) -> int:
    return how.crop or data["mixture"].shape[-1]


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


def _remix_draws(
    prefix: str, size: int, pool: Tensor, data: Tensors, how: Augmentation, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw which of ``size`` mixtures are made anew, and of what: names for ``_remixed``, each with a prefix."""
    if not how.remix:
        return {}
    shape, last = (size, pool.shape[1]), pool.shape[-1] - _length(data, how)
    low, high = how.remix_level
    return {
        f"{prefix}chosen": torch.rand(size, generator=generator) < how.remix,
        f"{prefix}others": torch.randint(len(pool), shape, generator=generator),
        f"{prefix}starts": torch.randint(last + 1, shape, generator=generator),
        f"{prefix}decibels": low + (high - low) * torch.rand(shape, generator=generator),
    }


def _remixed(
    prefix: str, mixture: Tensor, sources: Tensor, pool: Tensor, how: Augmentation, drawn: Tensors
) -> dict[str, Tensor]:
    """Replace a share of the mixtures by new ones from sources of ``pool [item, source, channel, time]``."""
    if not how.remix:
        return {"mixture": mixture, "sources": sources}
    chosen, index, start = drawn[f"{prefix}chosen"][:, None], drawn[f"{prefix}others"], drawn[f"{prefix}starts"]
    gain = 10 ** (drawn[f"{prefix}decibels"] / 20)
    others = _crops_of_each(pool, index, start, sources.shape[-1]) * gain[..., None, None]
    # The part of a mixture that is not among its sources (noise, other instruments) stays.
    mixed = mixture + (others - sources).sum(1)
    return {
        "mixture": torch.where(chosen[..., None], mixed, mixture),
        "sources": torch.where(chosen[..., None, None], others, sources),
    }

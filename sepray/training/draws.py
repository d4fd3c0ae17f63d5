"""Everything that is drawn at random for a training step: drawn at once, and brought to the device in one copy.

The generator is on the CPU, so that a training is of the same items and numbers on every device. What each update needs
is drawn before the first, in the order of the updates; an accelerator then gets all of it together. Without that, every
index and every random tensor of a step would be a copy of its own, which costs the CPU more than many kernels.

A phase's ``draw`` is given the shapes of its batch, which are the same in all steps (``_Shape``). Where one looks at
values, the draws of a step are made one after the other, each when its batch is there.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..contracts import Augmentation, Phase, Supervision, Tensors
from . import augmentation

_ALIGNED = 16
"""Bytes: where a tensor begins within a copy is a multiple of it."""


class _Shape(Tensor):
    """A tensor on the CPU that has a shape and a type, and no values: whatever needs them is an error."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # torch declares a method

    @staticmethod
    def __new__(cls, shape: tuple[int, ...], dtype: torch.dtype) -> _Shape:
        made: _Shape = Tensor._make_wrapper_subclass(cls, torch.Size(shape), dtype=dtype, device=torch.device("cpu"))
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch declares it without the function
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise TypeError(f"{function} needs values of a batch that is not there yet")


class _Shown(dict[str, Tensor]):
    """The batch of a step by its shapes; to ask for a tensor that is not in the view is an error: it may be carried."""

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            raise KeyError(name)
        return True

    def get(self, name: str, default: Any = None) -> Any:
        """Return the tensor of this name; an error where there is none."""
        return self[name]


class Draws:
    """Draws what the updates of a step need, in their order.

    Args:
        phases: the updates of a step.
        how: random changes to the items.
        supervision: supervision that the training view was made for.
        generator: source of all random numbers, on the CPU.
        device: where the separator is.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        how: Augmentation,
        supervision: Supervision,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self._phases, self._how, self._supervision = phases, how, supervision
        self._generator, self._device = generator, device
        self._ahead = True
        self._chosen: deque[Tensors] = deque()
        self._random: deque[Tensors] = deque()

    def begin_epoch(self, data: Tensors, items: int, size: int) -> None:
        """Draw batches of ``size`` items from ``data`` from now on, the training view, each tensor ``[item, ...]``."""
        self._data, self._items, self._size, self._data_device = data, items, size, data["mixture"].device
        shapes = augmentation.shapes(data, size, self._how)
        self._shown = _Shown({name: _Shape(shape, data[name].dtype) for name, shape in shapes.items()})

    def begin(self, index: Tensor) -> None:
        """Draw what a step needs; ``index [batch]`` has the numbers of the items of its batch."""
        before, chosen, random = self._generator.get_state(), [self._choose(index)], list[Tensors]()
        if self._ahead:
            try:
                for phase in self._phases:
                    for _ in range(phase.repeats):
                        if phase.draws_batches:
                            chosen.append(self._choose())
                        random.append(phase.draw(self._shown, self._generator) if phase.draw else {})
            except Exception:  # it looks at values, or has a bug, which shows once it is given the batch
                self._ahead = False
                self._generator.set_state(before)
                chosen, random = [self._choose(index)], []
        there = moved([*chosen, *random], [self._data_device] * len(chosen) + [self._device] * len(random))
        self._chosen, self._random = deque(there[: len(chosen)]), deque(there[len(chosen) :])

    def batch(self) -> dict[str, Tensor]:
        """Return the next batch of the step, tensors ``[batch, ...]`` on the device of the separator."""
        [drawn] = [self._chosen.popleft()] if self._chosen else moved([self._choose()], [self._data_device])
        made = augmentation.made(self._data, drawn, self._how, self._supervision)
        return {name: tensor.to(self._device) for name, tensor in made.items()}

    def random(self, phase: Phase, batch: Tensors) -> Tensors:
        """Return the random tensors of the next update, of ``phase`` and on ``batch``, on the same device."""
        if self._random:
            return self._random.popleft()
        return moved([phase.draw(batch, self._generator) if phase.draw else {}], [self._device])[0]

    def _choose(self, index: Tensor | None = None) -> Tensors:
        """Return the draws that a batch depends on; without an index, those of items drawn at random."""
        if index is None:
            index = torch.randint(self._items, (self._size,), generator=self._generator)
        return augmentation.draws(self._data, index, self._how, self._supervision, self._generator)


def moved(groups: Sequence[Tensors], devices: Sequence[torch.device]) -> list[Tensors]:
    """Return tensors on the device of their group; those that are on the CPU, and shall not be, go in one copy."""
    result = [dict(group) for group in groups]
    going = [
        (group, name, tensor, device)
        for group, device in zip(result, devices, strict=True)
        for name, tensor in group.items()
        if device.type != "cpu" and tensor.device.type == "cpu"
    ]
    if not going:
        return list(groups)
    device = going[0][3]
    there = joined([tensor for _, _, tensor, _ in going], device.type == "cuda").to(device, non_blocking=True)
    for (group, name, _, _), tensor in zip(going, parted(there, [tensor for _, _, tensor, _ in going]), strict=True):
        group[name] = tensor
    return list(result)


def joined(tensors: Sequence[Tensor], pinned: bool = False) -> Tensor:
    """Return the bytes of tensors in one, ``[byte]``; pinned, so that a copy to a GPU does not keep the CPU waiting."""
    starts = _starts(tensors)
    together = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=pinned)
    for tensor, start in zip(tensors, starts, strict=False):
        together[start : start + tensor.nbytes] = tensor.contiguous().reshape(-1).view(torch.uint8)
    return together


def parted(together: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors whose bytes ``joined`` has put together, of the types and shapes of ``like``."""
    return [
        together[start : start + tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
        for tensor, start in zip(like, _starts(like), strict=False)
    ]


def _starts(tensors: Sequence[Tensor]) -> list[int]:
    return [0, *itertools.accumulate(-(-tensor.nbytes // _ALIGNED) * _ALIGNED for tensor in tensors)]

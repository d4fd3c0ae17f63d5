"""Checks that the losses of an epoch are finite, without waiting for the device at every update."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Loss

BLOCK = 1 << 16
"""Values that are kept in one piece of memory."""


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; the update that it belongs to has not changed any weight.

    Attributes:
        phase: name of the phase; ``"fit"`` for a method without phases.
        part: name of the first part of the loss that is not finite, or ``"total"``.
        epoch: number of the epoch, counted from 0.
        step: number of the step in the epoch, counted from 0.
    """

    def __init__(self, phase: str, part: str, epoch: int, step: int) -> None:
        super().__init__(phase, part, epoch, step)
        self.phase, self.part, self.epoch, self.step = phase, part, epoch, step

    def __str__(self) -> str:
        """Return the message, in which epochs and steps are counted from 1, as everywhere for readers."""
        return f"{self.part} of phase {self.phase} is not finite in epoch {self.epoch + 1}, step {self.step + 1}"


class FiniteLosses:
    """Remembers on the device which losses of an epoch are finite, and is asked once, at the epoch's end.

    To look at a value that a GPU has computed, the CPU waits until the GPU is done, and the GPU then waits for the
    CPU. So the optimizers are told on the device: they skip the update of a loss that is not finite, and all updates
    after it. That is the ``found_inf`` that ``torch.amp.GradScaler`` gives to fused optimizers.

    Attributes:
        found: 1.0 once a loss of the epoch was not finite, else 0.0; a tensor without dimensions, on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.found = torch.zeros((), device=device)
        self._updates: list[tuple[str, int, list[str]]] = []
        # In blocks: small tensors that are kept to the epoch's end would lie between the large ones that a step frees.
        # Then glibc could not join the freed memory again, and a worker would grow with every step.
        self._blocks: list[Tensor] = [torch.empty(BLOCK, dtype=torch.bool, device=device)]
        self._used: list[int] = [0]

    def add(self, phase: str, step: int, loss: Loss) -> None:
        """Take the loss of an update of a phase, before the optimizer uses its gradients."""
        parts = {**loss.parts, "total": loss.total}
        finite = self._space(len(parts))
        torch.stack([part.detach().reshape(()).isfinite().to(finite.device) for part in parts.values()], out=finite)
        self.found = torch.maximum(self.found, 1.0 - finite[-1].to(self.found))
        self._updates.append((phase, step, list(parts)))

    def _space(self, count: int) -> Tensor:
        """Return the memory for the next values."""
        if self._used[-1] + count > len(self._blocks[-1]):
            self._blocks.append(torch.empty(max(BLOCK, count), dtype=torch.bool, device=self.found.device))
            self._used.append(0)
        start = self._used[-1]
        self._used[-1] += count
        return self._blocks[-1][start : start + count]

    def check(self, epoch: int, found: float | None = None) -> None:
        """Look at all losses since the epoch began.

        Args:
            epoch: number of the epoch, counted from 0.
            found: the value of ``found``; None: the device is waited for, to read it.

        Raises:
            NonFiniteLossError: a total was not finite; the error names the first.
        """
        if not self._updates or not (self.found.item() if found is None else found):
            return
        kept = torch.cat([block[:used] for block, used in zip(self._blocks, self._used, strict=True)]).cpu()
        sizes = [len(names) for _, _, names in self._updates]
        for (phase, step, names), finite in zip(self._updates, kept.split(sizes), strict=True):
            if not finite[-1]:
                raise NonFiniteLossError(phase, names[int(finite.int().argmin())], epoch, step)

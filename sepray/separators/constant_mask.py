"""The constant mask: every source is the same share of the mixture. What any method has to do better than.

The baseline of "Neural separation of observed and unobserved distributions" (under review for ICLR 2019), section 4:
"multiplying the mixture by 0.5"; here 1/K for K sources, unless another share is given. Nothing is trained and there
are no hyperparameters. Any signal: ``[batch, channel, *signal]`` -> ``[batch, source, channel, *signal]``, in the
mixture's unit. A scale-invariant measure is that of the unprocessed mixture; a relative error is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision


@dataclass(frozen=True)
class Config:
    """The mask; with 1/K the estimates of K sources sum to the mixture."""

    mask: float | None = None
    """Share of the mixture that each estimate is; None for 1/K, which of two sources is the paper's 0.5."""

    batch_size: ClassVar[int] = 1  # there are no steps that could read these two
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.mask is not None and not 0 < self.mask <= 1:
            raise ValueError(f"mask must be above 0 and at most 1, not {self.mask:g}")

    def build(self, signal: Signal) -> ConstantMask:
        """Return the separator."""
        return ConstantMask(signal, self)


DEBUG = Config()


class ConstantMask(Separator):
    """The separator; see the module's description."""

    supervision = Supervision.NONE
    learns = False

    def __init__(self, signal: Signal, config: Config) -> None:
        super().__init__(signal)
        self.mask = 1 / len(signal.sources) if config.mask is None else config.mask

    def hyperparameters(self) -> dict[str, float]:
        """Return none: there are none."""
        return {}

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Return the share of the mixture once a source."""
        return torch.stack([self.mask * mixture] * len(self.signal.sources), dim=1)

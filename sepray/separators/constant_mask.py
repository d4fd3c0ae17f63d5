"""The constant mask: every estimate is the same share of the mixture. A baseline that any method should beat.

The baseline Const of "Neural separation of observed and unobserved distributions" (under review for ICLR 2019) "uses
the original mixture as the estimate" (section 4), so the share is 1 unless another is given. Half of the mixture has a
smaller error where sources are equally loud: as an estimate of a, its error is ``(b - a) / 2``, that of the whole
mixture is b. Scale-invariant measures are those of the unprocessed mixture, whatever the share. Nothing is trained and
there are no hyperparameters. Signals may be of any kind: ``[batch, channel, *signal]`` gives ``[batch, source, channel,
*signal]``, in the mixture's unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..contracts import Separator, Signal, Supervision
from ..errors import UsageError


@dataclass(frozen=True)
class Config:
    """The share of the mixture that each estimate is, by default the paper's."""

    mask: float | None = 1.0
    """Share of the mixture that each estimate gets; None: 1/K for K sources, so that estimates sum to the mixture."""

    batch_size: ClassVar[int] = 1  # nothing reads these two: there are no steps
    betas: ClassVar[tuple[float, float]] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.mask is not None and not 0 < self.mask <= 1:
            raise UsageError(f"mask must be above 0 and at most 1, not {self.mask:g}")

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
        """Return no hyperparameters."""
        return {}

    @torch.no_grad()
    def separate(self, mixture: Tensor) -> Tensor:
        """Return the share of the mixture once for each source: ``[batch, source, channel, *signal]``."""
        return torch.stack([self.mask * mixture] * len(self.signal.sources), dim=1)

"""Base of the separators of the CASS paper and of its authors' code: discriminators that see other sources' estimates.

Each source i has an autoencoder AE_i and a discriminator D_i. Besides its own source's estimate, D_i may be shown the
estimate of any other source j, with a weight ``cross.<j>_to_<i>`` (equation 9 of the paper).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from ..contracts import Separator, Signal, Supervision
from ..errors import UsageError


class CrossAdversarialSeparator(Separator):
    """Base of both separators.

    Raises:
        UsageError: the signal has a single source, or is an image.
    """

    supervision = Supervision.PAIRED

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        if len(signal.sources) < 2 or len(signal.shape) != 1:
            raise UsageError(f"cass separates one-dimensional signals of at least 2 sources, not {signal}")

    def crosses(self) -> list[tuple[str, int, int]]:
        """Return (name of the weight, i, j) for every ordered pair: discriminator j is shown the estimate of source i.

        The name is that of a hyperparameter, e.g. ``cross.maternal_to_fetal``.
        """
        sources = list(enumerate(self.signal.sources))
        return [(f"cross.{a}_to_{b}", i, j) for i, a in sources for j, b in sources if i != j]

    def failure(self, metrics: Mapping[str, float]) -> str | None:
        """Return a reason if the discriminators won: they are sure of every item, and estimates no better than silence.

        Silence has a relative L2 error of 1; a discriminator is sure where its loss is at most 0.001.
        """
        losses = [metrics.get(f"train/discriminator/{source}") for source in self.signal.sources]
        error = metrics.get("validation/relative_l2")
        if error is None or error < 1 or any(loss is None or loss > 1e-3 for loss in losses):
            return None
        return f"the discriminators won: their losses are below 0.001 and the relative L2 error is {error:.2f}"


def real_loss(logits: Tensor) -> Tensor:
    """Return the mean binary cross entropy of logits that should say "real": ``BCELoss(D(x), 1)``."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return the mean binary cross entropy of logits that should say "not real": ``BCELoss(D(x), 0)``."""
    return F.softplus(logits).mean()

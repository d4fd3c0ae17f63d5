"""Batch normalisation whose running statistics are results, so that it runs under ``torch.func``.

torch's own layer writes its running statistics while it computes, which ``torch.func`` forbids. Here a loss takes the
statistics of its batch inside ``learning``, and hands new running statistics to the trainer (``contracts.Loss.kept``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation of ``[batch, channel, ...]`` with a gain and an offset for each channel.

    Args:
        channels: number of channels.
        runs: whether to keep running statistics and to normalise by them, except inside ``learning``; False: always
            normalise by the batch's statistics.
        momentum: share of the newest batch in running statistics.

    Attributes:
        mean: running mean, ``[channel]``.
        variance: running variance (unbiased), ``[channel]``.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, runs: bool = True, momentum: float = 0.1) -> None:
        super().__init__()
        self.runs, self.momentum = runs, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        if runs:
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("variance", torch.ones(channels))
        self.seen: tuple[Tensor, Tensor] | None = None
        self.learns = False

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised values, of the same shape."""
        if self.runs and not self.learns:
            return F.batch_norm(values, self.mean, self.variance, self.weight, self.bias, eps=_EPSILON)
        result, mean, inverse_deviation = torch.native_batch_norm(
            values, self.weight, self.bias, None, None, True, 0.0, _EPSILON
        )
        if self.learns:
            count = values.numel() // values.shape[1]
            variance = (inverse_deviation.detach().pow(-2) - _EPSILON).clamp(min=0) * (count / max(1, count - 1))
            self.seen = (mean.detach(), variance)
        return result


@contextmanager
def learning(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Make the layers of a module normalise by their batch in this block, and yield a dict.

    At the end of the block, the new running statistics are in the dict, under the names of the module's buffers,
    ``[channel]`` each. They follow from the last pass through each layer.
    """
    layers = {name: m for name, m in module.named_modules() if isinstance(m, BatchNorm) and m.runs}
    kept: dict[str, Tensor] = {}
    for layer in layers.values():
        layer.learns = True
    try:
        yield kept
        for name, layer in layers.items():
            if layer.seen is not None:
                mean, variance = layer.seen
                kept[f"{name}.mean"] = layer.mean + layer.momentum * (mean - layer.mean)
                kept[f"{name}.variance"] = layer.variance + layer.momentum * (variance - layer.variance)
    finally:
        for layer in layers.values():
            layer.learns, layer.seen = False, None

"""Made-up hearts of a mother and a fetus, in ten seconds of 250 samples each."""

import torch
from torch import Tensor

from sepray.contracts import Signal
from sepray.signals.beats import ADULT, FETUS

SIGNAL = Signal(
    ("maternal", "fetal"),
    1,
    (2500,),
    250.0,
    heart_sources=("maternal", "fetal"),
    heart_rates=(("maternal", *ADULT), ("fetal", *FETUS)),
)


def every(period: float, start: float = 0.2) -> Tensor:
    """Return beats ``[beat]`` that are a period apart, in seconds."""
    return torch.arange(start, 10, period, dtype=torch.float64)


def heart(times: Tensor, sigma: float) -> Tensor:
    """Return ``[time]``: a bell of height 1 and standard deviation ``sigma`` at each of the beats, in seconds."""
    grid = torch.arange(2500, dtype=torch.float64)[:, None] / 250 - times
    return torch.exp(-0.5 * (grid / sigma) ** 2).sum(-1)

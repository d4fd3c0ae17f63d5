"""Whether beats of one heart come at fixed times after another's: then they are what a separator left of the other.

What is left of a mother's QRS complexes and T waves in a fetal estimate is as regular as a fetus, often at twice her
rate. A fetus keeps its own time: after which delay its beats follow the mother's wanders through her whole interval.
Where rates are in a ratio of small whole numbers (5 to 3) and both hearts are very even, delays of a fetus agree more
often than by chance, too. Imports nothing from sepray.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOST_LOCKED = 1.5
"""Agreement of delays, as a multiple of chance, above which beats are taken for the other heart's."""

_WITHIN = 0.020  # seconds, that two delays agree within
_FEWEST = 5  # beats of either heart: with fewer nothing is said


def locked(beats: Tensor, others: Tensor) -> Tensor:
    """Return how much more often than by chance the delays of beats after the other heart's agree, ``[...]``.

    A delay is the time from the last beat of the other heart. The share of pairs of beats, each after another one of
    its beats, whose delays agree within 20 ms is divided by what it would be if they were spread evenly over its median
    interval. 1 is no relation; one beat at a fixed delay has its interval over 40 ms, 20 at 75 beats a minute.

    Args:
        beats: times ``[..., beat]`` in seconds, in order, NaN at the end where there are fewer.
        others: times of the other heart's beats, ``[..., other beat]``, likewise.

    Returns:
        the multiple of chance; NaN where either heart has fewer than five beats.
    """
    intervals = others.diff(dim=-1)
    interval = intervals.nanmedian(-1).values if intervals.shape[-1] else torch.full(others.shape[:-1], math.nan)
    last = (others[..., None, :] <= beats[..., None]).sum(-1) - 1  # -1: before the first; NaN compares as later
    delay = beats - others.gather(-1, last.clamp(min=0))
    known = (last >= 0) & ~delay.isnan() & (delay < 1.5 * interval[..., None])
    pairs = known[..., None] & known[..., None, :] & (last[..., None] != last[..., None, :])
    agree = pairs & ((delay[..., None] - delay[..., None, :]).abs() < _WITHIN)
    part = (_WITHIN / interval).clamp(max=1)
    chance = 2 * part - part.square()
    share = agree.sum((-2, -1)) / pairs.sum((-2, -1))
    enough = (known.sum(-1) >= _FEWEST) & ((~others.isnan()).sum(-1) >= _FEWEST)
    return (share / chance).masked_fill(~enough, math.nan)

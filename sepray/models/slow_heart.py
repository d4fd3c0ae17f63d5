"""Finds the usual heart rate of a recording, which may be lower than those that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..signals.recording_types import Block
from ..signals.running_median import parts

_SECONDS = 10.0  # length of a part
_PARTS = 12  # approximate number of parts that are read
_CHANNELS = 8  # most channels that are read: the first ones
_SLOWEST, _FASTEST = 40.0, 115.0  # beats a minute, of adults


def usual_rate(blocks: Iterable[Block], frames: int, rate: float) -> float:
    """Return the usual heart rate of an adult's ECG in beats a second; 0 if most of its parts show no beats.

    Args:
        blocks: the recording in blocks ``[channel, time]``.
        frames: samples in a channel.
        rate: sampling rate in Hz.
    """
    import torch

    from ..signals.beats import detect

    length = min(frames, round(_SECONDS * rate))
    every = max(1, frames // length // _PARTS)
    rates: list[float] = []
    for number, part in enumerate(parts((block[:_CHANNELS] for block in blocks), length)):
        if number % every == 0:
            signal = torch.from_numpy(np.asarray(part, np.float64))
            rates += detect(signal, rate, _SLOWEST, _FASTEST).rate.tolist()
    found = [beats for beats in rates if beats]
    return float(np.median(found)) / 60 if 2 * len(found) > len(rates) else 0.0

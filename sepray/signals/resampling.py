"""Change of the sampling rate of recordings to train on, block by block. Imports nothing from sepray.

The filter is torchaudio's windowed sinc, in float64. The result is rounded to 2^-20 (-120 dB of full scale), so that
CPUs whose arithmetic differs in a last bit, and any number of threads, give the same samples. Recordings to separate
are changed by ``overlap_add.resampled``: to any rate and back, with a longer filter, and without rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import torchaudio.functional
from numpy.typing import NDArray

Array = NDArray[np.float32]

_LOWPASS_WIDTH = 6  # zero crossings of the sinc at either side; torchaudio's own
_RESOLUTION = 2.0**-20
_SAMPLES_AT_ONCE = 1 << 19  # of a channel


def resampled_length(frames: int, rate: int, new_rate: int) -> int:
    """Return how many samples ``resampled`` makes of ``frames``."""
    return -(-frames * new_rate // rate)


def resampled(blocks: Iterator[Array], rate: int, new_rate: int) -> Iterator[Array]:
    """Change the rate of ``[channel, time]`` in blocks, with the result of ``torchaudio.functional.resample`` on all.

    Args:
        blocks: the signal, in blocks ``[channel, time]`` from its start.
        rate: rate of the signal, in Hz.
        new_rate: rate of the result, in Hz.
    """
    if rate == new_rate:
        yield from blocks
        return
    common = math.gcd(rate, new_rate)
    down, up = rate // common, new_rate // common
    # How far the filter reaches, in steps of `down` samples: after such steps, output samples fall on the same phases.
    reach = math.ceil(_LOWPASS_WIDTH * down / min(down, up) / down) + 1
    margin, size = reach * down, max(1, _SAMPLES_AT_ONCE // down) * down
    held: Array | None = None  # from `margin` samples before the next output on
    taken = given = 0
    for block in blocks:
        taken += block.shape[1]
        held = np.concatenate((np.zeros((len(block), margin), np.float32) if held is None else held, block), axis=1)
        while held.shape[1] >= size + 2 * margin:
            yield _convolved(held[:, : size + 2 * margin], rate, new_rate)[:, reach * up :][:, : size // down * up]
            given += size // down * up
            held = held[:, size:]
    if held is not None:
        left = resampled_length(taken, rate, new_rate) - given
        whole = np.concatenate((held, np.zeros((len(held), 2 * margin), np.float32)), axis=1)
        yield _convolved(whole, rate, new_rate)[:, reach * up : reach * up + left]


def _convolved(signal: Array, rate: int, new_rate: int) -> Array:
    samples = torch.from_numpy(signal).double()
    changed = torchaudio.functional.resample(samples, rate, new_rate, lowpass_filter_width=_LOWPASS_WIDTH).numpy()
    rounded: Array = (np.round(changed / _RESOLUTION) * _RESOLUTION).astype(np.float32)
    return rounded

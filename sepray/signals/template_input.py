"""Adds the residual of a mixture to a network's input: the mixture without its strongest heart's average beat.

A fetal beat under a maternal R peak, or a twentieth as high, is hard to see beside it. So a task may ask for the usual
first step of fetal ECG (``Signal.template``): the networks get, beside each channel of the mixture, the residual of
template subtraction (``signals.template``). Sources and estimates have only the mixture's channels. A separator makes
the residual itself, of every mixture that it is given. So a remixed mixture has its own residual, a recording is
treated as a training item is, and estimates may still sum to the mixture.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d

from ..contracts import Signal
from .template import residual

SLOWEST, FASTEST = 45.0, 130.0
"""Lowest and highest rate of the heart that is subtracted, in beats a minute."""

_QRS_SECONDS, _BASELINE_SECONDS, _ENERGY_SECONDS = 0.016, 0.12, 0.08  # of means: two for the band-pass, one for energy
_APART = 0.8  # least distance of two beats, as a share of the shortest interval
_LEAST = 0.35  # least energy of a beat, as a share of the strongest beats', so that fetal beats do not count


def input_channels(signal: Signal) -> int:
    """Return the number of channels that ``network_input`` makes."""
    return signal.channels * (2 if signal.template else 1)


def network_input(mixture: Tensor, signal: Signal) -> Tensor:
    """Return ``[batch, input channel, time]``: the mixture ``[batch, channel, time]``, and its residual if asked for.

    The residual is in the mixture's unit, and computed without gradients.
    """
    if not signal.template or signal.sample_rate is None:
        return mixture
    with torch.no_grad():
        beats = strongest_beats(mixture, signal.sample_rate)
        left = residual(mixture, signal.sample_rate, beats[:, None].expand(-1, mixture.shape[1], -1))
    return torch.cat((mixture, left), dim=1)


def strongest_beats(mixture: Tensor, rate: float) -> Tensor:
    """Return the strongest heart's beats, ``[batch, beat]`` in seconds; NaN where an item has fewer than others.

    Beats are maxima of the energy in the band of QRS complexes, of all channels together. They are at least 0.8 of the
    shortest interval apart, and not far below the strongest beats.

    Args:
        mixture: ``[batch, channel, time]``.
        rate: sampling rate in Hz.
    """
    signal = mixture.double()
    band = _mean(signal, _QRS_SECONDS * rate) - _mean(signal, _BASELINE_SECONDS * rate)
    power = band.square()
    power = (power / power.mean(-1, keepdim=True).clamp(min=1e-30)).sum(1, keepdim=True)
    energy = _mean(power, _ENERGY_SECONDS * rate)
    reach = max(1, int(_APART * 60 / FASTEST * rate))
    peak = (energy == max_pool1d(energy, 2 * reach + 1, 1, reach)) & (energy > 0)
    heights = energy.masked_fill(~peak, 0.0)[:, 0]
    surely = max(1, int(heights.shape[-1] / rate * SLOWEST / 60))  # beats that even the slowest heart has
    strongest = heights.topk(min(surely, heights.shape[-1])).values.median(-1, keepdim=True).values
    beats = heights > _LEAST * strongest
    times = torch.arange(heights.shape[-1], device=mixture.device).expand_as(heights) / rate
    found = times.masked_fill(~beats, torch.inf).sort(-1).values[:, : max(1, int(beats.sum(-1).max()))]
    return found.masked_fill(found.isinf(), torch.nan)


def _mean(signal: Tensor, window: float) -> Tensor:
    """Return the mean over an odd number of samples around each sample; at the ends, over fewer."""
    half = min(max(1, round((window - 1) / 2)), signal.shape[-1] - 1)
    pooled: Tensor = avg_pool1d(signal, 2 * half + 1, 1, half, count_include_pad=False)
    return pooled

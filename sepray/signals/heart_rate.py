"""The heart rate of ECG and PPG, from their periodicity. Imports nothing from sepray.

One detector serves both kinds of signal, for all items at once. It is the normalised square difference function of
McLeod and Wyvill, "A smarter way to find pitch" (2005), with maxima at the multiples of the beat's period. The first
maximum that is nearly as high as the highest is the period itself and not a multiple of it (their section 5, constant
k). Its later multiples then give the period more exactly than one sampling interval, as counting many beats does.
Slower components (breathing, a wandering baseline) are removed first: the mean over a second around each sample is
subtracted. R peaks are blurred by a mean over 40 ms, so that irregular beats still overlap.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

SLOWEST, FASTEST = 30.0, 240.0
"""Lowest and highest heart rate that is found, in beats a minute."""

_BASELINE_SECONDS = 1.0  # averaged to remove slower components
_BLUR_SECONDS = 0.04  # averaged to blur R peaks
_NEARLY = 0.8  # height of a maximum that counts, as a share of the highest: k of McLeod and Wyvill
_SILENCE = 1e-6  # root mean square of a silent signal, as a share of the loudest of the signals separated with it


def heart_rate(signal: Tensor, sample_rate: float, beside: Tensor | None = None) -> Tensor:
    """Return the mean heart rate ``[...]`` of ``[..., time]`` in beats a minute.

    The rate is 0 where the signal is silent, too short for two beats, or without a period between 30 and 240 beats a
    minute. It is NaN where the signal is not finite.

    Args:
        signal: ECG or PPG, in any unit, either polarity.
        sample_rate: sampling rate in Hz.
        beside: root mean square ``[...]`` of the loudest of the signals that were separated together: a signal of at
            most a millionth of that is silent. None: a signal is silent only where it is constant, up to rounding.
    """
    flat = signal.reshape(-1, signal.shape[-1]).double()
    finite = flat.isfinite().all(-1)
    flat = flat.nan_to_num(0, 0, 0)
    least = flat.abs().amax(-1) * torch.finfo(signal.dtype).eps
    if beside is not None:
        least = torch.maximum(least, _SILENCE * beside.flatten().double())
    silent = (flat - flat.mean(-1, keepdim=True)).square().mean(-1).sqrt() <= least
    first, last = math.ceil(60 * sample_rate / FASTEST), math.floor(60 * sample_rate / SLOWEST)
    last = min(last, flat.shape[-1] * 2 // 3)  # at least a third of the signal overlaps itself
    if last < first + 2:
        rate = torch.zeros(len(flat), dtype=torch.float64, device=flat.device)
    else:
        rate = _rate(_beats(flat, sample_rate), first, last, sample_rate).masked_fill(silent, 0.0)
    rate = rate.masked_fill(~finite, math.nan)
    return rate.reshape(signal.shape[:-1]).to(signal.dtype)


def _beats(signal: Tensor, sample_rate: float) -> Tensor:
    """Return ``[item, time]`` without components that are slower, or faster, than beats."""
    smooth = _moving_mean(signal, _BLUR_SECONDS * sample_rate)
    return smooth - _moving_mean(signal, _BASELINE_SECONDS * sample_rate)


def _moving_mean(signal: Tensor, window: float) -> Tensor:
    """Return the mean over an odd number of samples around each sample; at the ends, over fewer."""
    half = min(round((window - 1) / 2), signal.shape[-1] - 1)
    if half < 1:
        return signal
    pooled: Tensor = avg_pool1d(signal[:, None], 2 * half + 1, 1, half, count_include_pad=False)[:, 0]
    return pooled


def _rate(signal: Tensor, first: int, last: int, sample_rate: float) -> Tensor:
    """Return beats a minute ``[item]``, for periods between ``first`` and ``last`` samples; 0 where there is none."""
    similarity = _similarity(signal)
    searched = similarity[:, first - 1 : last + 2]
    inner = searched[:, 1:-1]
    peak = (inner > searched[:, :-2]) & (inner >= searched[:, 2:]) & (inner > 0)
    heights = inner.masked_fill(~peak, -math.inf)
    highest = heights.amax(-1, keepdim=True)
    periodic = highest[:, 0] > 0
    candidates = peak & (inner >= _NEARLY * highest)
    lag = first + candidates.to(torch.uint8).argmax(-1)
    period = _refined(similarity, lag)
    # Each multiple is searched within a quarter of a period around where the last one predicts it, until irregular
    # beats hide one.
    counting = periodic
    reach = max(1, last // 4)
    offsets = torch.arange(-reach, reach + 1, device=signal.device)
    for multiple in range(2, signal.shape[-1] // first + 1):
        expected = (multiple * period).round().long()
        lags = expected[:, None] + offsets
        inside = (offsets.abs() <= period[:, None] / 4) & (lags + 1 < similarity.shape[-1] * 2 // 3)
        values = similarity.gather(1, lags.clamp(0, similarity.shape[-1] - 1)).masked_fill(~inside, -math.inf)
        height, index = values.max(-1)
        counting = counting & (height > _NEARLY * highest[:, 0])
        if not bool(counting.any()):
            break
        lag = lags.gather(1, index[:, None])[:, 0].clamp(1, similarity.shape[-1] - 2)
        period = torch.where(counting, _refined(similarity, lag) / multiple, period)
    return torch.where(periodic, 60 * sample_rate / period, 0.0)


def _similarity(signal: Tensor) -> Tensor:
    """Return ``2 sum x_t x_(t+lag) / sum (x_t^2 + x_(t+lag)^2)`` for every lag: 1 where the signal repeats itself."""
    length = signal.shape[-1]
    spectrum = torch.fft.rfft(pad(signal, (0, length)))
    correlation = torch.fft.irfft(spectrum.abs().square(), n=2 * length)[:, :length]
    energy = signal.square().cumsum(-1)
    head = energy.flip(-1)  # energy of the samples that have another one ``lag`` later
    tail = energy[:, -1:] - pad(energy, (1, 0))[:, :-1]  # energy of those that have another one ``lag`` earlier
    similarity: Tensor = 2 * correlation / (head + tail).clamp(min=torch.finfo(signal.dtype).tiny)
    return similarity


def _refined(values: Tensor, index: Tensor) -> Tensor:
    """Return the top ``[item]`` of the parabola through a maximum of ``[item, lag]`` and its neighbours."""
    index = index.clamp(1, values.shape[-1] - 2)
    left, middle, right = (values.gather(1, (index + shift)[:, None])[:, 0] for shift in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = torch.where(curvature < 0, 0.5 * (left - right) / curvature.clamp(max=-1e-12), 0.0)
    return index + shift.clamp(-0.5, 0.5)

"""Beats of ECG and PPG within a physiological range of rates. Imports nothing from sepray.

One detector for all items at once, which no polarity or shape of QRS complexes leads astray:

1. A band-pass without delay keeps QRS complexes (6 to 25 Hz; of a fetus 10 to 45 Hz), or pulses (0.4 to 5 Hz).
2. Of an ECG the envelope (magnitude of the analytic signal, smoothed over 15 ms) is high where a beat is; of a PPG the
   band-passed signal itself is.
3. Its autocorrelation gives the mean interval: the shortest within the range whose multiples are about the highest.
4. Beats are high and have intervals near it: dynamic programming finds the best sequence, after Ellis, "Beat tracking
   by dynamic programming" (Journal of New Music Research 36, 2007), his equations 5 to 7 with the logarithm squared.
5. Places where a beat should be and is not (lower than a quarter of a high beat) are dropped.

A beat's time is the centre of the envelope's energy (of a pulse: its top). The confidence says how much the beats look
alike, stand out, and come evenly (``_confidence``). Where it is less than ``LEAST_CONFIDENCE``, or the median interval
is a tenth out of the range, there is no such heart: by this rule a recording shows no fetus. It is set so that the
detector takes noise for a fetus in 5% of ``ecg:varied`` without one, after subtraction of the maternal template.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, pad

LEAST_CONFIDENCE = 0.5
"""Confidence below which a signal shows no heart of the range."""

FETAL_RATE = 90.0
"""Rate in beats a minute: a range that begins here or above is a fetus's, whose QRS complexes are half as long."""

Band = tuple[float, float]

ADULT: Band = (55.0, 115.0)
"""Lowest and highest heart rate of a resting adult's ECG, in beats a minute; that of a pregnant woman among them."""
FETUS: Band = (105.0, 185.0)
"""Lowest and highest heart rate of a fetus, in beats a minute: the normal 110 to 160, less 5 and plus 25."""
ADULT_PULSE: Band = (45.0, 150.0)
"""Lowest and highest pulse of an adult, at rest or not, in beats a minute."""

_ORDER = 4  # of the band-pass
_SMOOTHING = 0.015  # seconds, standard deviation
_GRID = 64.0  # least samples a second of the grid on which beats are searched
_HIGHEST = 1.5  # largest height that counts, as a multiple of a usual beat's
_NEARLY = 0.85  # autocorrelation that counts as the highest, as a share of it
_FEWEST = 0.25  # least height of a beat, as a share of a high beat's (the upper quartile)
_AROUND = 0.060  # seconds before and after a QRS complex, in which the centre of energy is its time
_BEYOND = 1.1  # factor by which a rate may lie outside the range
_SILENCE = 1e-6  # root mean square of a silent signal, as a share of that of the mixture it was separated from


class _Kind(NamedTuple):
    """Settings of the search for beats of one kind, and of its confidence.

    Attributes:
        band: lowest and highest frequency of the band-pass filter, in Hz.
        tight: weight of an interval's distance from the mean interval: at 4, a beat that comes a third early is still
            found; at 8, a beat that comes a sixth early.
        shape: half the length of the window around a beat whose shape is compared with the other beats', in seconds.
        slack: the most that the window is moved for the best match, in seconds.
        weights: coefficients of the confidence's logistic model, one for each of its three features.
        intercept: intercept of that model, at which 5% of noises have a confidence above one half
            (``benchmarks/beats.py``).
    """

    band: Band
    tight: float
    shape: float
    slack: float
    weights: tuple[float, float, float]
    intercept: float


_ADULT_QRS = _Kind((6.0, 25.0), 4.0, 0.050, 0.012, (8.0, 15.0, -20.0), 11.0)
_FETAL_QRS = _Kind((10.0, 45.0), 8.0, 0.050, 0.012, (8.0, 15.0, -20.0), 8.9)
_PULSE = _Kind((0.4, 5.0), 4.0, 0.35, 0.03, (12.0, 0.0, -20.0), 6.0)


def widened(usual: Band, own: Band) -> Band:
    """Return the range of rates that covers the usual range and a task's own."""
    return min(usual[0], own[0]), max(usual[1], own[1])


class Beats(NamedTuple):
    """Beats of some signals.

    Attributes:
        times: ``[..., beat]`` in seconds from the first sample, rising; NaN after an item's last one.
        rate: ``[...]`` in beats a minute, by the median interval; 0 where there is no such heart.
        confidence: ``[...]``, 0 to 1.
    """

    times: Tensor
    rate: Tensor
    confidence: Tensor


def detect(
    signal: Tensor,
    sample_rate: float,
    low: float,
    high: float,
    pulse: bool = False,
    least: float = LEAST_CONFIDENCE,
    beside: Tensor | None = None,
) -> Beats:
    """Return the beats in signals ``[..., time]``, of any unit.

    There are none where a signal is silent, not finite, or shows no heart of these rates. Rate and confidence are NaN
    where it is not finite.

    Args:
        signal: ``[..., time]``.
        sample_rate: sampling rate in Hz; 64 or more for an ECG.
        low: lowest rate of the heart in beats a minute.
        high: highest rate of the heart in beats a minute.
        pulse: whether the signals are PPGs, whose pulses point upwards, instead of ECGs.
        least: confidence below which there is no heart; 0: beats are found in noise too.
        beside: ``root_mean_square`` ``[...]`` of the mixture that the signal is a part of, or of the loudest part: a
            signal of at most a millionth of that is silent. None: a signal is silent only where it is constant, up to
            rounding.
    """
    silent = is_silent(signal, beside).flatten()
    flat = signal.reshape(-1, signal.shape[-1]).double()
    finite = flat.isfinite().all(-1)
    flat = torch.where(finite[:, None], flat, 0.0)
    flat = flat - flat.median(-1, keepdim=True).values
    if flat.shape[-1] < 2 * 60 / high * sample_rate or not len(flat):
        times, sure = flat.new_full((len(flat), 0), math.nan), flat.new_zeros(len(flat))
    else:
        times, sure = _detected(flat, sample_rate, low, high, _kind(low, pulse))
        sure = sure.masked_fill(silent, 0.0)
    rate = rate_of(times.sort(-1).values)
    if least > 0:
        sure = torch.where((rate > low / _BEYOND) & (rate < high * _BEYOND), sure, 0.0)
    times = times.masked_fill((silent | (sure < least) | ~finite)[:, None], math.nan).sort(-1).values
    times = times[:, : int(times.isfinite().sum(-1).max()) if len(times) else 0]
    rate = torch.where(times.isfinite().any(-1), rate, 0.0).masked_fill(~finite, math.nan)
    shape = signal.shape[:-1]
    return Beats(
        times.reshape(*shape, times.shape[-1]), rate.reshape(shape), sure.masked_fill(~finite, math.nan).reshape(shape)
    )


def root_mean_square(signal: Tensor) -> Tensor:
    """Return the root mean square ``[...]`` of ``[..., time]`` about the median, in float64; 0 if not finite."""
    centred = signal.double()
    if not centred.numel():
        return centred.new_zeros(centred.shape[:-1])
    centred = centred - centred.median(-1, keepdim=True).values
    found: Tensor = centred.square().mean(-1).sqrt().nan_to_num(0.0, 0.0, 0.0)
    return found


def is_silent(signal: Tensor, beside: Tensor | None = None) -> Tensor:
    """Return whether signals ``[..., time]``, in any unit, are silent, ``[...]``; see ``beside`` of ``detect``."""
    if not signal.shape[-1]:
        return torch.ones(signal.shape[:-1], dtype=torch.bool, device=signal.device)
    largest = signal.abs().amax(-1).double().nan_to_num(0.0, 0.0, 0.0)
    rounding = largest * (torch.finfo(signal.dtype).eps if signal.is_floating_point() else 0.0)
    return root_mean_square(signal) <= (rounding if beside is None else torch.maximum(rounding, _SILENCE * beside))


def in_band(signal: Tensor, sample_rate: float, low: float, pulse: bool = False) -> Tensor:
    """Return signals ``[..., time]`` after the band-pass in which ``detect`` looks for beats.

    Args:
        signal: ``[..., time]``, finite.
        sample_rate: sampling rate in Hz.
        low: lowest rate of the heart in beats a minute.
        pulse: whether the signals are PPGs.
    """
    flat = signal.reshape(-1, signal.shape[-1]).double()
    return _enveloped(flat, sample_rate, _kind(low, pulse))[0].reshape(signal.shape)


def _kind(low: float, pulse: bool) -> _Kind:
    return _PULSE if pulse else _FETAL_QRS if low >= FETAL_RATE else _ADULT_QRS


def rate_of(times: Tensor) -> Tensor:
    """Return beats a minute ``[...]`` by the median interval, 0 for fewer than two beats.

    Args:
        times: rising times of beats in seconds, ``[..., beat]``, then NaN.
    """
    if times.shape[-1] < 2:
        return times.new_zeros(times.shape[:-1])
    return (60 / times.diff(dim=-1).nanquantile(0.5, dim=-1)).nan_to_num(0.0)


def _detected(signal: Tensor, sample_rate: float, low: float, high: float, kind: _Kind) -> tuple[Tensor, Tensor]:
    """Return times ``[item, beat]``, NaN where there is none, and the confidence ``[item]``."""
    band, envelope = _enveloped(signal, sample_rate, kind)
    step = max(1, int(sample_rate / _GRID))
    tops = max_pool1d(envelope[:, None], step, ceil_mode=True)[:, 0]
    heights = (tops / _usual_height(tops, sample_rate / step, low)).clamp(max=_HIGHEST)
    interval = _interval(envelope, sample_rate, low, high) / step
    places = _sequence(heights, interval, sample_rate / step, low, high, kind.tight)
    return _refined(places, step, band, envelope, sample_rate, kind)


def _enveloped(signal: Tensor, sample_rate: float, kind: _Kind) -> tuple[Tensor, Tensor]:
    """Return the band-passed signal and its envelope, which is high at beats, both ``[item, time]``."""
    margin = min(signal.shape[-1] - 1, math.ceil(2 * sample_rate))
    mirrored = pad(signal[:, None], (margin, margin), mode="reflect")[:, 0]
    mirrored = pad(mirrored, (0, _fast_length(mirrored.shape[-1]) - mirrored.shape[-1]))
    frequency = torch.fft.fftfreq(mirrored.shape[-1], 1 / sample_rate, dtype=signal.dtype, device=signal.device)
    lowest, highest = kind.band
    size = frequency.abs().clamp(min=1e-9)
    gain = ((1 + (lowest / size) ** (2 * _ORDER)) * (1 + (size / highest) ** (2 * _ORDER))).rsqrt()
    analytic = torch.fft.ifft(torch.fft.fft(mirrored) * (gain * 2 * (frequency > 0)))
    inner = slice(margin, margin + signal.shape[-1])
    band = analytic.real[:, inner]
    if kind is _PULSE:
        return band, band.clamp(min=0)
    smoothed = torch.exp(-0.5 * (2 * math.pi * frequency * _SMOOTHING).square())
    return band, torch.fft.ifft(torch.fft.fft(analytic.abs()) * smoothed).real[:, inner].clamp(min=0)


def _fast_length(length: int) -> int:
    """Return a length of fast Fourier transforms: at most a sixteenth longer, without a large prime factor."""
    step: int = 2 ** max(0, length.bit_length() - 5)
    return -(-length // step) * step


def _usual_height(tops: Tensor, rate: float, low: float) -> Tensor:
    """Return the height of a usual beat, ``[item, 1]``: the median of the maxima of stretches that hold a beat."""
    stretch = min(tops.shape[-1], math.ceil(60 / low * rate))
    highest = max_pool1d(tops[:, None], stretch)[:, 0]
    return highest.median(-1, keepdim=True).values.clamp(min=1e-30)


def _interval(envelope: Tensor, sample_rate: float, low: float, high: float) -> Tensor:
    """Return the mean interval ``[item]`` in samples, by the autocorrelation at it, its double and its treble."""
    length = envelope.shape[-1]
    centred = envelope - envelope.mean(-1, keepdim=True)
    spectrum = torch.fft.rfft(pad(centred, (0, length)))
    lags = torch.arange(length, device=envelope.device)
    similar = torch.fft.irfft(spectrum.abs().square(), n=2 * length)[:, :length] / (length - lags)
    first = max(1, math.floor(60 / high * sample_rate))
    last = max(first + 2, min(math.ceil(60 / low * sample_rate), length - 2))
    searched = torch.arange(first - 1, last + 2, device=envelope.device).clamp(max=length - 1)
    total = similar[:, searched].clone()
    for multiple in (2, 3):
        inside = searched * multiple < 0.8 * length
        total += torch.where(inside, similar[:, (searched * multiple).clamp(max=length - 1)], 0.0) / multiple
    inner = total[:, 1:-1]
    peak = (inner > total[:, :-2]) & (inner >= total[:, 2:])
    highest = torch.where(peak, inner, -math.inf).amax(-1, keepdim=True)
    chosen = torch.where(highest.isfinite(), peak & (inner >= _NEARLY * highest), inner >= inner.amax(-1, keepdim=True))
    return (first + chosen.to(torch.uint8).argmax(-1)).to(envelope)


def _sequence(heights: Tensor, interval: Tensor, rate: float, low: float, high: float, tight: float) -> Tensor:
    """Return the places ``[item, beat]`` of the best sequence of beats, by heights ``[item, time]``; -1: no beat."""
    heights = heights.float()
    items, length = heights.shape
    first = max(1, math.floor(0.9 * 60 / high * rate))
    last = max(first + 1, math.ceil(1.25 * 60 / low * rate))
    lags = torch.arange(last, first - 1, -1, device=heights.device)
    cost = tight * (lags / interval[:, None].float()).log().square()
    score = heights.new_zeros(items, last + length)  # beats before the first sample cost nothing and bring nothing
    earlier = torch.zeros(items, length, dtype=torch.long, device=heights.device)
    for start in range(0, length, first):  # the shortest interval: within it no beat depends on another
        end = min(start + first, length)
        before = score[:, start : end + last - first].unfold(1, len(lags), 1)  # [item, time, lag]
        best, which = (before - cost[:, None]).max(-1)
        score[:, last + start : last + end] = heights[:, start:end] + best
        earlier[:, start:end] = torch.arange(start, end, device=heights.device) - lags[which]
    tail = min(length, last)
    place = score[:, -tail:].argmax(-1) + length - tail
    places = []
    for _ in range(length // first + 1):
        places.append(place)
        place = torch.where(place >= 0, earlier.gather(1, place.clamp(min=0)[:, None])[:, 0], -1)
    return torch.stack(places[::-1], dim=1).clamp(min=-1)


def _refined(
    places: Tensor, step: int, band: Tensor, envelope: Tensor, sample_rate: float, kind: _Kind
) -> tuple[Tensor, Tensor]:
    """Return times ``[item, beat]`` in seconds and the confidence ``[item]``, from places on a coarser grid."""
    reach = step + 1
    top = _windows(envelope, places.clamp(min=0) * step + step // 2, reach)
    height, offset = top.max(-1)
    centre = places.clamp(min=0) * step + step // 2 + offset - reach
    usual = torch.where(places >= 0, height, math.nan).nanquantile(0.75, dim=-1, keepdim=True)
    there = (places >= 0) & (height > _FEWEST * usual)
    if kind is _PULSE:
        left, middle, right = _windows(envelope, centre, 1).unbind(-1)
        curvature = (left - 2 * middle + right).clamp(max=-1e-30)
        exact = centre + (0.5 * (left - right) / curvature).clamp(-0.5, 0.5)
    else:
        around = round(_AROUND * sample_rate)
        shift = torch.arange(-around, around + 1, device=band.device)
        weights = _windows(envelope, centre, around).square()
        exact = centre + (weights * shift).sum(-1) / weights.sum(-1).clamp(min=1e-300)
    times = torch.where(there, exact / sample_rate, math.nan)
    return times, _confidence(band, envelope, centre, there, sample_rate, kind)


def _windows(values: Tensor, centre: Tensor, reach: int) -> Tensor:
    """Return windows ``[item, beat, 2 * reach + 1]`` of values ``[item, time]`` around each centre; 0 outside."""
    place = centre[:, :, None] + torch.arange(-reach, reach + 1, device=values.device)
    inside = (place >= 0) & (place < values.shape[-1])
    flat = values.gather(1, place.clamp(0, values.shape[-1] - 1).flatten(1)).reshape(place.shape)
    return flat * inside


def _confidence(
    band: Tensor, envelope: Tensor, centre: Tensor, there: Tensor, sample_rate: float, kind: _Kind
) -> Tensor:
    """Return the confidence ``[item]``, a logistic function of three features that tell beats from noise.

    The features are the mean correlation of every two beats' shapes, how low the envelope of an ECG is between beats,
    and how much one interval differs from the next (median, of the logarithms).
    """
    height = torch.where(there, _windows(envelope, centre, 0)[..., 0], math.nan)
    between = envelope.median(-1).values / height.nanmedian(-1).values
    intervals = torch.where(there, centre / sample_rate, math.nan).diff(dim=-1).log()
    uneven = intervals.diff(dim=-1).abs().nanmedian(-1).values.nan_to_num(0.0)
    alike = _alike(band, centre, there, round(kind.shape * sample_rate), max(1, round(kind.slack * sample_rate)))
    facts = torch.stack([alike, 1 - between, uneven.clamp(max=0.3)], dim=-1)
    sure: Tensor = torch.sigmoid(facts @ facts.new_tensor(kind.weights) - kind.intercept)
    return torch.where(there.sum(-1) >= 2, sure, 0.0)


def _alike(band: Tensor, centre: Tensor, there: Tensor, reach: int, slack: int) -> Tensor:
    """Return the mean correlation ``[item]`` of every two beats, each moved by at most ``slack`` to fit their mean."""
    width = 2 * reach + 1
    shifted = _windows(band, centre, reach + slack).unfold(-1, width, 1)  # [item, beat, shift, time]
    unit = shifted / shifted.norm(dim=-1, keepdim=True).clamp(min=1e-300) * there[..., None, None]
    chosen = unit[:, :, slack]
    for _ in range(2):
        best = torch.einsum("nbst,nt->nbs", unit, chosen.sum(1)).argmax(-1)
        chosen = unit.gather(2, best[..., None, None].expand(-1, -1, 1, width))[:, :, 0]
    count = there.sum(-1)
    alike: Tensor = (chosen.sum(1).square().sum(-1) - count) / (count * (count - 1)).clamp(min=1)
    return alike.clamp(min=0)


def qrs_height(signal: Tensor, sample_rate: float, times: Tensor) -> Tensor:
    """Return how high QRS complexes are, ``[...]``: the median over beats of the envelope from 10 to 45 Hz.

    In that band a mother's and a fetus's heights are comparable. The height is 0 where there are no beats, or the
    signal is not finite.

    Args:
        signal: ``[..., time]``.
        sample_rate: sampling rate in Hz.
        times: beats ``[..., beat]`` in seconds, NaN where there are fewer.
    """
    if not times.shape[-1]:
        return times.new_zeros(times.shape[:-1])
    flat, places = signal.reshape(-1, signal.shape[-1]).double(), times.reshape(-1, times.shape[-1])
    _, envelope = _enveloped(flat.nan_to_num(), sample_rate, _FETAL_QRS)
    at = (places.nan_to_num() * sample_rate).round().long().clamp(0, flat.shape[-1] - 1)
    heights = torch.where(places.isfinite(), envelope.gather(1, at), math.nan).nanmedian(-1).values
    finite = flat.isfinite().all(-1)
    return torch.where(finite, heights.nan_to_num(), 0.0).reshape(times.shape[:-1])

"""Beats of hearts in closed form: every shape and polarity that a lead may show, unlike one model heart's.

A beat is a sum of five Gaussians, P, Q, R, S and T, whose places, widths and amplitudes are drawn for each item. So a
separator learns what beats have in common and not one shape. All lengths are in seconds, amplitudes in units of the R
peak; every function draws uniformly unless it says otherwise, and takes all items at once.

The ranges are those of adults at rest and fetuses near term, wide enough for abdominal leads of any position. Sums of
Gaussians as waves of an ECG: McSharry et al., "A dynamical model for generating synthetic electrocardiogram signals"
(IEEE Trans. Biomed. Eng. 50, 2003).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Range = tuple[float, float]

VERSION = 1
"""Version of the signals; part of the key of cached ones."""

MARGIN = 1.0
"""Seconds of signal that are made before and after an item, and cut off after filtering."""

BREATH: Range = (0.15, 0.4)  # breaths a second
ARRHYTHMIA: Range = (0.0, 0.04)  # of the period, with the breath
JITTER: Range = (0.002, 0.015)  # standard deviation of a period
MODULATION: Range = (0.0, 0.15)  # of the amplitude, with the breath
QRS_WIDTH: Range = (0.010, 0.026)  # standard deviation of R
SIDE_WIDTH: Range = (0.6, 1.3)  # of Q and S, in standard deviations of R
SIDE_CENTRE: Range = (1.5, 3.0)  # of Q and S from R, in standard deviations of R
P_WIDTH: Range = (0.018, 0.050)
P_CENTRE: Range = (-0.200, -0.110)
T_WIDTH: Range = (0.035, 0.090)
T_CENTRE: Range = (0.200, 0.320)  # at a period of 1 s; with its square root at others
AMPLITUDES: tuple[Range, Range, Range, Range] = ((-0.05, 0.25), (-0.6, 0.0), (-1.0, 0.0), (-0.25, 0.6))  # P, Q, S, T
SMALL_R: Range = (0.1, 0.8)  # amplitude of R in a quarter of the items (rS and QR forms), else 1
SMALL_R_SHARE = 0.25
FETAL_QRS_WIDTH: Range = (0.4, 0.8)  # of an adult's
FETAL_P, FETAL_T = 0.6, 0.4  # amplitude, of an adult's
EARLY: Range = (0.6, 0.8)  # period before an ectopic beat; the one after it is as much longer
ECTOPIC_WIDTH: Range = (1.6, 2.2)  # of the QRS of an ectopic beat, which has no P, and T of the other sign

_ECTOPIC_FACTORS = (0.0, 1.0, 1.0, 1.0, -1.0)  # factor of the amplitudes of P, Q, R, S, T in an ectopic beat
_REACH = 0.75  # seconds from the R peak beyond which a beat is zero


@dataclass(frozen=True)
class Rhythm:
    """Beats of some items.

    Attributes:
        times: times of the R peaks from the start of the item, ``[item, beat]``, from before it to after its end.
        period: mean period of each item, ``[item]``.
        amplitudes: amplitude of each beat as a whole, ``[item, beat]``; 0 for a missed one.
        ectopic: whether a beat is ectopic, ``[item, beat]``.
    """

    times: Array
    period: Array
    amplitudes: Array
    ectopic: NDArray[np.bool_]


@dataclass(frozen=True)
class Shapes:
    """Shapes of the beats of some items: P, Q, R, S, T.

    Attributes:
        centres: from the R peak, ``[item, wave]``.
        widths: standard deviations, ``[item, wave]``.
        amplitudes: with the item's sign, ``[item, wave]``; in several leads (``seen_by_leads``) ``[item, lead, wave]``.
    """

    centres: Array
    widths: Array
    amplitudes: Array


def beats(
    random: np.random.Generator, items: int, bpm: Range, seconds: float, ectopic: float = 0.0, missed: float = 0.0
) -> Rhythm:
    """Return the times and the strengths of hearts' beats.

    Args:
        random: source of all random numbers.
        items: number of items.
        bpm: lowest and highest mean rate, in beats a minute.
        seconds: length of an item.
        ectopic: share of the beats that come early.
        missed: share of the beats that are not there.
    """
    period = 60 / random.uniform(*bpm, items)
    count = int(np.ceil((seconds + 2 * MARGIN) / (60 / bpm[1]) * 1.1)) + 3
    breath, phase = random.uniform(*BREATH, items), random.uniform(0, 2 * np.pi, (2, items))
    arrhythmia, jitter = random.uniform(*ARRHYTHMIA, items), random.uniform(*JITTER, items)
    noise = random.standard_normal((items, count))
    early = random.uniform(0, 1, (items, count)) < ectopic
    early[:, 1:] &= ~early[:, :-1]
    lead = random.uniform(*EARLY, (items, count))
    factor = np.where(early, lead, 1.0)
    factor[:, 1:] += np.where(early[:, :-1], 1 - lead[:, :-1], 0.0)
    times = np.zeros((items, count))
    now = -MARGIN - random.uniform(0, 1, items) * period
    for beat in range(count):
        sway = 1 + arrhythmia * np.sin(2 * np.pi * breath * now + phase[0])
        now = now + period * sway * (1 + jitter * noise[:, beat]) * factor[:, beat]
        times[:, beat] = now
    depth = random.uniform(*MODULATION, items)[:, None]
    strength = 1 + depth * np.sin(2 * np.pi * breath[:, None] * times + phase[1][:, None])
    there = random.uniform(0, 1, (items, count)) >= missed
    return Rhythm(times, period, strength * there, early)


def shapes(random: np.random.Generator, period: Array, fetal: bool) -> Shapes:
    """Return the shapes of each item's beats, given its mean period in seconds, ``[item]``."""
    items = len(period)
    qrs = random.uniform(*QRS_WIDTH, items) * (random.uniform(*FETAL_QRS_WIDTH, items) if fetal else 1.0)
    side_centres = random.uniform(*SIDE_CENTRE, (2, items)) * qrs
    side_widths = random.uniform(*SIDE_WIDTH, (2, items)) * qrs
    p_centre, p_width = random.uniform(*P_CENTRE, items), random.uniform(*P_WIDTH, items)
    t_centre, t_width = random.uniform(*T_CENTRE, items) * np.sqrt(period), random.uniform(*T_WIDTH, items)
    p, q, s, t = (random.uniform(*limits, items) for limits in AMPLITUDES)
    small = random.uniform(0, 1, items) < SMALL_R_SHARE
    r = np.where(small, random.uniform(*SMALL_R, items), 1.0)
    if fetal:
        p, t = FETAL_P * p, FETAL_T * t
    sign = random.choice((-1.0, 1.0), items)
    return Shapes(
        np.stack([p_centre, -side_centres[0], np.zeros(items), side_centres[1], t_centre], axis=1),
        np.stack([p_width, side_widths[0], qrs, side_widths[1], t_width], axis=1),
        sign[:, None] * np.stack([p, q, r, s, t], axis=1),
    )


def seen_by_leads(random: np.random.Generator, shape: Shapes, fetal: bool, leads: int) -> Shapes:
    """Return the shapes that several leads see: projections of a heart's dipole, which turns while it beats.

    The dipole has three components in space. Their waves have the same places and widths; each component has amplitudes
    of its own from the same ranges. The first lead sees the first component, which is ``shape``. Every other lead looks
    from a direction of its own, uniform on the sphere, so that each of up to three leads tells something new.

    Args:
        random: source of the directions, and of the other two components.
        shape: shapes in the first lead, of amplitudes ``[item, wave]``.
        fetal: whether the hearts are fetal.
        leads: number of leads.
    """
    items = len(shape.amplitudes)
    others = [shapes(random, np.ones(items), fetal).amplitudes for _ in range(2)]
    components = np.stack([shape.amplitudes, *others], axis=1)
    directions = random.standard_normal((items, leads, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions[:, 0] = (1.0, 0.0, 0.0)
    return replace(shape, amplitudes=directions @ components)


def widenings(random: np.random.Generator, rhythm: Rhythm) -> Array:
    """Return the factors by which QRS complexes are wider, ``[item, beat]``: 1 except for ectopic beats."""
    widths: Array = np.where(rhythm.ectopic, random.uniform(*ECTOPIC_WIDTH, rhythm.ectopic.shape), 1.0)
    return widths


def complexes(rhythm: Rhythm, shape: Shapes, widening: Array, seconds: float) -> Array:
    """Return the times of QRS complexes, ``[item, beat]`` in seconds, NaN where there is none in the item.

    The time of a complex is the centre of the energies of Q, R and S over all leads, wherever the highest peak is: R
    may be as small as a tenth of S. (A Gaussian's energy is in proportion to its squared amplitude times its width.) In
    a wider complex (``widenings``) the centre lies farther from R.
    """
    amplitudes = shape.amplitudes.reshape(len(rhythm.times), -1, len(_ECTOPIC_FACTORS))[:, :, 1:4]
    energies = np.square(amplitudes).sum(axis=1) * shape.widths[:, 1:4]
    offset = (energies * shape.centres[:, 1:4]).sum(axis=1) / energies.sum(axis=1)
    times: Array = rhythm.times + offset[:, None] * widening
    times[(times < 0) | (times >= seconds) | (rhythm.amplitudes <= 0)] = np.nan
    return times


def drawn(rhythm: Rhythm, shape: Shapes, widening: Array, rate: float, samples: int) -> Array:
    """Return signals of the beats, ``[item, lead, time]``, from ``MARGIN`` before the items' start on.

    They are ``[item, time]`` where the amplitudes of ``shape`` are ``[item, wave]``.

    Args:
        rhythm: the beats.
        shape: their shapes.
        widening: factors by which their QRS complexes are wider (``widenings``).
        rate: samples a second.
        samples: number of samples, margins included.
    """
    reach = round(_REACH * rate)
    around = np.arange(-reach, reach + 1)
    amplitudes = shape.amplitudes.reshape(len(rhythm.times), -1, len(_ECTOPIC_FACTORS))
    leads = amplitudes.shape[1]
    signal: Array = np.zeros((leads, len(rhythm.times), samples + 2 * reach))
    rows = np.arange(len(rhythm.times))[:, None]
    for beat in range(rhythm.times.shape[1]):
        time = (rhythm.times[:, beat, None] + MARGIN) * rate
        centre = np.clip(np.rint(time).astype(np.int64), 0, samples - 1)
        since = (centre + around - time) / rate
        odd, wide = rhythm.ectopic[:, beat], widening[:, beat]
        for wave, factor in enumerate(_ECTOPIC_FACTORS):
            stretch = wide if wave in (1, 2, 3) else np.ones_like(wide)
            deviation = since - (shape.centres[:, wave] * stretch)[:, None]
            deviation /= (shape.widths[:, wave] * stretch)[:, None]
            form = np.exp(-0.5 * np.square(deviation))
            for lead in range(leads):
                amplitude = amplitudes[:, lead, wave] * rhythm.amplitudes[:, beat] * np.where(odd, factor, 1.0)
                signal[lead, rows, centre + reach + around] += amplitude[:, None] * form
    inside = signal[..., reach : reach + samples]
    return inside[0] if shape.amplitudes.ndim == 2 else inside.swapaxes(0, 1)


def coloured(random: np.random.Generator, items: int, samples: int, rate: float, power: float, lowest: float) -> Array:
    """Return noise ``[item, time]`` of unit standard deviation whose power falls with the frequency to some power.

    Where ``lowest`` is 0, the power is the same at all frequencies below 1 Hz.

    Args:
        random: source of all random numbers.
        items: number of items.
        samples: number of samples.
        rate: samples a second.
        power: 0 for white noise, 1 for pink, 2 for brown.
        lowest: frequency in Hz below which there is nothing.
    """
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    gain = np.where(frequencies >= lowest, np.maximum(frequencies, lowest or 1.0) ** (-power / 2), 0.0)
    noise: Array = np.fft.irfft(np.fft.rfft(random.standard_normal((items, samples))) * gain, samples)
    noise /= noise.std(axis=1, keepdims=True)
    return noise


def band_passed(signal: NDArray[Any], rate: float, low: Array, high: Array) -> Array:
    """Return signals ``[item, ..., time]`` after a zero-phase band-pass of second order.

    Args:
        signal: ``[item, ..., time]``, taken as periodic.
        rate: samples a second.
        low: lower limit of each item in Hz, ``[item]``; 0: none.
        high: upper limit of each item in Hz, ``[item]``.
    """
    shape = (-1, *[1] * (signal.ndim - 1))
    frequencies = np.fft.rfftfreq(signal.shape[-1], 1 / rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(low.reshape(shape) > 0, 1 / (1 + (low.reshape(shape) / frequencies) ** 4), 1.0)
    above = 1 / (1 + (frequencies / high.reshape(shape)) ** 4)
    passed: Array = np.fft.irfft(np.fft.rfft(signal) * np.sqrt(below * above), signal.shape[-1])
    return passed


def decimated(signal: NDArray[Any], step: int) -> Array:
    """Return every ``step``-th sample of ``[..., time]`` after a low-pass for the lower rate; signals are periodic."""
    samples = signal.shape[-1] // step
    if step == 1:
        return signal
    spectrum = np.fft.rfft(signal[..., : samples * step])[..., : samples // 2 + 1]
    reduced: Array = np.fft.irfft(spectrum, samples) / step
    return reduced

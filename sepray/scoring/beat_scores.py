"""Compares the beats of an estimate with the true ones: found, missed, invented.

True beats are the task's, or those that ``signals.beats`` detects in the true sources, which hold one heart each (F1 of
the detected against the task's on ``ecg:varied``: 1.000).

A true beat is found if a beat of the estimate lies within ``TOLERANCE`` of it. 150 ms are usual for adults (ANSI/AAMI
EC57), 50 ms for fetal ECG (PhysioNet/CinC Challenge 2013). A beat at most ``EDGE`` from either end that has no partner
counts neither as missed nor as invented: half of it may be cut off.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..contracts import Signal, Split
from ..signals.beats import Beats, detect, rate_of, root_mean_square

TOLERANCE = 0.050
"""Largest distance in seconds between a true beat and the beat of an estimate that counts as the same."""

EDGE = 0.100
"""Seconds from either end of a signal within which a beat needs no partner."""

ROUNDING = 1e-6
"""Seconds that are added to a tolerance, because times in seconds are rounded."""


class BeatCounts(NamedTuple):
    """Numbers of beats, each ``[...]``.

    Attributes:
        found: true beats that the estimate has.
        missed: true beats that it lacks.
        invented: beats of the estimate that are not true.
    """

    found: Tensor
    missed: Tensor
    invented: Tensor

    @property
    def f1(self) -> Tensor:
        """Harmonic mean of sensitivity and positive predictive value: 1 where there is no beat and none is found."""
        wrong = self.missed + self.invented
        return torch.where(self.found + wrong > 0, 2 * self.found / (2 * self.found + wrong).clamp(min=1), 1.0)

    @property
    def missed_share(self) -> Tensor:
        """Share of the true beats that are missed: one less the sensitivity; 0 where there are none."""
        return self.missed / (self.found + self.missed).clamp(min=1)

    @property
    def invented_share(self) -> Tensor:
        """Share of the estimate's beats that are invented: one less the predictive value; 0 where there are none."""
        return self.invented / (self.found + self.invented).clamp(min=1)


def counts(beats: Tensor, true: Tensor, seconds: float, tolerance: float = TOLERANCE) -> BeatCounts:
    """Return how many beats are found, missed and invented, as float64.

    Args:
        beats: ``[..., beat]`` in seconds, NaN where an item has fewer.
        true: true beats, ``[..., beat]`` in seconds, NaN where an item has fewer. Each beat has one partner at most.
        seconds: length of the signals.
        tolerance: in seconds.
    """
    beats, true = (times.double().sort(-1).values for times in (beats, true))  # NaN last
    found, matched = _partners(beats, true, tolerance + ROUNDING)
    missed = (~matched & _is_within(true, seconds)).sum(-1)
    invented = (~found & _is_within(beats, seconds)).sum(-1)
    return BeatCounts(found.sum(-1).double(), missed.double(), invented.double())


def _partners(beats: Tensor, true: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return which beats, and which true beats, have a partner, each ``[..., beat]``; as many pairs as there can be.

    In rising order each true beat takes the earliest beat near it that no other has taken.

    Args:
        beats: ``[..., beat]`` in seconds, rising.
        true: ``[..., beat]`` in seconds, rising.
        tolerance: in seconds.
    """
    found, matched = (torch.zeros_like(times, dtype=torch.bool) for times in (beats, true))
    if not beats.shape[-1]:
        return found, matched
    following = torch.zeros((*beats.shape[:-1], 1), dtype=torch.long, device=beats.device)
    for k in range(true.shape[-1]):
        time = true[..., k, None]
        following = torch.maximum(following, (beats < time - tolerance).sum(-1, keepdim=True))
        nearest = following.clamp(max=beats.shape[-1] - 1)
        near = (following == nearest) & ((beats.gather(-1, nearest) - time).abs() <= tolerance)
        found.scatter_(-1, nearest, found.gather(-1, nearest) | near)
        matched[..., k] = near[..., 0]
        following = following + near
    return found, matched


def _is_within(beats: Tensor, seconds: float) -> Tensor:
    """Return whether each of ``[..., beat]`` is a beat, and at neither end, so that it needs a partner."""
    return (beats > EDGE) & (beats < seconds - EDGE)


MEASURES = ("heart_rate_error", "beat_f1", "missed_beats", "invented_beats")
"""Measures that ``score`` returns."""

_USUAL: tuple[float, float] = (40.0, 200.0)  # beats a minute, where the task says no range
_LEAST_ECG_RATE = 100.0  # Hz: beats of signals with a lower rate are pulses, where the task says no ranges


def detected(source: Tensor, name: str, signal: Signal, beside: Tensor) -> Beats:
    """Return the beats of one source.

    Args:
        source: ``[item, channel, time]``.
        name: its name.
        signal: kind of signal, which says the range of its rate, and whether its beats are pulses.
        beside: ``[item]``: level of the item's loudest source, beside which it may be silent.
    """
    low, high = signal.heart_range(name) or _USUAL
    rate = signal.sample_rate or math.nan
    pulse = name in signal.pulse_sources or (not signal.heart_rates and rate < _LEAST_ECG_RATE)
    return detect(_one_lead(source), rate, low, high, pulse, beside=beside)


def _loudest(sources: Tensor) -> Tensor:
    """Return the level ``[item]`` of the loudest source, ``[item, source, channel, time]``."""
    return root_mean_square(sources).flatten(1).amax(1)


def _one_lead(leads: Tensor) -> Tensor:
    """Return ``[item, time]`` of ``[item, channel, time]``: the leads' sum in which their steps are largest.

    It is the first principal component of the differences from sample to sample, so that neither polarities that
    differ nor slow waves hide the QRS complexes.
    """
    if leads.shape[1] == 1:
        return leads[:, 0]
    steps = leads.double().diff(dim=-1).nan_to_num(0.0, 0.0, 0.0)
    weights = torch.linalg.eigh(steps @ steps.mT).eigenvectors[..., -1]
    return torch.einsum("nct,nc->nt", leads.double(), weights)


def with_beats(split: Split, signal: Signal) -> Split:
    """Return a split with the beats of its true sources, so that they are detected once for several systems.

    It is the same split where the task knows the beats, or where no source is a heart.
    """
    if split.beats is not None or not signal.heart_sources:
        return split
    none = split.sources.new_zeros(len(split), 0, dtype=torch.float64)
    sources = zip(split.sources.unbind(1), signal.sources, strict=True)
    loudest = _loudest(split.sources)
    times = [
        detected(source, name, signal, loudest).times.double() if name in signal.heart_sources else none
        for source, name in sources
    ]
    most = max(own.shape[1] for own in times)
    beats = [pad(own, (0, most - own.shape[1]), value=math.nan) for own in times]
    return replace(split, beats=torch.stack(beats, dim=1))


def score(estimate: Tensor, reference: Tensor, signal: Signal, beats: Tensor | None = None) -> dict[str, Tensor]:
    """Return the scores ``[item, source]`` by each of ``MEASURES``; NaN for sources without a heart.

    They are NaN too where the estimate is not finite, and the error of the rate where the task says no range. A signal
    without beats has a rate of 0.

    Args:
        estimate: ``[item, source, channel, time]``.
        reference: ``[item, source, channel, time]``.
        signal: kind of signal.
        beats: true beats, ``[item, source, beat]`` in seconds, NaN where there are fewer; None: those that are
            detected in the reference.

    Raises:
        ValueError: the signals have no time, or other axes.
    """
    if estimate.ndim != 4:
        raise ValueError(f"beats need [item, source, channel, time], not {list(estimate.shape)}")
    seconds = estimate.shape[-1] / (signal.sample_rate or math.nan)
    scores = {name: estimate.new_full(estimate.shape[:2], math.nan) for name in MEASURES}
    finite = estimate.flatten(2).isfinite().all(-1)
    true_level = _loudest(reference)
    loudest = torch.maximum(true_level, _loudest(estimate))
    for k, name in enumerate(signal.sources):
        if name not in signal.heart_sources:
            continue
        if beats is None:
            true, true_rate, _ = detected(reference[:, k], name, signal, true_level)
        else:
            true, true_rate = beats[:, k], rate_of(beats[:, k])
        times, rate, _ = detected(estimate[:, k], name, signal, loudest)
        found = counts(times, true, seconds)
        error = (rate - true_rate).abs()
        if signal.heart_range(name) is None:
            error = torch.full_like(error, math.nan)
        for measure, value in zip(MEASURES, (error, found.f1, found.missed_share, found.invented_share), strict=True):
            scores[measure][:, k] = value.to(estimate.dtype).masked_fill(~finite[:, k], math.nan)
    return scores

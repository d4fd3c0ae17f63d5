"""Scores of estimates of a record, a recording of a patient, of which only rates or beats of its hearts are known.

Segments of 10 s are scored by themselves, in each lead. A lead is right if the median rate of its segments is within
5 beats a minute of the annotated one. Where there is no such heart, every segment with beats is an invented one. A
fetus whose beats are much lower than the mother's (``FAINT``), or beat when hers do (``HERS``), is taken for what is
left of her, and not found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..contracts import Signal
from ..signals.beats import FETAL_RATE, Beats, detect, qrs_height
from ..signals.heart_annotations import Annotation
from .beat_scores import ROUNDING, TOLERANCE, counts

SECONDS = 10.0
"""Length of a segment in seconds; a shorter recording is one segment."""

NEAR = 5.0
"""Largest difference between a right rate and the annotated one, in beats a minute."""

FAINT = 0.07
"""Height (``signals.beats.qrs_height``) of a fetus's beats, the mother's = 1, below which there is none.

In 2.5% of the synthetic fetuses that are found, the beats are lower. ``python benchmarks/beats.py --faint`` measures
the share, without any real recording."""

HERS = 0.6
"""Share of a fetus's beats within ``TOLERANCE`` of one of the mother's, above which they are taken for hers. By chance
it is a fifth, and a half for a fetus that beats twice as fast as she does; ``python benchmarks/beats.py --hers``
measures it on synthetic fetuses."""


def segments(signal: Tensor, rate: float) -> Tensor:
    """Return ``[..., segment, time]`` of ``[..., time]``; samples after the last whole segment are not scored."""
    length = min(signal.shape[-1], round(SECONDS * rate))
    count = signal.shape[-1] // length
    parts: Tensor = signal[..., : count * length].unflatten(-1, (count, length))
    return parts


def mother_and_fetus(signal: Signal) -> tuple[str, str] | None:
    """Return the names of a mother's and her fetus's ECG, where a model separates these two."""
    if signal.pulse_sources or len(signal.heart_rates) != 2:
        return None
    (slow, low, _), (fast, high, _) = sorted(signal.heart_rates, key=lambda entry: entry[1])
    return (slow, fast) if low < FETAL_RATE <= high else None


def found_beats(
    estimate: Tensor,
    rate: float,
    name: str,
    signal: Signal,
    mother: tuple[Tensor, Tensor] | None = None,
    beside: Tensor | None = None,
) -> Beats:
    """Return the beats of a source in segments of its estimate, ``[lead, segment, time]``.

    Args:
        estimate: the segments.
        rate: samples a second.
        name: name of the source.
        signal: kind of signal, which says its range.
        mother: the same system's estimate of the mother, and her beats ``[lead, segment, beat]``; None: there is no
            mother, or the source is the mother.
        beside: level ``[lead, segment]`` of the loudest estimate of the same system, beside which this one may be
            silent; None: it is not compared.
    """
    low, high = signal.heart_range(name) or (40.0, 200.0)
    found = detect(estimate, rate, low, high, name in signal.pulse_sources, beside=beside)
    if mother is None:
        return found
    faint = qrs_height(estimate, rate, found.times) < FAINT * qrs_height(mother[0], rate, mother[1])
    none = faint | (share_of_mothers(found.times, mother[1]) > HERS)
    times, beats = found.times.masked_fill(none[..., None], math.nan), found.rate.masked_fill(none, 0.0)
    return Beats(times, beats, found.confidence.masked_fill(none, 0.0))


def share_of_mothers(beats: Tensor, mothers: Tensor) -> Tensor:
    """Return the share ``[...]`` of a fetus's beats ``[..., beat]`` that are also the mother's; 0 where it has none."""
    near = ((beats[..., :, None] - mothers[..., None, :]).abs() <= TOLERANCE + ROUNDING).any(-1)
    return near.sum(-1) / beats.isfinite().sum(-1).clamp(min=1)


@dataclass(frozen=True)
class RecordScores:
    """Scores of one system for one heart in a record.

    Attributes:
        leads: number of estimates: leads, or 1 where all of them give one.
        leads_right: those whose median rate is right; None where the heart is not there, or no segment has a rate.
        segments: number of segments of all leads that have an annotated rate.
        segments_right: those whose rate is right; None where ``leads_right`` is.
        invented: share of the segments with a heart that is not there; None where it is there.
        beat_f1: mean F1 of the beats within 50 ms, over segments; None without annotated beats in any of them.
        rate: median rate that was found, over all segments with one, in beats a minute; 0 if there is none.
        missed_beats: mean share of the annotated beats that are missed, over segments; None without annotated beats.
        invented_beats: mean share of the found beats that are not annotated, over segments; None without annotated
            beats.
        confidence: median over segments of how much found beats look like those of one heart (``signals.beats``), from
            0 to 1. It is no probability. It is 0 where a fetus's beats are taken for what is left of the mother's.
    """

    leads: int
    leads_right: int | None
    segments: int
    segments_right: int | None
    invented: float | None
    beat_f1: float | None
    rate: float
    missed_beats: float | None = None
    invented_beats: float | None = None
    confidence: float = 0.0

    @property
    def document(self) -> dict[str, Any]:
        """The scores as JSON."""
        return dict(vars(self))


def score(found: Beats, known: Annotation, seconds: float) -> RecordScores:
    """Return the scores of beats ``[lead, segment, beat]`` that were found, against the known beats or rates.

    Args:
        found: the beats.
        known: what is known of this heart.
        seconds: length of a segment.
    """
    leads, count = found.rate.shape
    rates = found.rate.numpy()
    there = rates[rates > 0]
    median = float(np.median(there)) if len(there) else 0.0
    sure = float(np.median(found.confidence.nan_to_num().numpy()))
    if known.absent:
        return RecordScores(leads, None, leads * count, None, float((rates > 0).mean()), None, median, confidence=sure)
    wanted = np.array([known.rate_in(k * seconds, (k + 1) * seconds) for k in range(count)])
    scored = np.isfinite(wanted)
    right = np.abs(rates[:, scored] - wanted[scored]) <= NEAR
    leads_right = segments_right = None
    if scored.any():
        leads_right = int((np.abs(np.median(rates[:, scored], 1) - np.median(wanted[scored])) <= NEAR).sum())
        segments_right = int(right.sum())
    f1 = missed = invented = None
    if len(known.beats_in(0, count * seconds)):
        true = [torch.from_numpy(known.beats_in(k * seconds, (k + 1) * seconds)) for k in range(count)]
        padded = torch.nn.utils.rnn.pad_sequence(true, batch_first=True, padding_value=math.nan)
        counted = counts(found.times, padded.expand(leads, -1, -1), seconds)
        parts = (counted.f1, counted.missed_share, counted.invented_share)
        f1, missed, invented = (float(part.mean()) for part in parts)
    return RecordScores(
        leads, leads_right, int(right.size), segments_right, None, f1, median, missed, invented, confidence=sure
    )

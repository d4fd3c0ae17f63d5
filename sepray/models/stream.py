"""Passes a recording through a model block by block: it is resampled, separated in windows, and resampled back.

Before that the level of each channel is brought to that of the training mixtures. A channel with an offset that they
did not have (counts of a converter, the constant part of a PPG, unsigned numbers) is shifted. If all sources are ECGs
without a baseline of their own, disturbances and everything slower than the heart beat are removed. From other
recordings a running median is removed, if their level changes by more than that of the training mixtures did. No
estimate contains what was removed, so the estimates do not add up to the mixture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..scoring.offsets import (
    BREATHES,
    MIXTURE_LEVEL,
    NO_BASELINE,
    SOURCE_BASELINE,
    jumps,
    offset,
    slow_share,
    usual_spread,
    wanders,
)
from ..signals.baseline import Baseline, with_slow_part
from ..signals.disturbances import Disturbances, Tally, disturbances
from ..signals.overlap_add import cut, each_channel, resampled, resampled_length, separated
from ..signals.recording_types import Block, Recording, check_change
from ..signals.running_median import drift, in_pieces, less_drift, less_running_median, stretches
from .model import Model
from .model_signal import lowest_heart_rate, require_sounds
from .slow_heart import usual_rate

Array = NDArray[np.float32]

_FEWEST_SAMPLES = 16  # samples of the shortest window
_PARTS = 4  # stretches in the length of an item, in the search for steps that do not last
_MOST_TOLD = 4  # channels in a note
_SLOWER = 0.85  # share of its usual rate that a heart slower than the model's may fall to


@dataclass(frozen=True)
class Levels:
    """Parts of a recording's signal that are removed before it is separated.

    Attributes:
        offsets: a constant for each channel; 0 for a channel that lies as training mixtures did.
        medians: length of each channel's running median in samples, which is removed before its offset; 0 for none.
        drifts: for each channel the slope per sample of a line, which is removed before the running median: a running
            median lags behind a steep line.
        disturbances: steps and pops, removed after the offset; None for none.
        baseline: signal that is slower than the heart beats, removed at the end; None for none.
        told: notes for the user on the disturbances.
    """

    offsets: tuple[float, ...]
    medians: tuple[int, ...]
    drifts: tuple[float, ...]
    disturbances: Disturbances | None = None
    baseline: Baseline | None = None
    told: tuple[str, ...] = ()

    def taken_from(self, blocks: Iterable[Block]) -> Iterator[Array]:
        """Yield blocks ``[channel, time]`` without these levels, as float32."""
        level: Iterable[Block] = self.less_offsets(blocks)
        if self.disturbances is not None:
            level = (part.signal for part in self.disturbances.taken_from(in_pieces(level)))
        for block in level if self.baseline is None else self.baseline.taken_from(level):
            yield np.asarray(block, dtype=np.float32)

    def less_offsets(self, blocks: Iterable[Block]) -> Iterable[Block]:
        """Return blocks ``[channel, time]`` from which only the running medians and the offsets are removed."""
        offsets = np.array(self.offsets)[:, None]
        if any(self.medians):
            blocks = less_running_median(less_drift(blocks, self.drifts), self.medians)
        # In the block's own type: float32 would round samples of float64.
        return (block - offsets.astype(block.dtype) for block in blocks) if offsets.any() else blocks


def estimates_of(
    recording: Recording,
    model: Model,
    window: float | None = None,
    each: Callable[[Array], None] | None = None,
    levels: Levels | None = None,
) -> Iterator[Array]:
    """Yield the estimates in blocks ``[source, channel, time]`` at the recording's rate, without seams.

    They have ``estimate_channels`` channels. A model of one channel separates each channel by itself. The levels
    (``levels_of``) are removed first.

    Args:
        recording: the mixture.
        model: a model of sounds, for which ``require_sounds`` has passed.
        window: length that the model separates at once, in seconds; None: the length that it was trained on.
        each: called with every block ``[channel, time]`` of the mixture without its levels, before it is separated.
        levels: levels of the recording; None: they are found here.

    Raises:
        UsageError: the model takes another number of channels, or its rate is too far from the recording's.
    """
    rate = require_sounds(model)
    check_change(recording.rate, rate, str(recording.path))
    separate = _for_channels(model, recording.channels)
    samples = model.shape[0] if window is None else round(window * rate)
    taken = levels_of(recording, model) if levels is None else levels

    def mixture() -> Iterator[Array]:
        for block in taken.taken_from(recording.blocks()):
            if each is not None:
                each(block)
            yield block

    at_model_rate = resampled(mixture(), recording.rate, rate)
    frames = resampled_length(recording.frames, recording.rate, rate)
    estimates = separated(at_model_rate, frames, separate, samples)
    return cut(resampled(estimates, rate, recording.rate), recording.frames)


def levels_of(recording: Recording, model: Model) -> Levels:
    """Return the levels to remove from a recording before it is separated; to find them, it may be read through.

    Nothing is removed if the model's metadata lack the level of its training mixtures, or if the recording's samples
    have not been read when it was opened.
    """
    trained = model.metadata.get(MIXTURE_LEVEL)
    none = (0.0,) * recording.channels
    nothing = Levels(none, (0,) * recording.channels, none)
    if not trained or not recording.locations:
        return nothing
    levels = Levels(tuple(offset(*found, trained) for found in recording.locations), nothing.medians, none)
    own = model.metadata.get(SOURCE_BASELINE)
    lowest = lowest_heart_rate(model) / recording.rate
    if own is None or own > NO_BASELINE or not lowest or recording.frames < _FEWEST_SAMPLES:
        return _less_medians(recording, model, levels, trained)
    return _less_disturbances(recording, model, levels, trained, lowest)


def _less_medians(recording: Recording, model: Model, levels: Levels, trained: dict[str, float]) -> Levels:
    """Return levels with the running medians of channels whose level changes.

    Changes are first looked for between stretches as long as the model's items. Without them, steps that do not last
    are looked for between stretches of a quarter of that length; in a short recording of half its length.
    """
    item = round(model.shape[0] / require_sounds(model) * recording.rate)
    short = min(item // _PARTS, max(_FEWEST_SAMPLES, recording.frames // 2))
    for samples, changes in ((item, wanders), (short, jumps)):
        if samples < _FEWEST_SAMPLES or recording.frames <= samples:
            continue
        offsets, medians, drifts = list(levels.offsets), list(levels.medians), list(levels.drifts)
        found = stretches(levels.taken_from(recording.blocks()), samples)
        for channel, (middles, spreads) in enumerate(zip(*found, strict=True)):
            if changes(middles, spreads, trained):
                offsets[channel] = -trained["usual"] * usual_spread(spreads)
                drifts[channel] += drift(middles, samples)
                medians[channel] = samples
        levels = Levels(tuple(offsets), tuple(medians), tuple(drifts))
    return levels


def _less_disturbances(
    recording: Recording, model: Model, levels: Levels, trained: dict[str, float], lowest: float
) -> Levels:
    """Return levels with the disturbances of ECGs, and with everything in them that is slower than the heart beats.

    A breath and a step are told apart by how fast the level changes, whatever its height. The running median of other
    recordings (``_less_medians``) would harm the beats of one that breathes.

    Args:
        recording: the mixture.
        model: the model.
        levels: offsets of the recording.
        trained: range of the offsets of training mixtures.
        lowest: the lowest rate of the model's hearts, in beats per sample. The heart in the recording may be slower.
    """

    def mixture() -> Iterable[Block]:
        return levels.less_offsets(in_pieces(recording.blocks()))

    found = disturbances(mixture(), recording.frames, lowest)
    tally = Tally(recording.channels)
    signals = tally.watching(found.taken_from(mixture()))
    if recording.frames * lowest <= 1:  # less than a beat has no slow part, but without the steps it has a new level
        whole = np.concatenate(list(signals), axis=-1)
        places = zip(levels.offsets, np.median(whole, axis=1), whole.std(axis=1), strict=True)
        offsets = tuple(own + offset(float(m), float(spread), trained) for own, m, spread in places)
        return replace(levels, offsets=offsets, disturbances=found, told=_told_of(tally, recording.rate))
    usual = usual_rate(signals, recording.frames, recording.rate) / recording.rate
    if 0 < usual < lowest:
        lowest = _SLOWER * usual
    item = round(model.shape[0] / require_sounds(model) * recording.rate)
    halves = with_slow_part((part.signal for part in found.taken_from(mixture())), lowest)
    both = (np.concatenate([slow, block - slow], dtype=np.float32) for block, slow in halves)
    middles, spreads = stretches(both, item)
    slow, rest = np.split(np.hypot(middles - np.median(middles, axis=1, keepdims=True), spreads), 2)
    left = zip(*(half[len(slow) :] for half in (middles, spreads)), strict=True)
    own = tuple(float(np.median(middle)) - trained["usual"] * usual_spread(spread) for middle, spread in left)
    shares = tuple(map(slow_share, slow, rest))
    told = _told_of(tally, recording.rate)
    return replace(levels, disturbances=found, baseline=Baseline(lowest, own, shares), told=told)


def _told_of(tally: Tally, rate: float) -> tuple[str, ...]:
    """Return notes on the disturbances of a recording."""
    notes = []
    away = [
        f"{count / rate:.2g} s, first at {begin / rate:.6g} s (channel {channel})"
        for channel, (count, begin) in enumerate(zip(tally.far, tally.first, strict=True), 1)
        if count
    ]
    if away:
        words = "some samples lie too far away to be of beats (a pop of an electrode?), and nothing is separated there"
        notes.append(f"{words}: {_told(away)}")
    stepping = [f"{count} (channel {channel})" for channel, count in enumerate(tally.steps, 1) if count]
    if stepping:
        notes.append(f"the level steps, and its steps are in no estimate: {_told(stepping)}")
    return tuple(notes)


def notes_on(recording: Recording, model: Model, levels: Levels | None = None) -> tuple[str, ...]:
    """Return notes for the user on a recording and its separation, a line each.

    Args:
        recording: the mixture.
        model: the model.
        levels: levels of the recording; None: they are found here.
    """
    taken = levels_of(recording, model) if levels is None else levels
    notes = (*recording.notes, *_note_on_rate(recording.rate, float(model.sample_rate or 0.0)))
    each = list(enumerate(zip(taken.offsets, taken.medians, strict=True), 1))
    constant = [f"{value:.6g} (channel {channel})" for channel, (value, samples) in each if value and not samples]
    if constant:
        words = "the recording has an offset that no training mixture had, and that is in no estimate"
        notes = (*notes, f"{words}: {_told(constant)}")
    running = [
        f"over {samples / recording.rate:.3g} s (channel {channel})" for channel, (_, samples) in each if samples
    ]
    if running:
        words = "the level changes by more than in any training mixture; its running median is in no estimate"
        notes = (*notes, f"{words}: {_told(running)}")
    notes = (*notes, *taken.told)
    shares = () if taken.baseline is None else taken.baseline.shares
    moving = [f"channel {channel}" for channel, share in enumerate(shares, 1) if share > BREATHES]
    if taken.baseline is not None and moving:
        words = "the baseline moves as a breath moves it; what is slower than hearts beat is in no estimate"
        notes = (*notes, f"{words}: below {taken.baseline.half * recording.rate:.2g} Hz ({_told(moving)})")
    return notes


def _told(parts: list[str]) -> str:
    more = f" and {len(parts) - _MOST_TOLD} more" if len(parts) > _MOST_TOLD else ""
    return f"{', '.join(parts[:_MOST_TOLD])}{more}"


def _note_on_rate(rate: float, trained: float) -> tuple[str, ...]:
    """Return a note if a recording has less than half of the frequencies that the model was trained on."""
    if rate >= trained / 2:
        return ()
    return (
        f"the recording has nothing above {rate / 2:g} Hz, and the model has learned from signals up to "
        f"{trained / 2:g} Hz: what it separates may be none of its sources",
    )


def shortest_window(model: Model) -> float:
    """Return the length in seconds of the shortest window that a model can separate."""
    return _FEWEST_SAMPLES / require_sounds(model)


def check_window(window: float | None, model: Model | None = None) -> None:
    """Check the length of a window: it must be above 0 seconds, finite, and not too short for the model.

    Args:
        window: length in seconds; None: the model's own window, which is not checked.
        model: model that separates the windows; None: only the sign of the length is checked.

    Raises:
        UsageError: the window is too short, or not a finite number.
    """
    if window is None:
        return
    if not (window > 0 and math.isfinite(window)):
        raise UsageError(f"window must be more than 0 seconds, not {window:g}")
    if model is not None and window < shortest_window(model):
        at_least = f"{shortest_window(model):.3g} s at the model's {model.sample_rate:g} Hz"
        raise UsageError(f"window must be at least {at_least}, not {window:g}")


def wanted_sources(model: Model, source: str | None) -> tuple[str, ...]:
    """Return the names of the sources that are wanted: the given one, or all of the model's.

    Raises:
        UsageError: the model has no such source.
    """
    if source is None:
        return model.sources
    if source not in model.sources:
        raise UsageError(f"{model.name} has no source {source!r}; it separates {', '.join(model.sources)}")
    return (source,)


def estimate_channels(recording: Recording, model: Model) -> int:
    """Return the number of channels of a recording's estimates: the recording's, or that of the model's sources."""
    return recording.channels if model.source_channels == model.channels else model.source_channels


def _for_channels(model: Model, channels: int) -> Callable[[Array], Array]:
    if channels == model.channels:
        return model.separate
    if model.channels == 1:
        return each_channel(model.separate)
    raise UsageError(f"{model.name} takes {model.channels} channels, and the recording has {channels}")

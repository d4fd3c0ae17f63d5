"""Scores of whole recordings: each is separated in overlapping windows without seams, and measured in one piece.

So a track has one value by each measure, of whatever length it is. One track is separated at a time, as ``sepray
separate`` does it (``signals.overlap_add``). In memory are its estimates (4 bytes for each sample, channel and source)
and a few copies of one source. BSS Eval (museval) takes several times as much, because its filters are fitted to the
whole track.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Signal, Split, Tracks
from ..signals.overlap_add import separated
from . import metrics

Scores = dict[str, NDArray[np.float64]]
Frames = dict[str, NDArray[np.float64]]
System = Callable[[Tensor, Tensor], Tensor]
"""Function of mixtures and true sources that returns estimates ``[batch, source, channel, time]``."""

_SAMPLES_AT_ONCE = 1 << 18


def estimates_of(system: System, mixture: Tensor, sources: Tensor, window: int) -> Tensor:
    """Return a system's estimates ``[source, channel, time]`` of a whole track, separated without seams.

    Args:
        system: the system; an oracle is shown the same stretch of the true sources as of the mixture.
        mixture: ``[channel, time]``.
        sources: true sources, ``[source, channel, time]``.
        window: length that is separated at once in samples, best that of the items that a separator was trained on.
    """
    channels, (count, _, time) = len(mixture), sources.shape

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, time, _SAMPLES_AT_ONCE):
            cut = slice(start, start + _SAMPLES_AT_ONCE)
            yield torch.cat((mixture[:, cut], sources[..., cut].flatten(0, 1))).numpy()

    def separate(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        both = torch.from_numpy(windows)
        found = system(both[:, :channels], both[:, channels:].unflatten(1, (count, -1)))
        return found.float().cpu().numpy()

    estimates = np.empty(sources.shape, dtype=np.float32)
    done = 0
    for block in separated(blocks(), time, separate, window):
        estimates[..., done : done + block.shape[-1]] = block
        done += block.shape[-1]
    return torch.from_numpy(estimates)


def seamless(system: System, signal: Signal) -> Callable[[Split], Callable[[Tensor], Tensor]]:
    """Return a function from the mixture of a track to its estimates, which have no seams.

    A separation takes a mixture ``[1, channel, time]`` as long as its track, and returns estimates
    ``[1, source, channel, time]``. An oracle is shown the track's true sources.

    Args:
        system: the system.
        signal: kind of signal of an item; its length is the window.
    """

    def of(track: Split) -> Callable[[Tensor], Tensor]:
        return lambda mixture: estimates_of(system, mixture[0], track.sources[0], signal.shape[0])[None]

    return of


def singly(tracks: Tracks) -> Iterator[Split]:
    """Return each track as a split of one item."""
    for mixture, sources in zip(tracks.mixtures, tracks.sources, strict=True):
        yield Split(mixture[None], sources[None])


def score(system: System, tracks: Tracks, signal: Signal) -> Scores:
    """Return the scores ``[track, source]`` of a system by every measure that is quick, and the energies.

    Args:
        system: the system, on the CPU.
        tracks: whole recordings.
        signal: kind of signal of an item, which decides the measures; its length is the window.
    """
    rows: list[dict[str, list[float]]] = []
    with torch.inference_mode():
        for mixture, sources in zip(tracks.mixtures, tracks.sources, strict=True):
            estimates = estimates_of(system, mixture, sources, signal.shape[0])
            row: dict[str, list[float]] = {}
            for k, name in enumerate(signal.sources):  # one at a time: each takes a few copies of a track
                hearts = tuple(heart for heart in signal.heart_sources if heart == name)
                rates = tuple(rate for rate in signal.heart_rates if rate[0] == name)
                pulses = tuple(pulse for pulse in signal.pulse_sources if pulse == name)
                own = replace(signal, sources=(name,), heart_sources=hearts, heart_rates=rates, pulse_sources=pulses)
                found = metrics.score(estimates[None, k : k + 1], sources[None, k : k + 1], own)
                for measure, value in found.items():
                    row.setdefault(measure, [float("nan")] * len(signal.sources))[k] = float(value)
            rows.append(row)
    return {measure: np.array([row[measure] for row in rows]) for measure in rows[0]}


def bss_eval(
    system: System, tracks: Tracks, signal: Signal, on_item: Callable[[int, Frames], None] | None = None
) -> Scores:
    """Return SDR, ISR, SIR and SAR of BSS Eval v4 for every track: medians over its frames of a second.

    Args:
        system: the system, on the CPU.
        tracks: whole recordings.
        signal: kind of signal of an item; its length is the window.
        on_item: called with the number of each track and the scores of its frames.

    Raises:
        UsageError: BSS Eval is not defined for the signal or a track, or museval cannot be imported.
    """
    from . import bss_eval as measure

    medians: list[dict[str, NDArray[np.float64]]] = []
    shortest = min(mixture.shape[-1] for mixture in tracks.mixtures)
    rate = measure.check(replace(signal, shape=(shortest,)))
    with torch.inference_mode():
        for number, (mixture, sources) in enumerate(zip(tracks.mixtures, tracks.sources, strict=True)):
            estimates = estimates_of(system, mixture, sources, signal.shape[0])
            frames = measure.frames(sources.double().numpy(), estimates.double().numpy(), rate)
            if on_item is not None:
                on_item(number, frames)
            medians.append({name: measure.median(values) for name, values in frames.items()})
    return {name: np.stack([track[name] for track in medians]) for name in medians[0]}

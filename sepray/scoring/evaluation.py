"""Scores of separators on a split, and of the bounds that they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contracts import Separator, Signal, Split, Tracks, estimate
from ..separator_checks import check_estimates
from ..signals.ideal_masks import ORACLES
from ..signals.stft import Spectrogram
from . import metrics, track_scores

Scores = dict[str, NDArray[np.float64]]
"""Name of a measure or an energy (see ``metrics.score``) -> scores ``[item, source]``."""

Frames = dict[str, NDArray[np.float64]]
"""Name of a measure of BSS Eval -> scores ``[source, frame]`` of one item."""

System = Callable[[Tensor, Tensor], Tensor]
"""Function of mixtures and true sources that returns estimates ``[batch, source, channel, *signal]``."""


def score_split(
    separate: Separator | Callable[[Tensor], Tensor],
    split: Split | Tracks,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    signal: Signal | None = None,
) -> Scores:
    """Return the scores of a separator on every item of a split, or on every whole track (see ``track_scores``).

    Args:
        separate: a separator on ``device``, or a function of ``[batch, channel, *signal]`` that returns
            ``[batch, source, channel, *signal]``. A separator that is an oracle is given the true sources too.
        split: mixtures and true sources, on any device; tracks on the CPU.
        batch_size: number of items separated at once.
        device: device that the mixtures are moved to.
        signal: kind of signal in the split, which decides the measures; None: the measures that fit any signal.

    Raises:
        ValueError: the estimates have another shape than the sources.
    """
    return _score(system_of(separate), split, batch_size, device, signal)


def system_of(separate: Separator | Callable[[Tensor], Tensor]) -> System:
    """Return a separator, or a function of mixtures ``[batch, channel, *signal]``, as a ``System``."""

    def system(mixture: Tensor, sources: Tensor) -> Tensor:
        if not isinstance(separate, Separator):
            return separate(mixture)
        estimates = estimate(separate, mixture, sources)
        check_estimates(separate, estimates, sources)
        return estimates

    return system


def unprocessed_mixture(mixture: Tensor, sources: Tensor) -> Tensor:
    """Return the mixture, in the sources' channels, as the estimate of every source: the score to exceed."""
    return mixture[:, : sources.shape[2]].unsqueeze(1).expand_as(sources)


def bounds(
    split: Split | Tracks, n_fft: int = 62, hop: int = 16, batch_size: int = 64, signal: Signal | None = None
) -> dict[str, Scores]:
    """Return the scores of ``unprocessed_mixture`` and, for signals over time, of every oracle mask on an STFT.

    Args:
        split: mixtures and true sources. For images there are no oracle masks.
        n_fft: samples in a frame; 62 with ``hop`` 16 makes 32 x 32 bins of 504 samples.
        hop: samples from one frame to the next.
        batch_size: number of items scored at once.
        signal: kind of signal in the split, which decides the measures; None: the measures that fit any signal.

    Raises:
        ValueError: the signal is shorter than a frame.
    """
    systems = reference_systems(split, n_fft, hop)
    return {name: _score(system, split, batch_size, signal=signal) for name, system in systems.items()}


def default_transform(signal: Signal) -> tuple[int, int]:
    """Return frame length and hop, in samples, of the STFT for signals of this kind.

    Frames of 32 ms every 8 ms, as is usual for speech and music. Signals with a low rate (ECG, PPG) get frames of 62
    samples every 16, which makes 32 x 32 bins of 504 samples. No frame is longer than an item.
    """
    frame_of_32_ms = 2 * round(0.016 * (signal.sample_rate or 0.0))
    n_fft = max(4, min(max(62, frame_of_32_ms), 2 * (signal.shape[0] // 2)))
    return n_fft, max(1, round(n_fft / 4))


def reference_systems(split: Split | Tracks, n_fft: int, hop: int) -> dict[str, System]:
    """Return the systems that ``bounds`` scores, by name."""
    systems: dict[str, System] = {"unprocessed_mixture": unprocessed_mixture}
    if isinstance(split, Tracks) or split.mixture.ndim == 3:
        spectrogram = Spectrogram(n_fft, hop)
        systems |= {name: _with_transform(oracle, spectrogram) for name, oracle in ORACLES.items()}
    return systems


def bss_eval(
    system: System,
    split: Split | Tracks,
    signal: Signal,
    batch_size: int = 64,
    on_item: Callable[[int, Frames], None] | None = None,
) -> Scores:
    """Return SDR, ISR, SIR and SAR of BSS Eval v4 for every item or track: medians over its frames.

    museval computes them (see ``scoring.bss_eval``). It takes seconds per item, too long for the validation of every
    epoch. An item with a silent source has no score (NaN), as a frame with a silent source has none in museval.

    Args:
        system: function of mixtures and true sources on the CPU that returns estimates.
        split: mixtures and true sources.
        signal: kind of signal in the split.
        batch_size: number of items separated at once.
        on_item: called with the index of each item and the scores of its frames.

    Raises:
        UsageError: BSS Eval is not defined for the signal, or museval cannot be imported.
    """
    from . import bss_eval as measure

    if isinstance(split, Tracks):
        return track_scores.bss_eval(system, split, signal, on_item)
    rate = measure.check(signal)
    medians: list[dict[str, NDArray[np.float64]]] = []
    with ThreadPoolExecutor(measure.threads()) as pool, torch.inference_mode():
        for mixture, sources in zip(split.mixture.split(batch_size), split.sources.split(batch_size), strict=True):
            pairs = zip(sources.double().numpy(), system(mixture, sources).double().cpu().numpy(), strict=True)
            for frames in pool.map(lambda pair: measure.frames(pair[0], pair[1], rate), pairs):
                if on_item is not None:
                    on_item(len(medians), frames)
                medians.append({name: measure.median(values) for name, values in frames.items()})
    return {name: np.stack([item[name] for item in medians]) for name in medians[0]}


def _with_transform(oracle: Callable[[Tensor, Tensor, Spectrogram], Tensor], spectrogram: Spectrogram) -> System:
    return lambda mixture, sources: oracle(mixture, sources, spectrogram)


def _score(
    system: System,
    split: Split | Tracks,
    batch_size: int,
    device: torch.device | str = "cpu",
    signal: Signal | None = None,
) -> Scores:
    """Return the scores of a system's estimates, computed batch by batch, or track by track."""
    if isinstance(split, Tracks):
        if signal is None:
            raise ValueError("whole tracks are scored by the kind of their signal, and there is none")
        return track_scores.score(system, split, signal)
    batches: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        start = 0
        for mixture, sources in zip(split.mixture.split(batch_size), split.sources.split(batch_size), strict=True):
            mixture, sources = mixture.to(device), sources.to(device)
            beats = None if split.beats is None else split.beats[start : start + len(mixture)].to(device)
            batches.append(metrics.score(system(mixture, sources), sources, signal, beats))
            start += len(mixture)
    return {name: torch.cat([b[name] for b in batches]).double().cpu().numpy() for name in batches[0]}

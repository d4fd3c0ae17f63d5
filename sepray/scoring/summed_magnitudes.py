"""The score of the CASS authors' code, and so of their Table 1: magnitudes are summed into a mixture.

The code never sees a true mixture. Its input is the sum of the sources' magnitudes, and truth and estimate alike take
the mixture's phase before the norm of their difference is taken. What phases do is left out: an ideal ratio mask is
exact, and so are true magnitudes. Here the norm is relative (CASS eq. 6); the code's is not.

A separator separates signals, so it is given the signal of the spectrum that has the summed magnitudes and the
mixture's phase. Its estimates, and the true sources, take that phase too. Where frames overlap no signal has
exactly that spectrum, so masks that are perfect for it have an error of a few percent. Bounds are computed of the
magnitudes themselves, and are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..choices import SUMMED_MAGNITUDES
from ..contracts import Separator, Signal, Split, Tracks, estimate
from ..separator_checks import check_estimates
from ..signals.ideal_masks import ORACLES, Transform
from ..signals.stft import Spectrogram
from . import track_scores
from .evaluation import system_of, unprocessed_mixture
from .metrics import relative_error

NORMS = dict(zip(SUMMED_MAGNITUDES, (1.0, 2.0, math.inf), strict=True))
"""Measure -> order of its norm."""
_FRAME_SECONDS = 1024 / 44100

Errors = dict[str, NDArray[np.float64]]
"""Measure -> ``[item, source]``."""


def transform(signal: Signal) -> tuple[int, int]:
    """Return frame length and hop in samples: the code's 1024 and 768 at 44.1 kHz, at other rates as long in seconds.

    A frame has a power of two samples: at least 64, but no more than about an eighth of an item. A hop is three
    quarters of a frame.
    """
    longest = math.log2(max(signal.shape[0], 32) / 8)
    wanted = max(6.0, math.log2((signal.sample_rate or 1.0) * _FRAME_SECONDS))
    n_fft = 2 ** max(2, round(min(longest, wanted)))
    return n_fft, 3 * n_fft // 4


def score(
    separate: Separator | Callable[[Tensor], Tensor], split: Split | Tracks, signal: Signal, batch_size: int = 64
) -> Errors:
    """Return a separator's errors ``[item, source]`` by each norm, of whole tracks ``[track, source]``.

    Args:
        separate: a separator, or a function of ``[batch, channel, time]`` that returns estimates of the sources.
        split: true sources ``[item, source, channel, time]``; its mixtures are not looked at.
        signal: kind of signal in the split.
        batch_size: number of items separated at once.

    Raises:
        ValueError: the estimates have another shape than the sources.
    """
    if isinstance(split, Tracks):
        seamless = track_scores.seamless(system_of(separate), signal)
        return _joined([score(seamless(one), one, signal) for one in track_scores.singly(split)])
    spectrogram = Spectrogram(*transform(signal))

    def system(mixture: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        given, true = (spectrogram.inverse(values, split.sources.shape[-1]) for values in (mixture, sources))
        if isinstance(separate, Separator):
            estimates = estimate(separate, given, true)
            check_estimates(separate, estimates, true)
        else:
            estimates = separate(given)
        return spectrogram.transform(estimates), spectrogram.transform(true)

    return _score(system, split, spectrogram, batch_size)


def bounds(split: Split | Tracks, signal: Signal, batch_size: int = 64) -> dict[str, Errors]:
    """Return the errors of the mixture and the oracles as ``score`` does, by the names of ``evaluation.bounds``."""
    if isinstance(split, Tracks):
        each = [bounds(one, signal) for one in track_scores.singly(split)]
        return {name: _joined([found[name] for found in each]) for name in each[0]}
    spectrogram, spectra = Spectrogram(*transform(signal)), _Spectra()

    def scored(system: Callable[[Tensor, Tensor], Tensor]) -> Errors:
        return _score(lambda mixture, true: (system(mixture, true), true), split, spectrogram, batch_size)

    def of_spectra(oracle: Callable[[Tensor, Tensor, Transform], Tensor]) -> Errors:
        return scored(lambda mixture, true: oracle(mixture, true, spectra))

    return {"unprocessed_mixture": scored(unprocessed_mixture)} | {n: of_spectra(f) for n, f in ORACLES.items()}


class _Spectra:
    """A transform that changes nothing, for oracles that are given spectra and not signals."""

    def transform(self, signal: Tensor) -> Tensor:
        return signal

    def inverse(self, spectrum: Tensor, time: int) -> Tensor:
        return spectrum


def _score(
    system: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], split: Split, spectrogram: Spectrogram, batch_size: int
) -> Errors:
    """Score a function of the summed spectrum and the sources' that returns spectra of estimates and of the truth."""
    found = []
    with torch.inference_mode():
        for sources in split.sources.split(batch_size):
            phase = torch.polar(torch.ones(()), spectrogram.transform(sources.sum(1)).angle())[:, None]
            true = spectrogram.transform(sources).abs() * phase
            both = (values.abs() * phase for values in system(true.sum(1), true))
            signals = [spectrogram.inverse(values, sources.shape[-1]) for values in both]
            errors = {name: relative_error(signals[0], signals[1], order) for name, order in NORMS.items()}
            found.append({name: values.double().cpu().numpy() for name, values in errors.items()})
    return _joined(found)


def _joined(parts: Sequence[Errors]) -> Errors:
    """Return the errors of all items of several splits."""
    return {name: np.concatenate([part[name] for part in parts]) for name in NORMS}

"""Measures of fetal estimates that a squared error does not reward: sizes of hidden beats, and spectra.

A fetal beat is hidden where one of the mother's is within ``NEAR``: under her QRS complex.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sepray.contracts import Split
from sepray.scoring.beat_scores import counts
from sepray.scoring.metrics import relative_error
from sepray.signals.beats import FETUS, detect, root_mean_square

Scores = dict[str, NDArray[np.float64]]

NEAR = 0.040
"""Seconds from a maternal beat within which a fetal one is hidden, and to either side of it that are looked at."""
BLOCK = 20
"""Items whose hidden beats make one distribution of sizes."""
_LEAST = 1e-3  # of the mixture's level: smaller ones count as this
_BAND = 6.0, 60.0  # Hz; an offset is in the two bins below


def hidden(beats: Tensor, seconds: float) -> Tensor:
    """Return when fetuses beat near their mothers, ``[item, beat]`` in seconds, else NaN.

    Args:
        beats: ``[item, source, beat]``, the mother first; NaN where there are fewer.
        seconds: length of an item; beats less than ``NEAR`` from its ends are left out.
    """
    mother, fetus = beats.unbind(1)
    near = ((fetus[:, :, None] - mother[:, None]).abs() <= NEAR).any(-1)
    return fetus.where(near & (fetus >= NEAR) & (fetus <= seconds - NEAR), torch.nan)


def windows(signal: Tensor, times: Tensor, rate: float) -> Tensor:
    """Return ``[item, beat, sample]`` of ``[item, time]``, ``NEAR`` to either side, without its mean; 0 for NaN."""
    reach = round(NEAR * rate)
    place = (times.nan_to_num(0.0) * rate).round().long()[..., None] + torch.arange(-reach, reach + 1)
    cut = signal.gather(1, place.clamp(0, signal.shape[-1] - 1).flatten(1)).reshape(place.shape)
    return (cut - cut.mean(-1, keepdim=True)) * times.isfinite()[..., None]


def spectrum(signal: Tensor, rate: float) -> Tensor:
    """Return the mean power from 8 to 56 Hz, ``[item, bin]``, of ``[item, time]``, in frames of a quarter second."""
    n_fft = 2 * round(rate / 8)
    frames = torch.stft(signal, n_fft, n_fft // 2, window=torch.hann_window(n_fft).to(signal), return_complex=True)
    bins = torch.fft.rfftfreq(n_fft, 1 / rate)
    return frames.abs().square().mean(-1)[:, (bins >= _BAND[0]) & (bins <= _BAND[1])]


def scores(estimates: Tensor, split: Split, rate: float) -> Scores:
    """Return the measures of the fetal estimates, each ``[unit]``: items for which it is defined, or blocks of them.

    Args:
        estimates: ``[item, source, 1, time]``, finite.
        split: mixtures, sources (the mother, the fetus) and their beats.
        rate: sample rate in Hz.
    """
    assert split.beats is not None
    estimate, true, mixture = (s.double() for s in (estimates[:, 1, 0], split.sources[:, 1, 0], split.mixture[:, 0]))
    seconds, beats, loudness = mixture.shape[-1] / rate, split.beats, root_mean_square(mixture)
    quiet, has = _LEAST * loudness[:, None], beats[:, 1].isfinite().any(-1)
    hers = beats[:, 0].where((beats[:, 0] >= NEAR) & (beats[:, 0] <= seconds - NEAR), torch.nan)[~has]
    left, mother = (
        windows(signal[~has], hers, rate).square().sum((1, 2)).sqrt()
        for signal in (estimate, split.sources[:, 0, 0].double())
    )
    found = detect(estimate, rate, *FETUS, beside=loudness).times
    times = hidden(beats, seconds)
    here = times.isfinite()
    some = here.any(-1)
    own, its = windows(estimate, times, rate), windows(true, times, rate)
    energy = its.square().sum((1, 2))[some]
    logs = [cut.square().mean(-1).sqrt().clamp(min=quiet).log() for cut in (own, its)]
    blocks = some.nonzero()[:, 0].split(BLOCK)
    sorted_logs = [[size[block][here[block]].sort().values for block in blocks] for size in logs]
    power = [spectrum(signal, rate)[has] + quiet[has].square() for signal in (estimate, true)]
    measures = {
        "relative L2": relative_error(estimate[:, None, None], true[:, None, None], 2)[:, 0],
        "beat F1": counts(found, beats[:, 1], seconds).f1,
        "hidden recall": 1 - counts(found, times, seconds).missed_share[some],
        "hidden relative L2": ((own - its).square().sum((1, 2))[some] / energy).sqrt(),
        "hidden slope": (own * its).sum((1, 2))[some] / energy,
        "hidden sizes": torch.stack([(a - b).abs().mean() for a, b in zip(*sorted_logs, strict=True)]),
        "left of hers": (left / mother).clamp(min=_LEAST).log(),
        "spectrum, dB": (10 * (power[0] / power[1]).log10()).square().mean(-1).sqrt(),
    }
    return {name: value.numpy() for name, value in measures.items()}

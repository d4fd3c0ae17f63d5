"""Measures of separation that are quick enough for the validation of every epoch.

Estimates and references are ``[item, source, channel, *signal]``; a measure returns ``[item, source]``. Which measures
are defined depends on the kind of signal: see ``of``. BSS Eval takes seconds per item and is in ``bss_eval``.

A signal counts as silent if its root mean square is below ``SILENCE``. Relative measures are not defined for a silent
reference. To avoid NaN and infinity, a silent estimate of a silent reference gets the best score, and any other
estimate of it the worst (see each measure). An estimate that is not finite gets scores that are not finite, so that a
diverged trial shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..choices import MEASURES
from ..contracts import Signal
from ..errors import UsageError
from ..signals.heart_rate import heart_rate
from . import beat_scores

Score = Callable[[Tensor, Tensor], Tensor]
"""A measure: a function of estimate and reference, both ``[..., channel, *signal]``, that returns ``[...]``."""
SILENCE = 1e-6
"""Root mean square below which a signal counts as silent, in the unit of the signal (-120 dB of full scale)."""

SI_SDR_LIMIT = 60.0
"""Largest absolute value of SI-SDR in dB, to which it is clipped; beyond, the rounding of float32 decides."""

PSNR_LIMIT = 100.0
"""Largest value of PSNR and SNR in dB, to which they are clipped; a perfect estimate would have an infinite one."""

_ENERGIES = ("estimate_energy", "reference_energy")


def relative_error(estimate: Tensor, reference: Tensor, order: float) -> Tensor:
    """Return ``||estimate - reference||_p / ||reference||_p`` over channel and signal (CASS eq. 6).

    If the reference is silent, a silent estimate gets 0 and any other estimate 1.

    Args:
        estimate: ``[item, source, channel, *signal]``.
        reference: ``[item, source, channel, *signal]``.
        order: order p of the norm; ``math.inf`` for the largest absolute value.

    Raises:
        ValueError: the shapes differ, or have fewer than four dimensions.
    """
    _check(estimate, reference)
    error = torch.linalg.vector_norm((estimate - reference).flatten(2), ord=order, dim=-1)
    norm = torch.linalg.vector_norm(reference.flatten(2), ord=order, dim=-1)
    silent = _silent(reference)
    convention = torch.where(_silent(estimate), 0.0, 1.0) + 0 * error  # keeps NaN
    return torch.where(silent, convention, error / norm.where(~silent, 1.0))


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio in dB.

    As in Le Roux et al., "SDR - half-baked or well done?" (2019), over channel and signal together, without removing
    means, and clipped to plus and minus ``SI_SDR_LIMIT``. If both estimate and reference are silent, the score is the
    upper limit; if only one of them is silent, the lower limit.

    torchmetrics' function is not used. Importing it costs every worker 3.3 s (it imports matplotlib). It gives a silent
    estimate 0 dB, which is better than many real estimates get. And it adds a constant to energies that is not small
    beside the energy of a quiet source. The tests compare the two on signals where both are defined.

    Raises:
        ValueError: the shapes differ, or are not ``[item, source, channel, *signal]``.
    """
    _check(estimate, reference)
    silent_estimate, silent_reference = _silent(estimate), _silent(reference)
    unit_estimate = _unit(estimate, silent_estimate)
    unit_reference = _unit(reference, silent_reference)
    target = (unit_estimate * unit_reference).sum(-1, keepdim=True) * unit_reference
    distortion = (unit_estimate - target).square().sum(-1)
    ratio = 10 * torch.log10(target.square().sum(-1) / distortion)
    # An estimate orthogonal to the reference (0 / 1) or without distortion (1 / 0) has an infinite ratio: clipped.
    ratio = ratio.clamp(-SI_SDR_LIMIT, SI_SDR_LIMIT)
    ratio = ratio.masked_fill(silent_estimate ^ silent_reference, -SI_SDR_LIMIT)
    ratio = ratio.masked_fill(silent_estimate & silent_reference, SI_SDR_LIMIT)
    finite = estimate.flatten(2).isfinite().all(-1)
    return ratio.masked_fill(~finite, math.nan)


def snr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return ``10 log10(|reference|^2 / |reference - estimate|^2)`` in dB, over channel and time.

    This is what NES calls the PSNR of sounds (Table 2): of two sources that are equally loud the mixture scores 0.0. It
    is clipped to plus and minus ``PSNR_LIMIT``. If the reference is silent, a silent estimate gets the upper limit and
    any other estimate the lower one.

    Args:
        estimate: ``[item, source, channel, *signal]``.
        reference: true sources, of the same shape.

    Returns:
        ``[item, source]``.

    Raises:
        ValueError: the shapes differ, or have fewer than four dimensions.
    """
    error = relative_error(estimate, reference, 2)
    ratio = (-20 * torch.log10(error)).clamp(-PSNR_LIMIT, PSNR_LIMIT)
    return torch.where(_silent(reference) & (error > 0), -PSNR_LIMIT, ratio)


def psnr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of images in dB for a peak of 1, at most ``PSNR_LIMIT``.

    torchmetrics computes it, over channels, height and width of each image, as in NES (Table 1). Estimates are not
    clipped to 0..1 first.

    Raises:
        ValueError: the shapes differ, or are not ``[item, source, channel, height, width]``.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio  # the import takes seconds: for images only

    images = _images(estimate, reference)
    ratio: Tensor = peak_signal_noise_ratio(*images, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return ratio.clamp(max=PSNR_LIMIT).reshape(estimate.shape[:2])


def ssim(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity of images (Wang et al. 2004) for values in 0..1.

    torchmetrics computes it: Gaussian windows of 11 x 11 pixels with a standard deviation of 1.5, K1 = 0.01 and
    K2 = 0.03, mean over channels and window positions.

    Raises:
        UsageError: the images have fewer than 6 pixels a side, too few for the window.
        ValueError: the shapes differ, or are not ``[item, source, channel, height, width]``.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images = _images(estimate, reference)
    if min(estimate.shape[-2:]) < 6:
        raise UsageError(f"ssim needs images of at least 6 x 6 pixels, not {list(estimate.shape[-2:])}")
    similarity: Tensor = structural_similarity_index_measure(*images, data_range=1.0, reduction="none")
    return similarity.reshape(estimate.shape[:2])


def heart_rate_error(estimate: Tensor, reference: Tensor, sample_rate: float, hearts: Sequence[bool]) -> Tensor:
    """Return the absolute error of the estimate's heart rate in beats per minute; NaN for sources without a heart.

    ``signals.heart_rate`` finds both rates from the mean over channels. A signal without beats has a rate of 0, so the
    error of an estimate without beats is the whole rate. Where the task says in which range a source's rate lies,
    ``beat_scores`` finds the rates instead.

    Args:
        estimate: ``[item, source, channel, time]``.
        reference: ``[item, source, channel, time]``.
        sample_rate: sample rate in Hz.
        hearts: for each source, whether it has a heart rate.

    Raises:
        ValueError: the shapes differ, or do not have four dimensions.
    """
    _check(estimate, reference)
    if estimate.ndim != 4:
        raise ValueError(f"a heart rate needs [item, source, channel, time], not {list(estimate.shape)}")
    means = [signal.mean(2) for signal in (estimate, reference)]
    levels = [own.double().std(-1, correction=0).nan_to_num(0.0, 0.0, 0.0).amax(1, keepdim=True) for own in means]
    beside = [torch.maximum(*levels).expand(own.shape[:2]) for own in means]
    estimated, true = (heart_rate(own, sample_rate, loud) for own, loud in zip(means, beside, strict=True))
    has_heart = torch.tensor(list(hearts), device=estimate.device)
    return (estimated - true).abs().masked_fill(~has_heart, math.nan)


def _relative(order: float) -> Score:
    return lambda estimate, reference: relative_error(estimate, reference, order)


METRICS: dict[str, Score] = {
    "relative_l1": _relative(1),
    "relative_l2": _relative(2),
    "relative_linf": _relative(math.inf),
    "si_sdr": si_sdr,
}
"""Measures that are defined for any signal, by name; ``choices.MEASURES`` describes each of them."""

_OF_SOUNDS: dict[str, Score] = {"snr": snr}
_OF_IMAGES: dict[str, Score] = {"psnr": psnr, "ssim": ssim}


def of(signal: Signal) -> dict[str, Score]:
    """Return the measures of this module that are defined for a kind of signal, by name."""
    measures = METRICS | (_OF_IMAGES if len(signal.shape) == 2 else _OF_SOUNDS)
    if signal.heart_sources and signal.sample_rate is not None:
        measures |= {name: _of_hearts(name, signal) for name in beat_scores.MEASURES}
    return measures


def _of_hearts(name: str, signal: Signal) -> Score:
    return lambda estimate, reference: _heart_scores(estimate, reference, signal)[name]


def _heart_scores(
    estimate: Tensor, reference: Tensor, signal: Signal, beats: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the scores ``[item, source]`` of hearts by name; NaN for sources without one."""
    _check(estimate, reference)
    scores = beat_scores.score(estimate, reference, signal, beats)
    unranged = [s in signal.heart_sources and signal.heart_range(s) is None for s in signal.sources]
    if any(unranged):
        found = heart_rate_error(estimate, reference, signal.sample_rate or math.nan, unranged)
        has_range = torch.tensor([not own for own in unranged], device=estimate.device)
        scores["heart_rate_error"] = torch.where(has_range, scores["heart_rate_error"], found)
    return scores


def unfit(name: str, signal: Signal, source: str = "") -> str:
    """Return why a measure is not defined for a kind of signal, or for one of its sources; empty if it is defined."""
    kind = MEASURES[name].signals
    images = len(signal.shape) == 2
    if kind == "images" and not images:
        sounds = "; of sounds NES calls snr the PSNR" if name == "psnr" else ""
        return f"{name} measures images, and the task's signals are over time{sounds}"
    if kind == "sounds" and images:
        return f"{name} measures sounds, and the task has images"
    if kind == "hearts" and not signal.heart_sources:
        return f"{name} needs sources with a heart rate, and {', '.join(signal.sources)} have none"
    if kind == "hearts" and source and source not in signal.heart_sources:
        with_heart = ", ".join(signal.heart_sources)
        return f"{name} needs sources with a heart rate, and {source} has none; sources with one: {with_heart}"
    return ""


def score(
    estimate: Tensor, reference: Tensor, signal: Signal | None = None, beats: Tensor | None = None
) -> dict[str, Tensor]:
    """Return the scores by every measure, and ``estimate_energy`` and ``reference_energy``, each ``[item, source]``.

    Args:
        estimate: ``[item, source, channel, *signal]``.
        reference: ``[item, source, channel, *signal]``.
        signal: kind of signal, which decides the measures; None: the measures that fit any signal.
        beats: true beats as in ``Split``; None: those that are detected in the reference.

    Raises:
        ValueError: the shapes differ, or have fewer than four dimensions.
    """
    measures = METRICS if signal is None else of(signal)
    of_hearts = {name for name in measures if MEASURES[name].signals == "hearts"}
    scores = {n: measure(estimate, reference) for n, measure in measures.items() if n not in of_hearts}
    if signal is not None and of_hearts:  # these measures share one detection of beats
        scores |= _heart_scores(estimate, reference, signal, beats)
    energies = (values.flatten(2).square().sum(-1) for values in (estimate, reference))
    return scores | dict(zip(_ENERGIES, energies, strict=True))


def summary(
    scores: Mapping[str, Tensor], sources: Sequence[str], heart_sources: Sequence[str] = ()
) -> dict[str, float]:
    """Return the means over items of the scores that ``score`` returns (batches concatenated along ``item``).

    Keys are ``<metric>`` (mean over items and sources) and ``<source>/<metric>`` (mean over items); measures of hearts
    have only the ``heart_sources``. If the scores include the energies there is ``<source>/energy_ratio``
    too: the energy of all estimates over that of all references, near 0 for a source that has collapsed. It is 1 for a
    source that is silent throughout, which cannot collapse.

    Raises:
        ValueError: the scores are not ``[item, source]`` with as many sources as there are names.
    """
    for name, values in scores.items():
        if values.ndim != 2 or values.shape[1] != len(sources) or not len(values):
            raise ValueError(f"{name} must be [item, {len(sources)} sources], not {list(values.shape)}")
    means: dict[str, float] = {}
    for name, values in scores.items():
        if name not in _ENERGIES:
            per_source = dict(zip(sources, values.double().mean(0).tolist(), strict=True))
            if name in MEASURES and MEASURES[name].signals == "hearts":
                per_source = {source: per_source[source] for source in heart_sources}
            means[name] = math.fsum(per_source.values()) / len(per_source)
            means |= {f"{source}/{name}": value for source, value in per_source.items()}
    if all(name in scores for name in _ENERGIES):
        estimate, reference = (scores[name].double().sum(0) for name in _ENERGIES)
        ratio = torch.where(reference > 0, estimate / reference, 1.0)
        means |= {f"{source}/energy_ratio": float(ratio[k]) for k, source in enumerate(sources)}
    return means


def _check(estimate: Tensor, reference: Tensor) -> None:
    if estimate.shape != reference.shape:
        shapes = f"{list(estimate.shape)} and {list(reference.shape)}"
        raise ValueError(f"estimate and reference must have one shape, not {shapes}")
    if estimate.ndim < 4 or not estimate.numel():
        raise ValueError(f"estimates must be [item, source, channel, *signal], not {list(estimate.shape)}")


def _images(estimate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as ``[item * source, channel, height, width]``."""
    _check(estimate, reference)
    if estimate.ndim != 5:
        raise ValueError(f"images must be [item, source, channel, height, width], not {list(estimate.shape)}")
    return estimate.flatten(0, 1), reference.flatten(0, 1)


def _silent(signal: Tensor) -> Tensor:
    """Return whether each signal is silent, ``[item, source]``."""
    silent: Tensor = signal.flatten(2).square().mean(-1) < SILENCE**2
    return silent


def _unit(signal: Tensor, silent: Tensor) -> Tensor:
    """Return ``[item, source, channel * signal]`` scaled to a Euclidean norm of 1; silent signals are not scaled."""
    flat = signal.flatten(2)
    norm: Tensor = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    return flat / norm.masked_fill(silent[..., None], 1.0)

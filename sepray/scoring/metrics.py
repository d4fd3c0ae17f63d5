"""Measures of separation that every epoch can afford. Imports nothing from sepray but the contracts.

Estimates and references are ``[item, source, channel, *signal]``; a measure gives ``[item, source]``. Which of them are
defined depends on the kind of signal: ``of(signal)``. BSS Eval, which takes seconds an item, is in ``bss_eval``.

A signal counts as silent where its root mean square is below ``SILENCE``. Where a reference is silent no relative
measure is defined; so that none becomes NaN or infinite, a silent estimate of it is called perfect and any other one
as bad as it gets (see each measure). An estimate that is not finite has scores that are not: a diverged trial has to
show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..choices import MEASURES
from ..contracts import Metric, Signal
from ..signals.heart_rate import heart_rate

SILENCE = 1e-6
"""Root mean square below which a signal is silent, in the signal's own unit (-120 dB of full scale)."""

SI_SDR_LIMIT = 60.0
"""SI-SDR is kept between plus and minus this, in dB: beyond it, float32 measures its own rounding."""

PSNR_LIMIT = 100.0
"""PSNR is kept below this, in dB: a perfect estimate has no finite one."""

_ENERGIES = ("estimate_energy", "reference_energy")


def relative_error(estimate: Tensor, reference: Tensor, order: float) -> Tensor:
    """Return ``||estimate - reference||_p / ||reference||_p`` over channel and signal (CASS eq. 6).

    For a silent reference: 0 for a silent estimate, 1 for any other.

    Args:
        estimate: ``[item, source, channel, *signal]``.
        reference: of the same shape.
        order: p; ``math.inf`` for the largest absolute value.

    Raises:
        ValueError: the shapes differ, or are not of that form.
    """
    _check(estimate, reference)
    error = torch.linalg.vector_norm((estimate - reference).flatten(2), ord=order, dim=-1)
    norm = torch.linalg.vector_norm(reference.flatten(2), ord=order, dim=-1)
    silent = _silent(reference)
    convention = torch.where(_silent(estimate), 0.0, 1.0) + 0 * error  # a NaN stays one
    return torch.where(silent, convention, error / norm.where(~silent, 1.0))


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the scale-invariant signal-to-distortion ratio in dB.

    As in Le Roux et al., "SDR - half-baked or well done?" (2019), over channel and signal together, without removing
    means, and kept between plus and minus ``SI_SDR_LIMIT``. A silent estimate of a silent reference gets the most; a
    silent estimate of any other reference, and any other estimate of a silent one, the least.

    Not torchmetrics': importing that costs every worker 3.3 s (it brings matplotlib), gives a silent estimate 0 dB,
    better than many a real one, and adds a constant to energies that is not small beside a quiet source's. The tests
    compare the two on signals where both are defined.

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
    # No projection on the reference (0 / 1) and no distortion (1 / 0) are infinite here, and limited.
    ratio = ratio.clamp(-SI_SDR_LIMIT, SI_SDR_LIMIT)
    ratio = ratio.masked_fill(silent_estimate ^ silent_reference, -SI_SDR_LIMIT)
    ratio = ratio.masked_fill(silent_estimate & silent_reference, SI_SDR_LIMIT)
    finite = estimate.flatten(2).isfinite().all(-1)
    return ratio.masked_fill(~finite, math.nan)


def psnr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of images in dB, at most ``PSNR_LIMIT``: torchmetrics', for a peak of 1.

    Over channels, height and width of each image, as NES (Table 1) has it. Estimates are not cut to 0..1 first.

    Raises:
        ValueError: the shapes differ, or are not ``[item, source, channel, height, width]``.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio  # its import takes seconds: for images only

    flat = (_images(estimate), _images(reference))
    found: Tensor = peak_signal_noise_ratio(*flat, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return found.clamp(max=PSNR_LIMIT).reshape(estimate.shape[:2])


def ssim(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity of images (Wang et al. 2004): torchmetrics', for values in 0..1.

    Gaussian windows of 11 x 11 with a deviation of 1.5, K1 0.01 and K2 0.03, mean over channels and places; images of
    fewer than 6 pixels a side are too small for it.

    Raises:
        ValueError: the shapes differ, or are not ``[item, source, channel, height, width]``, or the images are small.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    flat = (_images(estimate), _images(reference))
    if min(flat[0].shape[-2:]) < 6:
        raise ValueError(f"ssim needs images of at least 6 x 6 pixels, not {list(flat[0].shape[-2:])}")
    found: Tensor = structural_similarity_index_measure(*flat, data_range=1.0, reduction="none")
    return found.reshape(estimate.shape[:2])


def heart_rate_error(estimate: Tensor, reference: Tensor, sample_rate: float, hearts: Sequence[bool]) -> Tensor:
    """Return by how much the heart rate of the estimate is wrong, in beats a minute; NaN for sources without one.

    Both rates are found by ``heart.heart_rate``, of the mean over channels. A signal without beats has a rate of 0, so
    that an estimate without any is wrong by all of the rate.

    Args:
        estimate: ``[item, source, channel, time]``.
        reference: of the same shape.
        sample_rate: in Hz.
        hearts: of each source, whether it has a heart rate.

    Raises:
        ValueError: the shapes differ, or are not of that form.
    """
    _check(estimate, reference)
    if estimate.ndim != 4:
        raise ValueError(f"a heart rate needs [item, source, channel, time], not {list(estimate.shape)}")
    rates = (heart_rate(signal.mean(2), sample_rate) for signal in (estimate, reference))
    found, true = rates
    beating = torch.tensor(list(hearts), device=estimate.device)
    return (found - true).abs().masked_fill(~beating, math.nan)


def _relative(order: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda estimate, reference: relative_error(estimate, reference, order)


def _metrics(functions: Mapping[str, Callable[[Tensor, Tensor], Tensor]]) -> dict[str, Metric]:
    described = {name: MEASURES[name] for name in functions}
    return {n: Metric(functions[n], m.direction, m.unit, m.description) for n, m in described.items()}


METRICS = _metrics(
    {"relative_l1": _relative(1), "relative_l2": _relative(2), "relative_linf": _relative(math.inf), "si_sdr": si_sdr}
)
"""The measures of any signal, by name."""

_OF_IMAGES = _metrics({"psnr": psnr, "ssim": ssim})


def of(signal: Signal) -> dict[str, Metric]:
    """Return the measures that are defined for a kind of signal, those that every epoch can afford, by name."""
    found = dict(METRICS)
    if len(signal.shape) == 2:
        found |= _OF_IMAGES
    if signal.heart_sources and signal.sample_rate is not None:
        rate, hearts = signal.sample_rate, [source in signal.heart_sources for source in signal.sources]
        found |= _metrics({"heart_rate_error": lambda e, r: heart_rate_error(e, r, rate, hearts)})
    return found


def unfit(name: str, signal: Signal, source: str = "") -> str:
    """Return, in words, why a measure is not defined for a kind of signal (or one source of it); empty where it is."""
    kind = MEASURES[name].signals
    images = len(signal.shape) == 2
    if kind == "images" and not images:
        return f"{name} measures images, and the task's signals are over time"
    if kind == "sounds" and images:
        return f"{name} measures sounds, and the task has images"
    if kind == "hearts" and not signal.heart_sources:
        return f"{name} needs sources with a heart rate, and {', '.join(signal.sources)} have none"
    if kind == "hearts" and source and source not in signal.heart_sources:
        return f"{name} needs sources with a heart rate, which {source} has not; {', '.join(signal.heart_sources)} has"
    return ""


def score(estimate: Tensor, reference: Tensor, signal: Signal | None = None) -> dict[str, Tensor]:
    """Return the measures, and the energies ``estimate_energy`` and ``reference_energy``, each ``[item, source]``.

    Args:
        estimate: ``[item, source, channel, *signal]``.
        reference: of the same shape.
        signal: the kind of signal, which says what measures there are; without it, those of any signal.

    Raises:
        ValueError: the shapes differ, or are not of that form.
    """
    measures = METRICS if signal is None else of(signal)
    scores = {name: metric.function(estimate, reference) for name, metric in measures.items()}
    energies = (values.flatten(2).square().sum(-1) for values in (estimate, reference))
    return scores | dict(zip(_ENERGIES, energies, strict=True))


def summary(
    scores: Mapping[str, Tensor], sources: Sequence[str], heart_sources: Sequence[str] = ()
) -> dict[str, float]:
    """Return the means of what ``score`` gives, for any number of batches joined along ``item``.

    Names are ``<metric>`` (mean over items and sources) and ``<source>/<metric>`` (mean over items), a heart rate's
    for the ``heart_sources`` alone. Where the energies are among the scores there is ``<source>/energy_ratio`` too: the
    energy of all estimates over that of all references, near 0 where a source has collapsed. It is 1 for a source that
    is silent throughout, which cannot collapse.

    Raises:
        ValueError: the scores are not those of as many sources as there are names.
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


def _images(images: Tensor) -> Tensor:
    """Return ``[item * source, channel, height, width]``."""
    if images.ndim != 5:
        raise ValueError(f"images must be [item, source, channel, height, width], not {list(images.shape)}")
    return images.flatten(0, 1)


def _silent(signal: Tensor) -> Tensor:
    """Return ``[item, source]``: whether the signal is silent."""
    silent: Tensor = signal.flatten(2).square().mean(-1) < SILENCE**2
    return silent


def _unit(signal: Tensor, silent: Tensor) -> Tensor:
    """Return ``[item, source, channel * signal]`` of Euclidean norm 1; silent ones as they are."""
    flat = signal.flatten(2)
    norm: Tensor = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    return flat / norm.masked_fill(silent[..., None], 1.0)

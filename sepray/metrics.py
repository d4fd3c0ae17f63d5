"""Measures of separation. Imports nothing from sepray but the contracts.

Estimates and references are ``[item, source, channel, *signal]``; a measure gives ``[item, source]``.

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

from .choices import MEASURES
from .contracts import Metric

SILENCE = 1e-6
"""Root mean square below which a signal is silent, in the signal's own unit (-120 dB of full scale)."""

SI_SDR_LIMIT = 60.0
"""SI-SDR is kept between plus and minus this, in dB: beyond it, float32 measures its own rounding."""

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


def _relative(order: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda estimate, reference: relative_error(estimate, reference, order)


_FUNCTIONS = {
    "relative_l1": _relative(1),
    "relative_l2": _relative(2),
    "relative_linf": _relative(math.inf),
    "si_sdr": si_sdr,
}
METRICS: dict[str, Metric] = {
    name: Metric(_FUNCTIONS[name], measure.direction, measure.unit, measure.description)
    for name, measure in MEASURES.items()
}
"""Every measure that can be a study's objective, by name."""


def score(estimate: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Return every measure, and the energies ``estimate_energy`` and ``reference_energy``, each ``[item, source]``.

    Raises:
        ValueError: the shapes differ, or are not ``[item, source, channel, *signal]``.
    """
    scores = {name: metric.function(estimate, reference) for name, metric in METRICS.items()}
    energies = (signal.flatten(2).square().sum(-1) for signal in (estimate, reference))
    return scores | dict(zip(_ENERGIES, energies, strict=True))


def summary(scores: Mapping[str, Tensor], sources: Sequence[str]) -> dict[str, float]:
    """Return the means of what ``score`` gives, for any number of batches joined along ``item``.

    Names are ``<metric>`` (mean over items and sources) and ``<source>/<metric>`` (mean over items), and, where the
    energies are among the scores, ``<source>/energy_ratio``: the energy of all estimates over that of all references,
    near 0 where a source has collapsed. It is 1 for a source that is silent throughout, which cannot collapse.

    Raises:
        ValueError: the scores are not those of as many sources as there are names.
    """
    for name, values in scores.items():
        if values.ndim != 2 or values.shape[1] != len(sources) or not len(values):
            raise ValueError(f"{name} must be [item, {len(sources)} sources], not {list(values.shape)}")
    means: dict[str, float] = {}
    for name, values in scores.items():
        if name not in _ENERGIES:
            per_source = values.double().mean(0)
            means[name] = float(per_source.mean())
            means |= {f"{source}/{name}": float(per_source[k]) for k, source in enumerate(sources)}
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


def _silent(signal: Tensor) -> Tensor:
    """Return ``[item, source]``: whether the signal is silent."""
    silent: Tensor = signal.flatten(2).square().mean(-1) < SILENCE**2
    return silent


def _unit(signal: Tensor, silent: Tensor) -> Tensor:
    """Return ``[item, source, channel * signal]`` of Euclidean norm 1; silent ones as they are."""
    flat = signal.flatten(2)
    norm: Tensor = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    return flat / norm.masked_fill(silent[..., None], 1.0)

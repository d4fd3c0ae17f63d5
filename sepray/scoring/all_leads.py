"""One estimate of each heart from a model's estimates in every lead of a recording.

A model of one lead separates each lead by itself, and a lead that looks away from the fetus shows none. All leads see
the same hearts from other directions, so a heart is the weighted sum of leads in which it stands out most. The weights
are a spatial filter of the largest ratio of two powers (van Veen and Buckley, "Beamforming: a versatile approach to
spatial filtering", 1988, maximum SNR). One is the power of the heart's estimates, the other that of what is left of the
leads without any estimate, both in the band of its beats. The weights are found for each segment, and applied to the
leads without the other sources' estimates. So beats are looked for in what was measured, and not in what a network
drew.

Estimates that sum to the leads leave nothing: then the weights are those of the estimates' first principal component.

``benchmarks/leads.py`` compares this rule with others, on synthetic leads alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts import Signal
from ..signals.beats import detect, in_band, qrs_height
from .real_records import mother_and_fetus

_RIDGE = 0.01  # share of the power in each lead that is added to what is left there, so that no weight is infinite


def joined(leads: Tensor, estimates: Tensor, signal: Signal, rate: float) -> dict[str, Tensor]:
    """Return for each heart one estimate ``[1, segment, time]`` of all leads together, by the name of its source.

    Estimates have no unit and either polarity; those of a mother and her fetus are scaled to be ``comparable``.

    Args:
        leads: ``[lead, segment, time]``, in any units.
        estimates: estimates of the sources in each lead, ``[source, lead, segment, time]``, in the leads' units.
        signal: kind of signal, which says what the sources are.
        rate: samples a second.
    """
    found, beats, in_leads = {}, {}, dict(zip(signal.sources, estimates, strict=True))
    for name, low, high in signal.heart_rates:
        pulse = name in signal.pulse_sources
        found[name] = filtered(leads, estimates, signal.sources.index(name), rate, low, pulse)
        beats[name] = detect(found[name], rate, low, high, pulse, least=0).times
    pair = mother_and_fetus(signal)
    if pair is None:
        return found
    (hers, its), times, leads_of = ((own[pair[0]], own[pair[1]]) for own in (found, beats, in_leads))
    return found | dict(zip(pair, comparable((hers, its), times, leads_of, rate), strict=True))


def filtered(leads: Tensor, estimates: Tensor, source: int, rate: float, low: float, pulse: bool = False) -> Tensor:
    """Return one heart as all leads show it, ``[1, segment, time]``, in no unit and of either polarity.

    Args:
        leads: ``[lead, segment, time]``, in any units.
        estimates: ``[source, lead, segment, time]``, in the leads' units.
        source: place of the heart among the sources.
        rate: samples a second.
        low: lowest rate of the heart in beats a minute, which says the band of its beats.
        pulse: whether it is a PPG.
    """
    whole, own = leads.double(), estimates[source].double()
    left = whole - estimates.double().sum(0)
    without_others = left + own
    heart, rest, both = (in_band(part, rate, low, pulse).movedim(0, 1) for part in (own, left, without_others))
    size = both.square().mean(-1).sqrt().clamp(min=1e-12)  # [segment, lead]: of each lead 1, whatever its unit
    powers = [part @ part.mT / part.shape[-1] for part in (heart / size[..., None], rest / size[..., None])]
    weights = _of_largest_ratio(*powers) / size
    return torch.einsum("lst,sl->st", without_others, weights)[None]


def _of_largest_ratio(wanted: Tensor, unwanted: Tensor) -> Tensor:
    """Return the weights ``[..., lead]`` of the largest ratio of two powers ``[..., lead, lead]``."""
    held = unwanted + _RIDGE * torch.eye(unwanted.shape[-1], dtype=unwanted.dtype)
    root = torch.linalg.cholesky(held)
    half = torch.linalg.solve_triangular(root, wanted, upper=False)
    whitened = torch.linalg.solve_triangular(root, half.mT, upper=False)
    largest = torch.linalg.eigh((whitened + whitened.mT) / 2).eigenvectors[..., -1:]
    weights: Tensor = torch.linalg.solve_triangular(root.mT, largest, upper=True)[..., 0]
    return weights


def comparable(
    hearts: tuple[Tensor, Tensor], beats: tuple[Tensor, Tensor], in_leads: tuple[Tensor, Tensor], rate: float
) -> Tensor:
    """Return a mother's and her fetus's signals, which have no unit, on one scale: ``[2, 1, segment, time]``.

    The mother's is scaled to beats of height 1 (``signals.beats.qrs_height``). The fetus's beats get the largest ratio
    of their height to the mother's that a lead has.

    Args:
        hearts: the two signals, each ``[1, segment, time]``.
        beats: when they beat, each ``[1, segment, beat]`` in seconds, NaN where there are fewer.
        in_leads: the mother and the fetus in each lead, each ``[lead, segment, time]``: there their heights are
            compared.
        rate: samples a second.
    """
    (hers, its), (her_beats, its_beats), (mothers, fetuses) = hearts, beats, in_leads
    beside = qrs_height(fetuses, rate, its_beats.expand(len(fetuses), -1, -1)) / _height(mothers, rate, her_beats)
    scales = 1 / _height(hers, rate, her_beats), beside.amax(0, keepdim=True) / _height(its, rate, its_beats)
    return torch.stack([own * scale[..., None] for own, scale in zip((hers, its), scales, strict=True)])


def _height(signal: Tensor, rate: float, beats: Tensor) -> Tensor:
    """Return ``qrs_height`` of ``[lead, segment, time]`` at beats of one lead, never 0."""
    return qrs_height(signal, rate, beats.expand(len(signal), -1, -1)).clamp(min=1e-30)

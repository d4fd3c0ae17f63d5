"""Subtraction of the maternal ECG's average beat, as is usual before a fetal ECG is looked for in one lead.

The choices, after Cerutti et al., "Variability analysis of fetal heart rate signals as obtained from abdominal
electrocardiographic recordings" (J. Perinat. Med. 14, 1986), who scale the average beat to each single one:

- A beat reaches from 0.35 of the median interval before its time to 0.65 after it, or to where the next beat begins. So
  P and T waves belong to it, and no sample belongs to two beats.
- The average beat is the mean over all beats of the item, less a line between its ends. Another heart's beats fall on
  it at random: of each, the average over ten beats holds a tenth.
- To each beat four coefficients are fitted by least squares: the average beat, its slope over time, a constant and a
  line. The first two are subtracted: they follow the amplitude with the breath, and a beat's time to fractions of a
  sample. The other two are the wandering baseline, which stays in the residual.
- Beats are moved to where the slope's coefficient is least, by 30 ms at most. So their times may be off by as much as a
  QRS complex is wide. Then the average is formed again.

A beat of another shape (ectopic) is not removed, and 1 / N of it is in the residual of every other one of N beats.
"""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST_BEATS = 3
"""Least number of beats that make an average."""

_BEFORE = 0.35  # share of an interval that is before a beat's time
_ROUNDS = 4  # of averaging and moving
_FARTHEST = 0.030  # most seconds that a beat is moved by
_RIDGE = 1e-3  # share of the average beat's energy: keeps the scale at 1 where little of a beat is in the signal


def residual(lead: Tensor, sample_rate: float, beats: Tensor) -> Tensor:
    """Return ``[..., time]``: a signal without its average beat, scaled to each of the beats.

    Args:
        lead: ``[..., time]``, in any unit, with any offset; finite.
        sample_rate: sampling rate in Hz.
        beats: when the heart to be removed beats, ``[..., beat]`` in seconds from the first sample; NaN where an item
            has fewer beats than others. An item of fewer than three beats is returned as it is.

    Raises:
        ValueError: leads and beats have different leading axes.
    """
    if lead.shape[:-1] != beats.shape[:-1]:
        raise ValueError(f"leads are {list(lead.shape)} and beats {list(beats.shape)}: all but the last must agree")
    whole = lead.reshape(-1, lead.shape[-1]).double()
    signal = whole - whole.nanmedian(-1, keepdim=True).values if whole.numel() else whole
    if not signal.numel() or beats.shape[-1] < FEWEST_BEATS:
        return lead.clone()
    times = beats.reshape(len(signal), -1).to(signal).sort(-1).values  # NaN last
    enough = (times.isfinite().sum(-1) >= FEWEST_BEATS) & signal.isfinite().all(-1)
    interval = times.diff(dim=-1).nanmedian(-1).values.nan_to_num(1.0) * sample_rate
    found = whole.clone()
    if bool(enough.any()):
        found[enough] -= _modelled(signal[enough], times[enough] * sample_rate, interval[enough], sample_rate)
    return found.reshape(lead.shape).to(lead.dtype)


def _modelled(signal: Tensor, times: Tensor, interval: Tensor, sample_rate: float) -> Tensor:
    """Return the average beat scaled to each beat, ``[item, time]``; ``times [item, beat]`` are in samples."""
    length = interval.round().long().clamp(min=4)
    before = (_BEFORE * interval).round().long()
    farthest = _FARTHEST * sample_rate
    centre = times.nan_to_num(1e9).round().long()
    first = centre.clone()
    line = torch.zeros_like(signal)
    for _ in range(_ROUNDS):
        beat, phase, inside = _places(centre, before, length, signal.shape[-1])
        basis = _basis(signal - line, phase, inside, length)
        weights = _fitted(signal, basis, beat, inside, centre.shape[-1])
        model, line = ((weights[:, :, part].gather(1, beat) * basis[part]) for part in (0, 2))
        model = model + weights[:, :, 1].gather(1, beat) * basis[1]
        line = line + weights[:, :, 3].gather(1, beat) * basis[3]
        moved = centre - (weights[:, :, 1] / weights[:, :, 0].clamp(min=0.1)).round().long()
        centre = torch.where((moved - first).abs() <= farthest, moved, centre)
    return model


def _places(centre: Tensor, before: Tensor, length: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each sample ``[item, time]`` its beat, its place in that beat, and whether it is in a beat."""
    starts = centre - before[:, None]
    grid = torch.arange(samples, device=centre.device).expand(len(centre), -1).contiguous()
    beat = torch.searchsorted(starts.contiguous(), grid, right=True) - 1
    phase = grid - starts.gather(1, beat.clamp(min=0))
    inside = (beat >= 0) & (phase < length[:, None])
    return beat.clamp(min=0), torch.where(inside, phase, 0), inside


def _basis(signal: Tensor, phase: Tensor, inside: Tensor, length: Tensor) -> Tensor:
    """Return the average beat, its slope, a constant and a line at each sample, ``[4, item, time]``; 0 outside."""
    width = int(length.max())
    counts, sums = (
        signal.new_zeros(len(signal), width).scatter_add_(1, phase, values * inside)
        for values in (torch.ones_like(signal), signal)
    )
    average = sums / counts.clamp(min=1)
    place = torch.arange(width, device=signal.device)
    last = (length - 1)[:, None]
    share = place / last
    average = average - (1 - share) * average[:, :1] - share * average.gather(1, last)
    average = torch.where(place <= last, average, 0.0)
    slope = torch.where((place > 0) & (place < last), torch.gradient(average, dim=-1)[0], 0.0)
    parts = [average.gather(1, phase), slope.gather(1, phase), torch.ones_like(signal), share.gather(1, phase) - 0.5]
    return torch.stack(parts) * inside


def _fitted(signal: Tensor, basis: Tensor, beat: Tensor, inside: Tensor, beats: int) -> Tensor:
    """Return the coefficients of each beat by least squares, ``[item, beat, 4]``."""

    def per_beat(values: Tensor) -> Tensor:
        return values.new_zeros(len(signal), beats).scatter_add_(1, beat, values * inside)

    count = len(basis)
    remainder = signal - basis[0]
    right = torch.stack([per_beat(own * remainder) for own in basis], dim=-1)
    left = signal.new_zeros(len(signal), beats, count, count)
    for row in range(count):
        for column in range(row, count):
            left[:, :, row, column] = left[:, :, column, row] = per_beat(basis[row] * basis[column])
    mean = left.diagonal(dim1=-2, dim2=-1).mean(1, keepdim=True)
    ridge = _RIDGE * mean + torch.finfo(signal.dtype).tiny
    weights: Tensor = torch.linalg.solve(left + torch.diag_embed(ridge.expand(-1, beats, -1)), right)
    weights[..., 0] += 1
    return weights

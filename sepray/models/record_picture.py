"""Draws the first segment of a real recording: mixture and estimates in one lead, with the beats that were found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..plain_text import in_own_style
from ..signals.beats import Beats
from ..signals.heart_annotations import Annotation
from ..signals.recording_types import Recording
from .picture import colour_of, describe_panel, panels


@in_own_style()
def draw(
    path: Path,
    title: str,
    mixture: Tensor,
    estimates: Mapping[str, Tensor],
    beats: Mapping[str, Beats],
    known: Mapping[str, Annotation],
    recording: Recording,
) -> None:
    """Write a PNG with panels of the mixture and of each estimate, in the lead whose beats have most confidence.

    Triangles are beats that were found, vertical lines those that are annotated. Each panel has a scale of its own. Its
    title has the heart rate that was found, and the known one.

    Args:
        path: file of the picture.
        title: its title.
        mixture: ``[lead, segment, time]``.
        estimates: estimates of that shape, by source.
        beats: beats that were found in each heart's estimate, by source.
        known: annotation of each heart, by source.
        recording: the recording, which says rate and unit.
    """
    from matplotlib.lines import Line2D

    sure = [found.confidence[:, 0] for found in beats.values()]
    lead = int(torch.stack(sure).sum(0).argmax()) if sure else 0
    shown = {"mixture": mixture, **estimates}
    first = f"{title}, lead {lead + 1} of {len(mixture)}, first {mixture.shape[-1] / recording.rate:g} s"
    figure, axes = panels(len(shown), first, "time (s)", 0.35)
    seconds = np.arange(mixture.shape[-1]) / recording.rate
    for k, (name, signal) in enumerate(shown.items()):
        values = signal[lead, 0].numpy()
        axes[k].plot(seconds, values, color=colour_of(k), linewidth=0.8)
        words = name
        if name in known:
            for time in known[name].beats_in(0, seconds[-1]):
                axes[k].axvline(time, color="#999999", linewidth=0.6, zorder=0)
        if name in beats:
            times = beats[name].times[lead, 0].numpy()
            times = times[np.isfinite(times)]
            axes[k].plot(times, np.full(len(times), values.max()), "v", color="black", markersize=4)
            rate = float(beats[name].rate[lead, 0])
            words += f": {rate:.0f} bpm found" if rate else ": no such heart found"
        if name in known:
            words += f", known: {_known_words(known[name], mixture.shape[-1] / recording.rate)}"
        describe_panel(axes[k], words, colour_of(k), recording.unit)
    handles = [Line2D([], [], marker="v", linestyle="none", color="black", markersize=4, label="beat found")]
    if any(annotation.beats is not None for annotation in known.values()):
        handles.append(Line2D([], [], color="#999999", label="beat annotated"))
    figure.legend(handles=handles, loc="upper right", ncols=2, fontsize=8, frameon=False)
    figure.savefig(path, format="png")


def _known_words(annotation: Annotation, seconds: float) -> str:
    """Return the known beats or rate of a heart in the first seconds, in words."""
    if annotation.absent:
        return f"none ({annotation.origin})"
    rate = annotation.rate_in(0, seconds)
    known = f"{rate:.0f} bpm" if np.isfinite(rate) else f"{len(annotation.beats_in(0, seconds))} beats"
    return f"{known} ({annotation.origin})"

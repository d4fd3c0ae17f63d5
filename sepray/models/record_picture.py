"""Draws the first segment of a real recording: mixture and estimates in one lead, with the beats that were found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..plain_text import in_figure, in_own_style
from ..signals.beats import Beats
from ..signals.heart_annotations import Annotation
from ..signals.recording_types import Recording

# Okabe and Ito's palette, as in ``picture``.
_MIXTURE, _COLOURS = "#555555", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    sure = [found.confidence[:, 0] for found in beats.values()]
    lead = int(torch.stack(sure).sum(0).argmax()) if sure else 0
    panels = {"mixture": mixture, **estimates}
    height = 1 + 1.6 * len(panels)
    figure = Figure(figsize=(10, height), dpi=120)
    figure.subplots_adjust(0.1, 0.5 / height, 0.99, 1 - 0.65 / height, hspace=0.35)
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(panels), sharex=True))
    seconds = np.arange(mixture.shape[-1]) / recording.rate
    for k, (name, signal) in enumerate(panels.items()):
        colour = _MIXTURE if k == 0 else _COLOURS[(k - 1) % len(_COLOURS)]
        values = signal[lead, 0].numpy()
        axes[k].plot(seconds, values, color=colour, linewidth=0.8)
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
        axes[k].set_title(in_figure(words), loc="left", fontsize=10, color=colour)
        axes[k].set_ylabel(f"amplitude\n({in_figure(recording.unit)})", fontsize=8)
        axes[k].tick_params(labelsize=8)
        axes[k].grid(alpha=0.25)
        axes[k].margins(x=0)
    axes[-1].set_xlabel("time (s)", fontsize=9)
    first = f"{title}, lead {lead + 1} of {len(mixture)}, first {mixture.shape[-1] / recording.rate:g} s"
    figure.suptitle(in_figure(first), x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
    handles = [Line2D([], [], marker="v", linestyle="none", color="black", markersize=4, label="beat found")]
    if any(annotation.beats is not None for annotation in known.values()):
        handles.append(Line2D([], [], color="#999999", label="beat annotated"))
    figure.legend(handles=handles, loc="upper right", ncols=2, fontsize=8, frameon=False)
    figure.savefig(path, format="png")


def _known_words(annotation: Annotation, seconds: float) -> str:
    """Return what is known of a heart in the first seconds, in words."""
    if annotation.absent:
        return f"none ({annotation.origin})"
    rate = annotation.rate_in(0, seconds)
    known = f"{rate:.0f} bpm" if np.isfinite(rate) else f"{len(annotation.beats_in(0, seconds))} beats"
    return f"{known} ({annotation.origin})"

"""Draws a separation: the mixture and the estimates over time, for recordings of any length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..plain_text import in_figure, in_own_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 1600
# Okabe and Ito's palette, which colour-blind readers can tell apart; the mixture is grey.
_MIXTURE, _COLOURS = "#555555", ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Envelope:
    """Lowest and highest samples of equal parts of a signal, at most 1600, gathered block by block.

    Attributes:
        frames: number of samples of the whole signal.
        low: lowest samples, ``[part]``.
        high: highest samples, ``[part]``.
        taken: number of samples so far.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.low = np.full(min(_COLUMNS, frames), np.inf, dtype=np.float32)
        self.high = -self.low
        self.taken = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples, ``[time]``."""
        parts = np.arange(self.taken, self.taken + len(block)) * len(self.low) // self.frames
        first = np.flatnonzero(np.diff(parts, prepend=-1))
        at = parts[first]
        self.low[at] = np.minimum(self.low[at], np.minimum.reduceat(block, first))
        self.high[at] = np.maximum(self.high[at], np.maximum.reduceat(block, first))
        self.taken += len(block)


@in_own_style()
def draw(path: Path, title: str, signals: Mapping[str, Envelope], rate: float, unit: str) -> None:
    """Write a PNG with one panel for each signal, all on one scale.

    Args:
        path: file of the picture.
        title: title of the picture.
        signals: envelopes by name; the first one is the mixture.
        rate: sampling rate of the signals, in Hz.
        unit: unit of the amplitude.
    """
    seconds = next(iter(signals.values())).frames / rate
    scale, name = (60.0, "min") if seconds > 300 else (1.0, "s")
    figure, axes = panels(len(signals), title, f"time ({name})", 0.3, sharey=True)
    for k, (label, envelope) in enumerate(signals.items()):
        parts = len(envelope.low)
        time = (np.arange(parts) + 0.5 * (parts < envelope.frames)) * seconds / parts / scale
        if parts < envelope.frames:
            axes[k].fill_between(time, envelope.low, envelope.high, color=colour_of(k), linewidth=0.4)
        else:
            axes[k].plot(time, envelope.low, color=colour_of(k), linewidth=0.9)
        describe_panel(axes[k], label, colour_of(k), unit)
    figure.savefig(path, format="png")


def colour_of(number: int) -> str:
    """Return the colour of a panel by its number: grey for the mixture (0), others for the estimates."""
    return _COLOURS[(number - 1) % len(_COLOURS)] if number else _MIXTURE


def panels(count: int, title: str, time: str, space: float, **options: Any) -> tuple[Figure, NDArray[Any]]:
    """Return a figure with panels one below the other, which share their time axis, and the axes ``[panel]``.

    Args:
        count: number of panels.
        title: title of the figure.
        time: label of the time axis.
        space: height between panels, as a share of a panel's.
        options: further options of ``Figure.subplots``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 1 + 1.6 * count
    figure = Figure(figsize=(10, height), dpi=120)
    # In inches: a layout engine would draw everything twice.
    figure.subplots_adjust(0.1, 0.5 / height, 0.99, 1 - 0.65 / height, hspace=space)
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(count, sharex=True, **options))
    axes[-1].set_xlabel(time, fontsize=9)
    figure.suptitle(in_figure(title), x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
    return figure, axes


def describe_panel(axes: Axes, title: str, colour: str, unit: str) -> None:
    """Give a panel its title in a colour, a label with the unit of the amplitude, and a grid."""
    axes.set_title(in_figure(title), loc="left", fontsize=10, color=colour)
    axes.set_ylabel(f"amplitude\n({in_figure(unit)})", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.margins(x=0)

"""Style of the figures, and the parts that a report is made of: files and sections."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

# Okabe and Ito, "Color universal design" (2008): distinguishable with every kind of colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
SOURCES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

MARKS = {
    "complete": (BLUE, "o"),
    "pruned": (ORANGE, "v"),
    "collapsed": (PURPLE, "s"),
    "failed": (VERMILLION, "X"),
    "unfinished": (GREY, "P"),
}
"""Outcome of a trial -> colour and marker; the marker alone tells them apart without colours."""

STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#777777",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "svg.hashsalt": "sepray",
    "svg.fonttype": "path",
}
LARGEST_SVG = 400_000  # bytes
WIDTH = 6.4  # inches; on a screen as narrow as a phone's, letters are still 10 pixels high


@dataclass(frozen=True)
class MediaFile:
    """A figure or a sound of the report as a file.

    Attributes:
        name: file name.
        content: content of the file.
        description: what the file shows or plays, for readers who cannot see it.
        caption: text above the figure.
        folded: whether the page shows it only when its caption is clicked.
    """

    name: str
    content: bytes
    description: str
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the report: a sentence with the result, then figures that show it.

    Attributes:
        key: anchor of the section in the page.
        title: heading.
        sentence: what the figures show, with the study's own numbers, or why there are no figures.
        figures: the figures, in order.
        note: how to read the figures, in smaller print.
    """

    key: str
    title: str
    sentence: str
    figures: Sequence[MediaFile] = ()
    note: str = ""


class LaidOutFigure(Figure):
    """A figure that is drawn only once when it is saved; matplotlib would draw it twice, first for its layout."""

    def draw(self, renderer: Any) -> None:
        """Draw the figure; in matplotlib's first pass, only find its layout."""
        layout = self.get_layout_engine()  # in the second pass matplotlib has put an engine here that does nothing
        if self.canvas.is_saving() and isinstance(layout, ConstrainedLayoutEngine):
            layout.execute(self)
        else:
            super().draw(renderer)


def new_figure(height: float = 3.4, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of the report's width, and its axes; pyplot, which is not used, keeps figures in memory."""
    figure = LaidOutFigure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def render(figure: Figure, name: str, description: str, caption: str = "") -> MediaFile:
    """Return a figure as a file; equal figures give equal files.

    An SVG above ``LARGEST_SVG`` becomes a PNG, so that the page stays small.

    Args:
        figure: figure to render.
        name: file name; its ending, ``.svg`` or ``.png``, decides the format.
        description: what the figure shows, for readers who cannot see it.
        caption: text above the figure.
    """
    kind = name.rpartition(".")[2]
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with warnings.catch_warnings():
        # Long names may leave no room for a layout. That shows in the report, and needs no warning in the terminal.
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        figure.savefig(stream, format=kind, dpi=160, metadata=metadata)
    if kind == "svg" and len(stream.getvalue()) > LARGEST_SVG:
        return render(figure, name.replace(".svg", ".png"), description, caption)
    return MediaFile(name, stream.getvalue(), description, caption)


def whole_numbers(axes: Axes) -> None:
    """Label the horizontal axis with whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def log_where_wide(axes: Axes, values: Sequence[float]) -> None:
    """Make the vertical axis logarithmic if all values are positive and span more than a factor of eight."""
    if values and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_yscale("log")


def legend_above(axes: Axes, columns: int = 3) -> None:
    """Put the legend above the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2,
            handletextpad=0.4, columnspacing=1.2,
        )  # fmt: skip

"""How figures look, and what a section of the report is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito, "Color universal design" (2008): told apart by readers of every kind of colour vision.
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
"""Colour and marker of an outcome; the marker says the same to a reader without colours."""

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
WIDTH = 6.4  # inches; at the width of a phone letters are still 10 pixels high


@dataclass(frozen=True)
class Picture:
    """One figure as a file.

    Attributes:
        name: file name.
        content: of the file.
        words: what it shows, for those who cannot see it.
        caption: shown above it.
    """

    name: str
    content: bytes
    words: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the report: what its figures show for this study in a sentence, then the figures.

    Attributes:
        key: of its anchor.
        title: of it.
        sentence: with the study's own numbers.
        pictures: may be none, where the sentence says why.
        note: how to read them, in smaller print.
    """

    key: str
    title: str
    sentence: str
    pictures: Sequence[Picture] = ()
    note: str = ""


def new(height: float = 3.4, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of the report's width and its axes; no pyplot, which would keep it and open windows."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def picture(figure: Figure, name: str, words: str, caption: str = "") -> Picture:
    """Return a figure as the file ``name``; the ending says the format. Equal figures give equal files.

    An SVG of thousands of lines becomes a PNG, so that the page stays small.
    """
    kind = name.rpartition(".")[2]
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(stream, format=kind, dpi=160, metadata=metadata)
    if kind == "svg" and len(stream.getvalue()) > LARGEST_SVG:
        return picture(figure, name.replace(".svg", ".png"), words, caption)
    return Picture(name, stream.getvalue(), words, caption)


def whole_numbers(axes: Axes) -> None:
    """Have whole numbers only on the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def log_where_wide(axes: Axes, values: Sequence[float]) -> None:
    """Make the vertical axis logarithmic where positive values span more than a factor of eight."""
    if values and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_yscale("log")


def legend_above(axes: Axes, columns: int = 3) -> None:
    """Put the legend above the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2,
            handletextpad=0.4, columnspacing=1.2,
        )  # fmt: skip

"""Draws the scores of each system in a comparison, in the style of the reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ..plain_text import in_figure_label, in_own_style
from ..report.figures import BLACK, BLUE, GREY, STYLE, VERMILLION, MediaFile, new_figure, render
from ..scoring.tables import over_sources
from .table import MEAN, ComparisonTable, SystemRow, heading, number, rises


def pictures(table: ComparisonTable) -> list[MediaFile]:
    """Return a figure for each measure, as SVG for papers and as PNG."""
    with in_own_style(STYLE):
        return [shown for measure in table.measures for shown in _measure(table, measure)]


def _measure(table: ComparisonTable, measure: str) -> Sequence[MediaFile]:
    """Draw every system: the middle half of the items as a box, the mean with its interval, each seed as a dot."""
    shown = [row for row in table.rows if (measure, MEAN) in row.cells]
    reference = next((row for row in shown if row.system == table.reference), None)
    if reference is None:
        return []
    rows, separators = list(reversed(shown)), [row for row in shown if row.entry]
    figure, axes = new_figure(1.2 + 0.46 * len(rows))
    for height, row in enumerate(rows):
        _row(row, measure, height, BLUE if row.entry else GREY, axes)
    at = reference.cells[measure, MEAN].mean
    axes.axvline(at, color=VERMILLION, linewidth=1.0, linestyle=":", zorder=1)
    axes.annotate(
        "reference", (at, 1.0), xycoords=("data", "axes fraction"), xytext=(3, 2), textcoords="offset points",
        color=VERMILLION, fontsize=8.5,
    )  # fmt: skip
    if separators and len(shown) > len(separators):
        axes.axhline(len(shown) - len(separators) - 0.5, color="#BBBBBB", linewidth=0.8)
    names = ["\n(".join(map(in_figure_label, row.system.split(" (", 1))) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=9.5)
    better = "more" if rises(measure) else "less"
    axes.set(xlabel=f"{heading(measure)}, mean over sources: {better} is better")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    told = ", ".join(f"{row.system} {number(measure, row.cells[measure, MEAN].mean)}" for row in shown)
    words = f"{heading(measure)}, mean over test items, sources and seeds: {told}."
    caption = (
        "Box: the middle half of the test items; line: their median; bar: the mean with its 95% interval; "
        "dots: the mean of each seed."
    )
    return [render(figure, f"{measure}.{kind}", words, caption) for kind in ("svg", "png")]


def _row(row: SystemRow, measure: str, height: int, colour: str, axes: Axes) -> None:
    each = np.stack([over_sources(measure, one) for one in row.scores[measure]])
    each = each[:, np.isfinite(each).all(0)]  # of BSS Eval some items may have no score
    drawn = axes.boxplot(
        [each.mean(0)], positions=[height], orientation="horizontal", widths=0.56, showfliers=False, patch_artist=True,
        whiskerprops={"color": "#AAAAAA"}, capprops={"visible": False}, medianprops={"color": "#888888"},
        manage_ticks=False,
    )  # fmt: skip
    drawn["boxes"][0].set(facecolor="#E4EEF6" if row.entry else "#EEEEEE", edgecolor="#BBBBBB")
    cell = row.cells[measure, MEAN]
    if np.isfinite([cell.low, cell.high]).all():
        axes.hlines(height, cell.low, cell.high, color=BLACK, linewidth=2.2, zorder=4)
    axes.vlines(cell.mean, height - 0.16, height + 0.16, color=BLACK, linewidth=2.2, zorder=4)
    if row.entry:
        beside = height + np.linspace(-0.2, 0.2, len(each)) * (len(each) > 1)  # so that equal ones can be told apart
        axes.scatter(each.mean(1), beside, color=colour, s=24, alpha=0.85, zorder=5)

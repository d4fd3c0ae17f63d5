"""The final table of a study: scores of each system on the test split, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from torch import Tensor

from ..choices import MEASURES
from ..contracts import Separator, Signal, Split
from . import evaluation

Scores = dict[str, NDArray[np.float64]]
"""Name of a measure -> ``[item, source]``."""


@dataclass(frozen=True)
class ResultRow:
    """One line of the final table: a system and its errors, ``(mean, low, high)`` by column."""

    system: str
    values: Mapping[str, tuple[float, float, float]]
    bold: bool = False


def score(
    separate: Separator | Callable[[Tensor], Tensor],
    split: Split,
    batch_size: int = 64,
    signal: Signal | None = None,
) -> Scores:
    """Return the measures of a separator on a split, without the energies; metric -> ``[item, source]``.

    ``signal`` says what measures there are; without it they are those of any signal.
    """
    return _measures(evaluation.score_split(separate, split, batch_size, signal=signal))


def references(split: Split, n_fft: int, hop: int, signal: Signal | None = None) -> dict[str, Scores]:
    """Return what every table shows beside the separators: the unprocessed mixture and the oracle bounds."""
    found = evaluation.bounds(split, n_fft, hop, signal=signal)
    return {reference_title(name): _measures(scores) for name, scores in found.items()}


def reference_title(name: str) -> str:
    """Return what a table calls one of ``evaluation.bounds``."""
    words = name.replace("_", " ")
    return words if name == "unprocessed_mixture" else f"oracle: {words}"


def _measures(scores: Scores) -> Scores:
    return {name: values for name, values in scores.items() if name in MEASURES}


def row(system: str, scores: Scores, metric: str, sources: Sequence[str], bold: bool = False) -> ResultRow:
    """Return the final table's line: mean with 95% bootstrap interval over items, per source and over sources.

    Of BSS Eval, the median. A source that the measure is not defined for has no cell; single items that it is not
    defined for (silent ones, in BSS Eval) are left out.
    """
    values = scores[metric]
    there = _defined(metric, values)
    columns = {source: values[there[:, k], k] for k, source in enumerate(sources)}
    columns["mean"] = over_sources(metric, values)[there.any(axis=1)]
    centre = MEASURES[metric].centre
    cells = {n: evaluation.confidence_interval(c, centre=centre) for n, c in columns.items() if len(c)}
    return ResultRow(system, {name: (c[0], c[1], c[2]) for name, c in cells.items()}, bold)


def over_sources(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean ``[item]`` of ``[item, source]`` over the sources that a measure is defined for; NaN for none."""
    there = _defined(metric, values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def _defined(metric: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return ``[item, source]``: where a measure is defined. Any other value that is not finite is a failure's."""
    missing = np.isnan(values)
    match MEASURES[metric].signals:
        case "hearts":  # of some sources
            return np.broadcast_to(~missing.all(axis=0), values.shape)
        case "sounds":  # of items that are not silent
            return ~missing
        case _:
            return np.ones(values.shape, dtype=bool)


def result_table(
    title: str, columns: Sequence[str], rows: Iterable[ResultRow], caption: str = "", width: int = 80
) -> Table:
    """Return a table of systems against columns, each cell ``mean [low, high]``."""
    rows = list(rows)
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", caption_style="dim", box=box.SIMPLE
    )
    table.add_column("system")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    # Where the window is narrow, the interval goes below the mean.
    needed = max(len(row.system) for row in rows) + 2 + sum(max(len(c), 20) + 2 for c in columns)
    gap = " " if needed <= width else "\n"
    for row in rows:
        cells = [_cell(row, column, gap) for column in columns]
        table.add_row(row.system, *cells, style="bold" if row.bold else "")
    return table


def front_table(title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]]) -> Table:
    """Return a table of the trials on a Pareto front, a column per objective."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("trial")
    for column in columns:
        table.add_column(column, justify="right")
    for name, values in rows:
        table.add_row(name, *(f"{value:.4f}" for value in values))
    return table


def markdown_table(title: str, columns: Sequence[str], rows: Iterable[ResultRow], caption: str = "") -> str:
    """Return the same table as Markdown."""
    lines = [f"**{title}**", "", f"| system | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        cells = [_cell(row, column) for column in columns]
        name = f"**{row.system}**" if row.bold else row.system
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", caption])


def _cell(row: ResultRow, column: str, gap: str = " ") -> str:
    if column not in row.values:
        return "-"
    mean, low, high = row.values[column]
    return f"{mean:.3f}{gap}[{low:.3f}, {high:.3f}]"

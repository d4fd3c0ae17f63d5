"""Tables of results: scores of systems on a split, with intervals, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor

from ..choices import BSS_EVAL, MEASURES, Objective
from ..contracts import Separator, Signal, Split, Tracks
from ..plain_text import in_markdown
from . import answer_words, evaluation, explanation_words, statistics, summed_magnitudes
from .answers import Answer
from .columns import defined
from .columns import over_sources as over_sources
from .explanation import Explanation
from .units import Units

Scores = dict[str, NDArray[np.float64]]
"""Name of a measure -> scores ``[item, source]``."""
_NARROWEST_NAME = 12
MEAN_OF = ", mean of "
"""Part of the name of a row that is a mean over trainings; any other row is one training, or a bound."""


@dataclass(frozen=True)
class ResultRow:
    """One row of a table of results.

    Attributes:
        system: name of the system.
        values: name of the column -> ``(mean, low, high)``: mean (of BSS Eval: median) and its 95% interval.
        bold: whether the row stands out.
    """

    system: str
    values: Mapping[str, tuple[float, float, float]]
    bold: bool = False


def score(
    separate: Separator | Callable[[Tensor], Tensor],
    split: Split | Tracks,
    signal: Signal,
    batch_size: int = 64,
    measures: Collection[str] = (),
) -> Scores:
    """Return the scores of a separator on a split by every measure that is quick enough for every epoch.

    Args:
        separate: a separator, or a function of ``[batch, channel, *signal]`` that returns
            ``[batch, source, channel, *signal]``.
        split: mixtures and true sources: items, or whole tracks.
        signal: kind of signal in the split, which decides the measures.
        batch_size: number of items separated at once.
        measures: further measures to compute: any of ``summed_magnitudes`` and of BSS Eval.
    """
    found = _measures(evaluation.score_split(separate, split, batch_size, signal=signal))
    if set(BSS_EVAL) & set(measures):
        found |= evaluation.bss_eval(evaluation.system_of(separate), split, signal, batch_size)
    if norms := summed_magnitudes.NORMS.keys() & set(measures):
        errors = summed_magnitudes.score(separate, split, signal, batch_size)
        found |= {name: errors[name] for name in norms}
    return found


def references(
    split: Split | Tracks, n_fft: int, hop: int, signal: Signal, measures: Collection[str] = ()
) -> dict[str, Scores]:
    """Return the scores of the unprocessed mixture and of the oracle bounds, by the names that tables show.

    Args:
        split: mixtures and true sources.
        n_fft: samples in a frame of the oracles' STFT.
        hop: samples from one frame to the next.
        signal: kind of signal in the split, which decides the measures.
        measures: further measures to compute: any of ``summed_magnitudes`` and of BSS Eval.
    """
    bounds = evaluation.bounds(split, n_fft, hop, signal=signal)
    if set(BSS_EVAL) & set(measures):
        for name, system in evaluation.reference_systems(split, n_fft, hop).items():
            bounds[name] |= evaluation.bss_eval(system, split, signal)
    if norms := summed_magnitudes.NORMS.keys() & set(measures):
        for name, errors in summed_magnitudes.bounds(split, signal).items():
            bounds[name] |= {norm: errors[norm] for norm in norms}
    return {reference_title(name): _measures(scores) for name, scores in bounds.items()}


def item_scores(
    metric: str, separate: Callable[[Tensor], Tensor], split: Split | Tracks, signal: Signal, batch_size: int = 64
) -> NDArray[np.float64]:
    """Return a separator's score ``[item]`` by one measure, BSS Eval's included: the mean over sources.

    Args:
        metric: name of the measure, a key of ``MEASURES``.
        separate: function of ``[batch, channel, *signal]`` that returns ``[batch, source, channel, *signal]``.
        split: mixtures and true sources.
        signal: kind of signal in the split.
        batch_size: number of items separated at once.

    Raises:
        UsageError: BSS Eval is not defined for the signal, or museval cannot be imported.
    """
    if metric in BSS_EVAL:
        scores = evaluation.bss_eval(evaluation.system_of(separate), split, signal, batch_size)
    else:
        scores = score(separate, split, signal, batch_size, (metric,))
    return over_sources(metric, scores[metric])


def reference_title(name: str) -> str:
    """Return the name that tables show for one of ``evaluation.bounds``."""
    words = name.replace("_", " ")
    return words if name == "unprocessed_mixture" else f"oracle: {words}"


def _measures(scores: Scores) -> Scores:
    return {name: values for name, values in scores.items() if name in MEASURES}


def row(
    system: str,
    scores: Scores | Sequence[Scores],
    metric: str,
    sources: Sequence[str],
    bold: bool = False,
    objectives: Sequence[Objective] = (),
    units: Units | None = None,
) -> ResultRow:
    """Return a system's row by one measure: a column for each source, and ``mean`` for the mean over sources.

    A cell is the mean over items (of BSS Eval: the median) with its 95% interval over units, and over seeds where there
    are several. A source that the measure is not defined for has no cell. Items that it is not defined for (in BSS
    Eval: silent ones) are left out.

    Args:
        system: name of the system.
        scores: its scores by the measure, and by those of the objectives; one for each seed where there are several.
        metric: name of the measure.
        sources: names of the sources.
        bold: whether the row stands out.
        objectives: objectives that have a column as well, by the name that ``objective_columns`` gives it.
        units: what the items were cut from; None: each item is a unit.

    Raises:
        UsageError: a score is NaN or infinite where the measure is defined.
    """
    seeds = [scores] if isinstance(scores, Mapping) else list(scores)
    wanted = {metric, *(o.measure for o in objectives)}
    by_measure = {name: _cells([own[name] for own in seeds], name, sources, units) for name in wanted}
    cells = dict(by_measure[metric])
    for name, objective in zip(objective_columns(objectives), objectives, strict=True):
        if (cell := by_measure[objective.measure].get(objective.source or "mean")) is not None:
            cells[name] = cell
    return ResultRow(system, cells, bold)


def objective_columns(objectives: Sequence[Objective]) -> list[str]:
    """Return the name of each objective's column in a final table: source, measure and unit."""
    return [f"{o.words} ({unit})" if (unit := MEASURES[o.measure].unit) else o.words for o in objectives]


def shows_objectives(columns: Sequence[str]) -> bool:
    """Say whether the columns of a final table are objectives of several measures, not the sources and their mean."""
    return bool(columns) and "mean" not in columns


def _cells(
    seeds: Sequence[NDArray[np.float64]], metric: str, sources: Sequence[str], units: Units | None
) -> dict[str, tuple[float, float, float]]:
    """Return the cells of ``[item, source]`` for each seed."""
    units, centre = units or Units.each(len(seeds[0])), MEASURES[metric].centre
    measured = np.all([defined(metric, values) for values in seeds], axis=0)
    columns = {source: ([values[:, k] for values in seeds], measured[:, k]) for k, source in enumerate(sources)}
    columns["mean"] = ([over_sources(metric, values) for values in seeds], measured.any(axis=1))
    return {
        name: statistics.confidence_interval(np.stack(own)[:, kept], centre=centre, units=units.take(kept))
        for name, (own, kept) in columns.items()
        if kept.any()
    }


def result_table(
    title: str, columns: Sequence[str], rows: Iterable[ResultRow], caption: str = "", width: int = 80
) -> Table:
    """Return a table for the terminal: a row per system, each cell ``mean [low, high]``.

    Args:
        title: title of the table.
        columns: names of the columns, keys of the rows' ``values``.
        rows: the systems.
        caption: text below the table.
        width: characters in a line of the terminal.
    """
    rows = list(rows)
    table = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", caption_style="dim", box=box.SIMPLE
    )
    table.add_column("system")
    # In a narrow terminal the interval is printed below the mean.
    needed = max(len(row.system) for row in rows) + 2 + sum(max(len(c), 20) + 2 for c in columns)
    gap = " " if needed <= width else "\n"
    for column in columns:  # a title of several words may wrap, a cell never does
        widest = max(len(line) for row in rows for line in _cell(row, column, gap).split("\n"))
        table.add_column(column, justify="right", no_wrap=" " not in column, min_width=widest)
    for row in rows:
        cells = [_cell(row, column, gap) for column in columns]
        table.add_row(row.system, *cells, style="bold" if row.bold else "")
    return table


def answer_table(answer: Answer, width: int = 80) -> Group:
    """Return a table for the terminal: a row for each arm, each cell the difference to the control with its interval.

    With several objectives there is a row for each arm and objective.

    Args:
        answer: what a study says about its arms.
        width: characters in a line of the terminal.
    """
    # In a narrow terminal the interval is printed below the difference, and of many sources the claim's column alone.
    columns, rows = answer_words.table(answer)
    if _width(columns, rows) > width:
        rows = answer_words.table(answer, gap="\n")[1]
        if not answer.others and _width(columns[1:], [row[1:] for row in rows]) + _NARROWEST_NAME > width:
            kept = [0, columns.index(answer.column), len(columns) - 2, len(columns) - 1]
            columns, rows = [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]
    table = Table(box=box.SIMPLE)
    names = 2 if answer.others else 1  # the arm, and with several objectives the objective
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k < names else "right", no_wrap=k >= names)
    for row in rows:
        table.add_row(*row, style="bold" if row[-1] == "yes" else "")
    title = Text(f"\n{answer_words.title(answer)}", style="italic")
    return Group(title, table, Text(f"{answer_words.caption(answer)}\n", style="dim"))


def path_table(path: Explanation, width: int = 80) -> Group:
    """Return a table for the terminal: a row for each step of an ablation path.

    Args:
        path: the path.
        width: characters in a line of the terminal.
    """
    # In a narrow terminal the values are printed below the setting's name, and the interval below the difference.
    columns, rows = explanation_words.table(path)
    if _width(columns, rows) > width:
        columns, rows = explanation_words.table(path, gap="\n")
    table = Table(box=box.SIMPLE)
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k in (0, 3) else "right", no_wrap=k > 0, overflow="fold")
    for k, row in enumerate(rows):
        table.add_row(*row, style="bold" if k and row[-1].endswith(("%", "%)", "better", "worse")) else "")
    title = Text(f"\n{explanation_words.TITLE}", style="italic")
    return Group(title, table, Text(f"{explanation_words.caption(path)}\n", style="dim"))


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the characters that a table needs for texts whose lines do not wrap."""
    return 1 + sum(
        3 + max(len(line) for text in column for line in text.split("\n"))
        for column in zip(columns, *rows, strict=True)
    )


def front_table(title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]]) -> Table:
    """Return a table for the terminal of the trials on a Pareto front, with a column per objective."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("trial")
    for column in columns:
        table.add_column(column, justify="right")
    for name, values in rows:
        table.add_row(name, *(f"{value:.4f}" for value in values))
    return table


def markdown_table(title: str, columns: Sequence[str], rows: Iterable[ResultRow], caption: str = "") -> str:
    """Return the table of ``result_table`` as Markdown."""
    head = " | ".join(map(in_markdown, columns))
    lines = [f"**{in_markdown(title)}**", "", f"| system | {head} |", "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        cells = [_cell(row, column) for column in columns]
        system = in_markdown(row.system)
        name = f"**{system}**" if row.bold else system
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", in_markdown(caption)])


def _cell(row: ResultRow, column: str, gap: str = " ") -> str:
    if column not in row.values:
        return "-"
    mean, low, high = row.values[column]
    return f"{mean:.3f}{gap}[{low:.3f}, {high:.3f}]" if np.isfinite(high) else f"{mean:.3f}{gap}[too few]"

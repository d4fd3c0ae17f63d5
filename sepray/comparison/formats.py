"""Writes the table of a comparison: for the terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping

from rich import box
from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from ..plain_text import escape_controls, in_csv, in_markdown, in_one_line
from ..scoring.many_systems import ScoreSummary
from .table import MEAN, ComparisonTable, SystemRow, count, heading, number, p_value, rises, seconds

NO_FIGURE = "-"
"""Text of a cell that has no figure."""

_COSTS = ("supervision", "seeds", "parameters", "training (s)")
_TESTS = ("p", "r", "U")
_PAIRED = ("paired_p", "paired_p_holm", "rank_biserial")
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}


def terminal(table: ComparisonTable) -> Iterator[RenderableType]:
    """Yield what the terminal shows: a table for each measure, a table of costs, and the caption."""
    for measure in table.measures:
        better = "more" if rises(measure) else "less"
        grid = _grid(f"{table.title}: {heading(measure)}, {better} is better")
        grid.add_column("system")
        for column in (*table.columns, *_TESTS):
            grid.add_column(as_text(column), justify="right")
        for row in table.rows:
            if row.entry is None and row is table.rows[len(table.separators)]:
                grid.add_section()
            told = [figure(row.cells.get((measure, column)), measure, "\n") for column in table.columns]
            bold = "bold" if table.best.get((measure, MEAN)) == row.system else ""
            grid.add_row(*map(as_text, (row.system, *told, *_tests(row, measure, table))), style=bold)
        yield grid
    grid = _grid("What they need and cost")
    grid.add_column("system")
    for name in (*_COSTS, "separation of an item (ms)", "note"):
        grid.add_column(name, justify="left" if name in ("supervision", "note") else "right")
    for row in table.separators:
        assert row.entry is not None
        each = f"{1000 * row.entry.separation_seconds:.3g}"
        grid.add_row(*map(as_text, (row.system, *_costs(row), each, row.entry.missing)))
    for left in table.left_out:
        grid.add_row(*map(as_text, (left.system, *["-"] * (len(_COSTS) + 1), f"no figures: {left.reason}")))
    yield grid
    yield Text(escape_controls(table.caption), style="dim")


def markdown(table: ComparisonTable) -> str:
    """Return the table as Markdown, the best separator of a column in bold, those without figures at the end."""
    head = ["system"]
    for measure in table.measures:
        arrow = "↑" if rises(measure) else "↓"
        head += [f"{heading(measure)} {arrow}: {in_markdown(column)}" for column in table.columns] + [*_TESTS]
    noted = bool(table.left_out) or any(_note(row) for row in table.rows)
    head += [*_COSTS, *(["note"] if noted else [])]
    aligned = ["---", *["---:"] * ((len(table.columns) + len(_TESTS)) * len(table.measures)), "---", *["---:"] * 3]
    lines = [head, aligned + (["---"] if noted else [])]
    for row in table.rows:
        line = [in_markdown(row.system)]
        for measure in table.measures:
            for column in table.columns:
                text = figure(row.cells.get((measure, column)), measure)
                line.append(f"**{text}**" if table.best.get((measure, column)) == row.system else text)
            line += _tests(row, measure, table)
        lines.append(line + _costs(row) + ([in_markdown(_note(row))] if noted else []))
    blank = ["-"] * (len(head) - 2)
    lines += [[in_markdown(left.system), *blank, in_markdown(f"no figures: {left.reason}")] for left in table.left_out]
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([f"**{in_markdown(table.title)}**", "", *body, "", in_markdown(table.caption), ""])


def latex(table: ComparisonTable) -> str:
    """Return the table for a two-column paper, with the package booktabs; the interval stands below its mean."""
    width = len(table.columns) + len(_TESTS)
    groups, rules, head = ["System"], [], [""]
    for index, measure in enumerate(table.measures):
        arrow = r"$\uparrow$" if rises(measure) else r"$\downarrow$"
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(heading(measure))} {arrow}}}")
        rules.append(rf"\cmidrule(lr){{{2 + index * width}-{1 + (index + 1) * width}}}")
        head += [*(escape(column) for column in table.columns), *(f"${name}$" for name in _TESTS)]
    groups += ["Supervision", "Seeds", "Parameters", "Training (s)"]
    head += [""] * len(_COSTS)
    lines = [" & ".join(groups) + r" \\", " ".join(rules), " & ".join(head) + r" \\", r"\midrule"]
    for row in table.rows:
        if row.entry is None and row is table.rows[len(table.separators)]:
            lines.append(r"\midrule")
        line = [escape(row.system)]
        for measure in table.measures:
            for column in table.columns:
                bold = table.best.get((measure, column)) == row.system
                line.append(_stacked(row.cells.get((measure, column)), measure, bold))
            line += [_math(text) for text in _tests(row, measure, table)]
        lines.append(" & ".join([*line, *(_math(text) for text in _costs(row))]) + r" \\")
    if table.left_out:
        lines.append(r"\midrule")
    for left in table.left_out:
        said = escape(f"no figures: {left.reason}")
        lines.append(rf"{escape(left.system)} & \multicolumn{{{len(head) - 1}}}{{l}}{{{said}}} \\")
    notes = [f"{row.system}: {_note(row)}." for row in table.rows if _note(row)]
    form = "l" + ("r" * width) * len(table.measures) + "lrrr"
    label = "".join(letter for letter in table.title.partition(":")[0] if letter.isalnum() or letter == "-")
    return latex_table(" ".join([table.title + ".", table.caption, *notes]), label, form, lines)


def comma_separated(table: ComparisonTable) -> str:
    """Return the table as CSV, with one line for each system and one column for each figure, in full precision.

    Columns of figures are named ``<measure>/<column>/<figure>``; ``p`` is not corrected, ``p_holm`` is. ``u``,
    ``effect`` and these two are of the rank test of unpaired scores; ``paired_p``, ``paired_p_holm`` and
    ``rank_biserial`` of the paired test. A cell is empty where a system does not have the figure.
    """
    figures = ("mean", "low", "high", "seed_sd", "u", "effect", "p", "p_holm", *_PAIRED)
    columns = [(measure, column) for measure in table.measures for column in table.columns]
    costs = ["kind", "supervision", "seeds", "parameters", "training_seconds", "separation_seconds_per_item"]
    head = ["system", *costs, "reference"]
    head += [f"{m}/{c}/{figure}" for m, c in columns for figure in figures]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*head, "hyperparameters", "note"], restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        line: dict[str, object] = {"system": row.system, "kind": row.kind}
        line |= {"reference": int(row.system == table.reference), "note": _note(row)}
        if row.entry:
            line |= {"supervision": row.entry.contender.supervision, "seeds": row.seeds}
            line |= {"parameters": row.entry.contender.parameters, "training_seconds": row.entry.training_seconds}
            line["separation_seconds_per_item"] = row.entry.separation_seconds
            line["hyperparameters"] = json.dumps(dict(row.entry.hyperparameters))
        for measure, column in columns:
            if (cell := row.cells.get((measure, column))) is None:
                continue
            known = {**vars(cell), **(vars(cell.test) if cell.test else {})}
            if cell.paired:
                known |= dict(zip(_PAIRED, (cell.paired.p, cell.paired.p_holm, cell.paired.effect), strict=True))
            line |= {f"{measure}/{column}/{f}": known[f] for f in figures if known.get(f) is not None}
        writer.writerow(_cells(line))
    for left in table.left_out:
        writer.writerow(_cells({"system": left.system, "kind": "left out", "note": left.reason}))
    return stream.getvalue()


def scores(table: ComparisonTable, sources: list[str]) -> str:
    """Return every score as CSV, for further analysis: a line for each system, seed, test item and source.

    What an item was cut from stands in a column for each part of a mixture, where the task says so.
    """
    units = table.units
    cut_from = [] if units is None or not units.told else [f"unit {k + 1}" for k in range(len(units.names))]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    measures = list(dict.fromkeys(measure for row in table.rows for measure in row.scores))
    writer.writerow(["system", "seed", "item", *cut_from, "source", *measures])
    for row in table.rows:
        stacked = [row.scores.get(measure) for measure in measures]
        for seed, item, source in _indices(next(iter(row.scores.values())).shape):
            of = units.of_items[item] if cut_from and units is not None else ()
            named = [in_csv(row.system), seed if row.entry else "", item]
            columns = [*named, *map(in_csv, of), in_csv(sources[source])]
            writer.writerow(
                [*columns, *("" if values is None else float(values[seed, item, source]) for values in stacked)]
            )
    return stream.getvalue()


def figure(cell: ScoreSummary | None, measure: str, gap: str = " ") -> str:
    """Return a mean and its interval: ``0.31[0.28, 0.35]`` with ``gap`` between them; ``-`` where there is none."""
    if cell is None:
        return NO_FIGURE
    mean, low, high = (number(measure, value) for value in (cell.mean, cell.low, cell.high))
    return f"{mean}{gap}[{low}, {high}]" if math.isfinite(cell.high) else f"{mean}{gap}[too few]"


def as_text(text: str) -> Text:
    """Return a text for the terminal, without markup, with its control characters escaped."""
    return Text(escape_controls(text))


def latex_table(caption: str, label: str, form: str, lines: Iterable[str]) -> str:
    """Return a table of LaTeX as wide as the page, with the package booktabs.

    Args:
        caption: text of the caption, which is escaped.
        label: part of the label after ``tab:``.
        form: columns, such as ``lrr``.
        lines: rows, with their ends.
    """
    return "\n".join(
        [
            r"% In the preamble: \usepackage{booktabs}",
            r"\begin{table*}[t]",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            rf"\label{{tab:{label}}}",
            r"\footnotesize",
            rf"\begin{{tabular}}{{{form}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Return a text in one line with LaTeX's special characters escaped."""
    return "".join(_ESCAPES.get(letter, letter) for letter in in_one_line(text))


def _indices(shape: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    seeds, items, sources = shape
    return ((s, i, k) for s in range(seeds) for i in range(items) for k in range(sources))


def _grid(title: str) -> Grid:
    return Grid(title=as_text(title), title_justify="left", box=box.SIMPLE)


def _stacked(cell: ScoreSummary | None, measure: str, bold: bool) -> str:
    if cell is None:
        return "-"
    mean, low, high = (_minus(number(measure, value)) for value in (cell.mean, cell.low, cell.high))
    told = rf"\textbf{{{mean}}}" if bold else mean
    interval = f"{low}, {high}" if math.isfinite(cell.high) else "too few"
    return rf"\shortstack[r]{{{told}\\{{\scriptsize [{interval}]}}}}"


def _minus(text: str) -> str:
    return text.replace("-", "$-$")


def _math(text: str) -> str:
    return text.replace("<", "$<$") if text.startswith("<") else escape(text)


def _tests(row: SystemRow, measure: str, table: ComparisonTable) -> list[str]:
    """Return the cells of the tests: p of the paired one, its effect size, p of the unpaired one."""
    if row.system == table.reference:
        return ["ref.", "-", "-"]
    cell = row.cells.get((measure, MEAN))
    if cell is None or cell.test is None:
        return ["-", "-", "-"]
    if table.too_few:  # the unpaired test might have a small p, but it knows no more of other recordings
        return [f"too few ({table.units.count})" if table.units else "too few", "-", "-"]
    unpaired = p_value(cell.test.p_holm)
    if cell.paired is None:
        return ["-", "-", unpaired]
    return [p_value(cell.paired.p_holm), f"{cell.paired.effect:+.2f}", unpaired]


def _costs(row: SystemRow) -> list[str]:
    if row.entry is None:
        return ["-"] * len(_COSTS)
    contender = row.entry.contender
    return [contender.supervision, str(row.seeds), count(contender.parameters), seconds(row.entry.training_seconds)]


def _note(row: SystemRow) -> str:
    return row.entry.missing if row.entry else ""


def _cells(line: Mapping[str, object]) -> dict[str, object]:
    return {name: in_csv(value) if isinstance(value, str) else value for name, value in line.items()}

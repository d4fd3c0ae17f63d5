"""Writes a table with its published figures: for the terminal, Markdown, LaTeX and CSV; the form is above each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from ..comparison.formats import as_text, escape, figure, latex_table
from ..comparison.table import number
from ..plain_text import as_code, escape_controls, in_csv, in_markdown
from . import forms
from .beside import Line, PartTable
from .spec import NONE, Table

_COSTS = ("epochs", "seeds")


def terminal(table: Table, parts: Sequence[PartTable]) -> Iterator[RenderableType]:
    """Yield what the terminal shows: of each part its form, and a table for each measure, whose rows fit 80 columns.

    A column of published figures is there only where the paper has some. Intervals stand below their figures.
    """
    for part in parts:
        yield Text(escape_controls(f"{table.source}: {part.title}" if part.title else table.source), style="bold")
        yield Text(escape_controls(part.label))
        for measure in part.measures:
            grid = Grid(
                title=as_text(forms.heading(table, measure)), title_justify="left", box=box.SIMPLE, pad_edge=False
            )
            grid.add_column(min_width=11)
            printed = [s for s in part.sources if any((s, measure) in line.published for line in part.lines)]
            for source in part.sources:
                if source in printed:
                    grid.add_column(as_text(f"{source}\npaper"), justify="right")
                grid.add_column(as_text(f"{source}\nours"), justify="right", no_wrap=True)
            grid.add_column("epochs", no_wrap=True)
            for line in part.lines:
                cells = [line.label]
                for source in part.sources:
                    paper, ours = _cells(line, (source, measure), measure, gap="\n")
                    cells += [paper, ours] if source in printed else [ours]
                grid.add_row(*map(as_text, (*cells, line.epochs or NONE)))
            yield grid
        for line in part.lines:
            if line.note and line.what:
                yield Text(escape_controls(f"{line.label}: {line.note}."))
        yield Text(escape_controls(part.caption))
    if table.note:
        yield Text(escape_controls(table.note))


def markdown(table: Table, parts: Sequence[PartTable], figures: Mapping[str, str] | None = None) -> str:
    """Return the table as Markdown: for each part and source the rows of the paper, each figure beside ours.

    Args:
        table: the table.
        parts: its parts.
        figures: file -> what it shows.
    """
    text = [f"# {table.source}", ""]
    for part in parts:
        text += [f"## {part.title}", ""] if part.title else []
        text += [f"**{part.label}**", ""]
        for source in part.sources:
            head = [source, *(f"{forms.heading(table, m)}: {who}" for m in part.measures for who in ("paper", "ours"))]
            rows = [[*head, *_COSTS, "note"], ["---", *["---:"] * (2 * len(part.measures) + len(_COSTS)), "---"]]
            for line in part.lines:
                cells = [cell for m in part.measures for cell in _cells(line, (source, m), m)]
                rows.append([line.label, *cells, line.epochs or NONE, str(line.seeds or NONE), line.note])
            text += ["| " + " | ".join(in_markdown(cell) for cell in row) + " |" for row in rows]
            text.append("")
        trained = [f"- {in_markdown(line.label)}: {as_code(line.what)}" for line in part.lines if line.what]
        text += ["Trained:", "", *trained, ""] if trained else []
        text += [part.caption, ""] if part.caption else []
    text += [table.note, ""] if table.note else []
    text += [f"- `{name}`: {words}" for name, words in (figures or {}).items()]
    return "\n".join(text).rstrip() + "\n"


def latex(table: Table, parts: Sequence[PartTable]) -> str:
    """Return the table for a paper, with the package booktabs: a group of rows for each part and source."""
    measures = parts[0].measures
    groups = ["", *(rf"\multicolumn{{2}}{{c}}{{{escape(forms.heading(table, m))}}}" for m in measures), "", ""]
    head = ["", *(["paper", "ours"] * len(measures)), *(name.capitalize() for name in _COSTS)]
    lines = [" & ".join(groups) + r" \\", " & ".join(head) + r" \\"]
    for part in parts:
        for source in part.sources:
            title = escape(f"{part.title}: {source}" if part.title else source)
            lines += [r"\midrule", rf"\multicolumn{{{len(head)}}}{{l}}{{\textit{{{title}}}}} \\"]
            for line in part.lines:
                cells = [cell for m in measures for cell in _cells(line, (source, m), m, mean_only=True)]
                costs = [line.epochs or NONE, str(line.seeds or NONE)]
                lines.append(" & ".join([escape(line.label), *cells, *costs]) + r" \\")
    captions = [table.source + ".", *(f"{part.title}: {part.label}" if part.title else part.label for part in parts)]
    captions += [f"{line.label}: {line.note}." for part in parts for line in part.lines if line.note and not line.ours]
    return latex_table(" ".join(captions), table.name, f"l{'rr' * len(measures)}rr", lines)


def comma_separated(table: Table, parts: Sequence[PartTable]) -> str:
    """Return the table as CSV: a line for each part, source, row and measure, in full precision."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = ("published", "ours", "low", "high")
    writer.writerow(["table", "part", "source", "row", "measure", *figures, *_COSTS, "trained", "note", "form"])
    for part in parts:
        for source in part.sources:
            for line in part.lines:
                for measure in part.measures:
                    key = (source, measure)
                    own = line.ours.get(key)
                    values = [line.published.get(key, ""), *((own.mean, own.low, own.high) if own else ("", "", ""))]
                    costs = [line.epochs, line.seeds or "", line.what, line.note, part.label]
                    cells = [table.name, part.title, source, line.label, measure, *values, *costs]
                    writer.writerow([in_csv(cell) if isinstance(cell, str) else cell for cell in cells])
    return stream.getvalue()


def _cells(line: Line, key: tuple[str, str], measure: str, mean_only: bool = False, gap: str = " ") -> tuple[str, str]:
    """Return the published figure, as printed, and ours with its interval."""
    own = line.ours.get(key)
    ours = number(measure, own.mean) if own and mean_only else figure(own, measure, gap)
    return line.published.get(key, NONE), ours

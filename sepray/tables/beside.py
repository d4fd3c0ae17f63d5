"""Puts our figures beside the published ones: every row of the paper has a line, run or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..comparison import separators_flag
from ..comparison import table as comparisons
from ..comparison.contenders import LeftOut
from ..scoring.many_systems import ScoreSummary
from . import forms
from .forms import Chosen
from .spec import Part, Row, Table

Key = tuple[str, str]
"""Key of a figure: names of its source and of its measure."""


@dataclass(frozen=True)
class Line:
    """A line of a table: a method, or a bound.

    Attributes:
        label: its name in the paper.
        published: (source, measure) -> figure as printed.
        ours: (source, measure) -> our figure; empty where there is none.
        epochs: for how many epochs it was trained, beside the paper's; empty for what is not trained.
        seeds: number of trainings.
        what: what was trained, with its settings.
        note: why it has no figures of ours, or which seeds failed.
    """

    label: str
    published: Mapping[Key, str] = field(default_factory=dict)
    ours: Mapping[Key, ScoreSummary] = field(default_factory=dict)
    epochs: str = ""
    seeds: int = 0
    what: str = ""
    note: str = ""


@dataclass(frozen=True)
class PartTable:
    """The lines of a part.

    Attributes:
        title: title of the part.
        label: which form the part is in, how much it trains, and on which data.
        sources: sources in the order of the columns.
        measures: measures in the order of the columns.
        lines: the methods, in the order of the paper; then the bounds.
        caption: what the figures are.
    """

    title: str
    label: str
    sources: Sequence[str]
    measures: Sequence[str]
    lines: Sequence[Line]
    caption: str = ""


def part_table(
    table: Table,
    part: Part,
    chosen: Chosen,
    found: comparisons.ComparisonTable | None,
    why: str = "",
    left_out: Sequence[LeftOut] = (),
) -> PartTable:
    """Return the lines of a part.

    Args:
        table: the table.
        part: the part.
        chosen: the form.
        found: result of the comparison; None where it has none.
        why: why it has none.
        left_out: why single rows have none, where the comparison has no result.
    """
    sources = part.sources or (
        _sources(found) if found else tuple(dict.fromkeys(s for r in part.rows for s in r.published))
    )
    lines = [_line(table, row, sources, chosen, found, why, left_out) for row in part.rows]
    others = [row for row in found.rows if row.kind != "separator"] if found else []
    notes = {"bound": "a bound", "imported": "not computed here"}
    lines += [Line(row.system, ours=_cells(row, sources, table.measures), note=notes[row.kind]) for row in others]
    # Tests and costs are in the comparison's table.
    caption = ""
    if found:
        figures = found.caption.removeprefix(found.imported).partition(". ")[0]
        caption = f"{found.imported}{figures}. {found.samples}".strip()
    return PartTable(part.title, forms.label(table, part, chosen), sources, table.measures, lines, caption)


def _line(
    table: Table,
    row: Row,
    sources: Sequence[str],
    chosen: Chosen,
    found: comparisons.ComparisonTable | None,
    why: str,
    left_out: Sequence[LeftOut],
) -> Line:
    printed = {(s, m): text for s in sources for m, text in table.published(row, s).items()}
    if not row.separator:
        return Line(row.label, printed, note=row.missing)
    what = separators_flag.read(row.separator).words
    if found is None:
        return Line(row.label, printed, what=what, note=why or f"no figures: {_reason(row, left_out)}")
    ours = next((each for each in found.rows if each.key == row.name), None)
    if ours is None or ours.entry is None:
        return Line(row.label, printed, what=what, note=f"no figures: {_reason(row, found.left_out)}")
    contender = ours.entry.contender
    epochs = forms.epochs_words(table, row, chosen) if contender.learns else ""
    cells = _cells(ours, sources, table.measures)
    return Line(row.label, printed, cells, epochs, ours.seeds, contender.what or what, ours.entry.missing)


def _reason(row: Row, left_out: Sequence[LeftOut]) -> str:
    """Return why a row was left out of the comparison; its title there is its name, which may be followed by more."""
    mine = [left for left in left_out if left.system == row.name or left.system.startswith(f"{row.name} (")]
    return mine[0].reason if mine else "it took no part"


def _cells(row: comparisons.SystemRow, sources: Sequence[str], measures: Sequence[str]) -> dict[Key, ScoreSummary]:
    return {(s, m): row.cells[m, s] for s in sources for m in measures if (m, s) in row.cells}


def _sources(found: comparisons.ComparisonTable) -> tuple[str, ...]:
    return tuple(column for column in found.columns if column != comparisons.MEAN)

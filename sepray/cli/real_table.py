"""The table of ``sepray evaluate --recordings``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..models.real_recordings import RecordResult
    from ..scoring.real_records import RecordScores

_COLUMNS = ("bpm", "leads right", "segments right", "beat F1")
_CAPTION = """bpm: median of what was found; segment: 10 s of one lead, right within 5 bpm;
invented: segments with a heart that is not there; F1: beats within 50 ms;
--json has missed and invented beats too, and the confidence"""


def real_table(result: RecordResult, model: str) -> Group:
    """Return a table of the scores on one recording, 80 characters wide, with a row for each heart and system."""
    table = Table(box=box.SIMPLE)
    table.add_column("source, system", overflow="fold")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for source, systems in result.scores.items():
        table.add_row(f"{source}: {result.known[source]}", style="italic")
        for system, scores in systems.items():
            table.add_row(f"  {system}", *_cells(scores), style="bold" if system == model else "")
    leads = f"{result.leads} lead{'s' if result.leads > 1 else ''}"
    each = " each" if result.leads > 1 else ""
    segments = f"{result.segments} segment{'s' if result.segments > 1 else ''}{each}"
    return Group(Text(f"\n{result.record}: {leads}, {segments}", style="italic"), table, Text(_CAPTION, style="dim"))


def _cells(scores: RecordScores) -> tuple[str, ...]:
    """Return the cells of a row: the median rate, leads and segments that are right, and F1."""
    rate = f"{scores.rate:.0f}" if scores.rate else "-"
    if scores.invented is not None:
        return rate, "-", f"{100 * scores.invented:.1f}% invented", "-"
    leads = "-" if scores.leads_right is None else f"{scores.leads_right}/{scores.leads}"
    right = "-" if scores.segments_right is None else f"{scores.segments_right}/{scores.segments}"
    f1 = "-" if scores.beat_f1 is None else f"{scores.beat_f1:.3f}"
    return rate, leads, right, f1

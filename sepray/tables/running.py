"""Runs the parts of a table as comparisons, and writes the table after each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..comparison import publishing
from ..comparison.command import checked
from ..comparison.contenders import slug
from ..comparison.spec import Comparison
from ..console import interruption
from ..console.exit_status import BUG
from ..console.terminal import console
from ..disk import links
from ..disk.files import replace_file
from ..errors import SeprayError, one_line
from ..report.figures import MediaFile
from ..spec.folder import local_root
from ..spec.permissions import Permissions
from . import beside, figures, formats
from .beside import PartTable
from .forms import Chosen, Missing
from .spec import Table


@dataclass(frozen=True)
class PartResult:
    """The result of one part of a table.

    Attributes:
        shown: lines of the part; where it was not run, each says why.
        result: result of its comparison; None where it was not run.
        pictures: figures of the part.
    """

    shown: PartTable
    result: publishing.ComparisonResult | None = None
    pictures: Sequence[MediaFile] = ()


def run(
    table: Table,
    chosen: Chosen,
    comparisons: Sequence[Comparison | Missing],
    storage_path: str,
    permitted: Permissions | None = None,
) -> int:
    """Run the comparison of each part, and write the table with all parts that are there after each.

    Args:
        table: the table.
        chosen: its form.
        comparisons: a comparison, or why there is none, for each part.
        storage_path: folder or URI of results; the table lies in its folder ``NAME-FORM``.
        permitted: what the user allows the studies; default: nothing.

    Returns:
        The exit status: 0 done, 1 no part has a result, 3 a row has no figures because of a bug, that of the signal
        where one has ended it.
    """
    folder = local_root(storage_path) / f"{table.name}-{chosen.length}"
    ran: list[PartResult] = []
    for part, made in zip(table.parts, comparisons, strict=True):
        console.rule(f"{table.source}{f': {part.title}' if part.title else ''}")
        if isinstance(made, Missing):
            ran.append(PartResult(beside.part_table(table, part, chosen, None, made.reason)))
            continue
        try:
            result = publishing.result(made, checked(made, None), permitted)
        except SeprayError as error:
            ran.append(PartResult(beside.part_table(table, part, chosen, None, f"not run: {one_line(error)}")))
            continue
        if result.status in interruption.STATUSES:
            console.print("The same command goes on; what has ended is kept.")
            return result.status
        left = result.of_separators.left_out if result.of_separators else ()
        shown = beside.part_table(table, part, chosen, result.table, left_out=left)
        ran.append(PartResult(shown, result, figures.pictures(table, shown, result)))
        write(table, ran, folder)
    write(table, ran, folder)
    for block in formats.terminal(table, [each.shown for each in ran]):
        console.print(block)
    names = ", ".join(made.name for made in comparisons if not isinstance(made, Missing))
    told = (
        f"Table (Markdown, LaTeX, CSV) and figures (PDF): {folder}; tests, costs, scores of every item: beside, {names}"
    )
    console.print(told, soft_wrap=True, markup=False)
    if any(each.result is not None and each.result.status == BUG for each in ran):
        return BUG
    return 0 if any(each.result is not None and each.result.table is not None for each in ran) else 1


def write(table: Table, ran: Sequence[PartResult], folder: Path) -> None:
    """Write table and figures of the parts that are there to a folder."""
    shown = [each.shown for each in ran]
    drawn = [
        (f"{slug(each.shown.title).lower()}-{picture.name}" if len(table.parts) > 1 else picture.name, picture)
        for each in ran
        for picture in each.pictures
    ]
    words = {name: picture.description for name, picture in drawn}
    files: dict[str, bytes] = {name: picture.content for name, picture in drawn if picture.content}
    files |= {
        "table.md": formats.markdown(table, shown, words).encode(),
        "table.tex": formats.latex(table, shown).encode(),
        "table.csv": formats.comma_separated(table, shown).encode(),
    }
    for name, content in files.items():
        links.refuse((folder / name).parent, folder.parent)
        replace_file(folder / name, content)

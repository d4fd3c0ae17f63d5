"""Results of the campaign's runs: files of JSON lines, and the table that ARCHITECTURE.md shows.

``python -m tests.faults.figures`` prints the table of the newest result of each row and seed, of what was kept and of
what ``make test-faults`` has run here since. With ``--keep`` these are kept too, in ``kept.jsonl``, each with its
commit, and ARCHITECTURE.md gets the table of all that is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .rows import BY_NAME, ROWS, UNDISTURBED

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".faults" / "results.jsonl"
KEPT = Path(__file__).parent / "kept.jsonl"
LONGEST = 1.5
"""Longest wall time of a row, as a multiple of that of an undisturbed run; the median over its seeds counts."""


@dataclass(frozen=True)
class Result:
    """The result of a row and a seed.

    Attributes:
        row: name of the row.
        seed: seed of what was drawn.
        broken: what did not hold, a sentence each.
        statuses: exit status of each start.
        walls: seconds that each start took.
        code: digest of the sources.
        commit: commit of the repository, where there is one.
        machine: class of the machine.
        session: which call of the campaign it was; runs of one were under the same load.
        skipped: why it was not run; empty if it was.
        printed: the end of what each start printed, where something did not hold.
        left: names of processes that had not ended by themselves.
    """

    row: str
    seed: int
    broken: Sequence[str]
    statuses: Sequence[int]
    walls: Sequence[float]
    code: str
    commit: str
    machine: str
    session: str
    skipped: str = ""
    printed: Sequence[str] = ()
    left: Sequence[str] = ()

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def add(file: Path, result: Result) -> None:
    """Add a result to a file, on a line of its own whatever an earlier writer left."""
    with file.open("a+b") as lines:
        if lines.tell() and not _ends_a_line(lines):
            lines.write(b"\n")
        lines.write(result.line().encode())


def _ends_a_line(lines: BinaryIO) -> bool:
    lines.seek(-1, os.SEEK_END)
    return lines.read(1) == b"\n"


def read(files: Iterable[Path]) -> list[Result]:
    """Return the results in files of JSON lines, in their order; a line that was cut off counts as none."""
    results = []
    for file in files:
        for line in file.read_text().splitlines() if file.exists() else ():
            try:
                results.append(Result(**json.loads(line)))
            except (json.JSONDecodeError, TypeError):
                continue
    return results


@dataclass(frozen=True)
class Undisturbed:
    """Seconds of studies that nothing disturbs: of a whole study, and of a start of a finished one."""

    study: float
    restart: float


def undisturbed(results: Iterable[Result]) -> dict[tuple[str, str], Undisturbed]:
    """Return by session and kind of study (``Row.kind``) how long undisturbed runs took, in the median."""
    walls: dict[tuple[str, str], list[Sequence[float]]] = defaultdict(list)
    for result in results:
        row = BY_NAME.get(result.row)
        if row in UNDISTURBED and not result.broken and len(result.walls) == 2:
            walls[result.session, row.kind].append(result.walls)
    return {
        key: Undisturbed(statistics.median(w[0] for w in told), statistics.median(w[1] for w in told))
        for key, told in walls.items()
    }


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        name: name of the row.
        seeds: number of its runs.
        good: number of those that ended as asked.
        starts: smallest and greatest number of starts.
        wall: median wall time of all starts together, that of an undisturbed run of the same session = 1; None where
            there was none.
        counted: the same without what the fault itself takes: the outage, and for each further start the time of a
            start of a finished study.
    """

    name: str
    seeds: int
    good: int
    starts: tuple[int, int]
    wall: float | None
    counted: float | None

    @property
    def is_late(self) -> bool:
        """Say whether the run took longer than a fault may cost."""
        return self.counted is not None and self.counted > LONGEST


def lines(results: Sequence[Result]) -> list[Line]:
    """Return a line for each row that was run, by the newest result of each seed."""
    clean = undisturbed(results)
    newest = {(result.row, result.seed): result for result in results if not result.skipped}
    table = []
    for row in ROWS:
        own = [result for (name, _), result in sorted(newest.items()) if name == row.name]
        if not own:
            continue
        walls, counted = [], []
        for result in own:
            if (base := clean.get((result.session, row.kind))) and not result.broken:
                total = sum(result.walls)
                walls.append(total / base.study)
                further = (len(result.walls) - 1) * base.restart
                counted.append((total - row.outage - further) / base.study)
        starts = [len(result.statuses) for result in own]
        good = sum(not result.broken for result in own)
        median = statistics.median(walls) if walls else None
        table.append(
            Line(
                row.name,
                len(own),
                good,
                (min(starts), max(starts)),
                median,
                statistics.median(counted) if counted else None,
            )
        )
    return table


def markdown(table: Iterable[Line]) -> str:
    """Return the table in Markdown."""
    shown = [
        "| fault | ended as asked | starts | wall time, undisturbed = 1 | without outage and further starts |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line in table:
        starts = "-".join(map(str, dict.fromkeys(line.starts)))
        wall, counted = ("-" if value is None else f"{max(0.0, value):.1f}" for value in (line.wall, line.counted))
        shown.append(f"| {line.name} | {line.good}/{line.seeds} | {starts} | {wall} | {counted} |")
    return "\n".join(shown)


def caption(results: Sequence[Result]) -> str:
    """Return in a sentence how much was run, and where."""
    ran = list({(r.row, r.seed): r for r in results if not r.skipped and r.row in BY_NAME}.values())
    own = [r for r in ran if BY_NAME[r.row] not in UNDISTURBED]
    seeds = Counter(r.row for r in own)
    five = sum(count >= 5 for count in seeds.values())
    machines = " and ".join(sorted({r.machine for r in own}))
    commits = len({r.commit for r in own})
    return (
        f"{len(own)} runs of {len(seeds)} of the {len(ROWS)} rows, {five} of them with five seeds or more, "
        f"commits: {commits}, machines: {machines or 'none'}."
    )


_SHOWN = re.compile(r"^\d+ runs of \d+ of the \d+ rows, .*?\n\n(?:\|.*\n)+", re.MULTILINE)


def shown(text: str) -> str:
    """Return the part of ARCHITECTURE.md that has the caption and the table.

    Raises:
        ValueError: there is none.
    """
    if not (found := _SHOWN.search(text)):
        raise ValueError("ARCHITECTURE.md has no table of faults")
    return found[0]


def part(results: Sequence[Result]) -> str:
    """Return caption and table as ARCHITECTURE.md shows them."""
    return f"{caption(results)}\n\n{markdown(lines(results))}\n"


def keep() -> None:
    """Add what was run here to what is kept, without outputs, and show all of it in ARCHITECTURE.md."""
    known = {(r.row, r.seed, r.session) for r in read([KEPT])}
    for result in read([RESULTS]):
        if not result.skipped and (result.row, result.seed, result.session) not in known:
            broken = [text.splitlines()[0][:200] for text in result.broken if text]  # no traceback with its paths
            add(KEPT, replace(result, broken=broken, printed=(), left=()))
    page = ROOT / "ARCHITECTURE.md"
    text = page.read_text()
    page.write_text(text.replace(shown(text), part(read([KEPT]))))


def main() -> None:
    """Print the table, and what did not hold."""
    parser = argparse.ArgumentParser(description="The table of what the campaign of faults has run.")
    parser.add_argument("--keep", action="store_true", help="keep what was run here, and show it in ARCHITECTURE.md")
    if parser.parse_args().keep:
        keep()
    results = read([KEPT, RESULTS])
    table = lines(results)
    print(part(results))
    newest = {(result.row, result.seed): result for result in results}
    for result in newest.values():
        if result.skipped:
            print(f"not run: {result.row}: {result.skipped}")
        elif result.broken:
            print(f"{result.row}, seed {result.seed}: {'; '.join(result.broken)}")
    for line in table:
        if line.is_late:
            print(f"{line.name}: {line.counted:.1f} times the undisturbed wall time, more than {LONGEST}")


if __name__ == "__main__":
    main()

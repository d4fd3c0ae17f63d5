"""``--dry-run`` of a comparison: a line for each separator says what its study would take, and one for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..console.exit_status import BUG, format_error
from ..console.terminal import console, size
from ..dry_run import estimator
from ..dry_run.estimate import Estimate
from ..dry_run.schedule import EstimateRange
from ..dry_run.text import basis, command, count, failure, number, row, short, span
from ..errors import SeprayError, one_line
from ..loading import load_task
from ..module_names import shown_name
from .contenders import Contender, LeftOut, contenders, task_config
from .spec import Comparison, Spaces

_NAME = 18
_HEADINGS = ("separator", "weights", "trainings", "an epoch", "time", "memory", "disk")
_NOT_COUNTED = "Not counted: the start of Ray, packaging, the reports, the table."
_COLUMNS = (_NAME, 11, 10, 11, 12, 9, 9)


@dataclass(frozen=True)
class ComparisonEstimate:
    """Estimate of a comparison: those of its studies, and their time, memory and disk together.

    Attributes:
        comparison: the comparison.
        studies: each separator and the estimate of its study, in the order in which they run.
        left_out: separators that take no part, and why; studies that would be refused among them.
    """

    comparison: Comparison
    studies: tuple[tuple[Contender, Estimate], ...]
    left_out: tuple[LeftOut, ...]

    @property
    def trainings(self) -> int:
        """Number of trainings that are left, of all studies."""
        return sum(e.progress.left + e.progress.retrainings_left for _, e in self.studies)

    @property
    def seconds(self) -> EstimateRange:
        """Time of all studies, which run one after another."""
        known = (estimate.seconds for _, estimate in self.studies if estimate.seconds)
        return sum(known, EstimateRange(0.0, 0.0, 0.0))

    @property
    def memory(self) -> int:
        """Bytes of memory of the study that needs most."""
        return max((e.memory.total for _, e in self.studies if e.memory), default=0)

    @property
    def disk(self) -> int:
        """Bytes that all studies take on the disk, at most."""
        return sum(e.disk.total for _, e in self.studies if e.disk)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about resources that do not suffice, for each study and for all together."""
        own = [f"{one.system}: {warning}" for one, estimate in self.studies for warning in estimate.warnings]
        free = next((e.disk.free for _, e in self.studies if e.disk), None)
        if free is not None and self.disk > free and not any(e.disk and e.disk.total > free for _, e in self.studies):
            own.append(f"All studies together would need up to {size(self.disk)} on disk, but {size(free)} are free.")
        return tuple(own)

    @property
    def status(self) -> int:
        """Exit status: 3 where a separator has a bug, else 0 where one can be compared, else 2 for bad input, or 1."""
        found = [estimate.status for _, estimate in self.studies]
        if BUG in found or any(left.has_bug for left in self.left_out):
            return BUG
        return 0 if 0 in found else max(found, default=1)


def estimate(comparison: Comparison, spaces: Spaces) -> ComparisonEstimate:
    """Return the estimate of a comparison; the checks of ``command.run`` come before.

    A study that would be refused is left out, as it would be in the comparison.

    Args:
        comparison: the comparison.
        spaces: search space and published settings by separator.

    Raises:
        SeprayError: what a run of the comparison would refuse.
    """
    task = task_config(comparison)
    console.print(f"loading the data of {shown_name(task)}; what the cache does not hold is generated ...")
    data = load_task(task, comparison.stores.cache)
    taking_part, refused = contenders(comparison, spaces, data.signal)
    studies: list[tuple[Contender, Estimate]] = []
    left_out: list[LeftOut] = []
    for contender in taking_part:
        name = f"{comparison.name}-{contender.key}"
        spec = comparison.study(name, contender.config, task, contender.space, contender.points, contender.epochs)
        try:
            studies.append((contender, estimator.estimate(spec, data)))
        except SeprayError as error:
            left_out.append(LeftOut(contender.system, one_line(error)))
        except Exception as error:  # as in a comparison, a bug in one separator's code does not stop the others
            left_out.append(LeftOut(contender.system, f"{type(error).__name__}: {one_line(error)}", error))
    return ComparisonEstimate(comparison, tuple(studies), (*left_out, *refused))


def show(estimate: ComparisonEstimate) -> None:
    """Print an estimate; the last line is the command that runs the comparison, unless every study of it would fail."""
    for line in lines(estimate):
        console.print(line, soft_wrap=True)


def lines(estimate: ComparisonEstimate) -> Iterator[str]:
    """Yield the lines of an estimate, of 80 columns but for tracebacks and the command."""
    comparison = estimate.comparison
    yield ""
    yield f"{comparison.name}: a dry run, nothing is trained to its end and nothing is kept"
    if estimate.studies:
        first = estimate.studies[0][1]
        splits = ", ".join(f"{number(split.items)} {split.name}" for split in first.splits)
        yield from row("task", f"{comparison.task}: {', '.join(first.signal.sources)}; {splits} items")
        unknown = "as many as the cluster takes (a dry run does not ask it); times are for one at a time"
        yield from row("at once", count(first.slots, "trial") if first.slots else unknown)
    yield ""
    yield _line(_HEADINGS)
    for contender, study in estimate.studies:
        yield from _study(contender, study)
    seconds = estimate.seconds
    total = ("all together", "", number(estimate.trainings), "", short(seconds.expected))
    yield _line((*total, size(estimate.memory), size(estimate.disk)))
    yield ""
    measured = [study.measurement for _, study in estimate.studies if study.measurement is not None]
    computed = f" {basis(measured, seconds.expected)}" if measured else ""
    yield from row("time", f"{span(seconds)}, one study after another.{computed} {_NOT_COUNTED}")
    for left in estimate.left_out:
        yield from row("left out", f"{left.system}: {left.reason}")
    for warning in estimate.warnings:
        yield from row("WARNING", warning)
    for contender, study in estimate.studies:
        if study.failure:
            yield from failure(study, f"{contender.system}: the trial that was tried")
    for left in estimate.left_out:
        if isinstance(left.bug, Exception):
            yield format_error(left.system, left.bug)
    if all(study.failure for _, study in estimate.studies):
        return
    yield ""
    yield "To run it:"
    yield f"  {command(comparison.name)}"


def _study(contender: Contender, study: Estimate) -> Iterator[str]:
    title, progress = contender.system, study.progress
    left = number(progress.left + progress.retrainings_left)
    if len(title) >= _NAME:
        yield title
        title = ""
    if not (study.seconds and study.epoch_seconds and study.memory and study.disk):
        yield _line((title, "", left, "", "failed" if study.failure else "done", "", ""))
        return
    yield _line(
        (
            title,
            number(contender.parameters),
            left,
            short(study.epoch_seconds.most),
            short(study.seconds.expected),
            size(study.memory.total),
            size(study.disk.total),
        )
    )


def _line(cells: Sequence[str]) -> str:
    name, *others = cells
    widths = _COLUMNS[1:]
    line = f"{name:{_NAME}}" + "".join(f"{cell:>{width}}" for cell, width in zip(others, widths, strict=True))
    return line.rstrip()

"""The description of a published table: its rows and figures as printed, and how they are trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..choices import COLUMNS
from ..comparison import separators_flag
from ..errors import UsageError

NONE = "-"
"""A figure that the paper does not give."""


@dataclass(frozen=True)
class Row:
    """A method of a table.

    Attributes:
        label: its name as in the paper; what the paper does not have says so.
        separator: what is trained, as ``--separators`` of a comparison takes it, without a name; empty where it cannot
            be run here, which ``missing`` explains.
        published: source -> figures as printed, one for each measure of the table, parted by blanks; ``-`` for none.
        missing: why there is no figure of ours.
    """

    label: str
    separator: str = ""
    published: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""

    @property
    def name(self) -> str:
        """Name of the row in the comparison, and at the end of the name of its study."""
        return separators_flag.slug(self.label).replace(".", "-")  # a dot ends an owner in --settings

    @property
    def entry(self) -> str:
        """Entry of ``--separators`` for the row."""
        return f"{self.name}={self.separator}"


def rows_of(methods: Mapping[str, str], source: str, figures: str) -> tuple[Row, ...]:
    """Return a row for each method, from one printed line of a table whose columns are methods.

    Args:
        methods: label -> what is trained, in the order of the columns.
        source: source that the figures are of.
        figures: those of each method, parted by commas, each as in ``Row.published``.

    Raises:
        UsageError: there are not as many figures as methods.
    """
    each = [text.strip() for text in figures.split(",")]
    if len(each) != len(methods):
        raise UsageError(f"{source}: there are {len(each)} figures for {len(methods)} methods")
    return tuple(Row(label, what, {source: text}) for (label, what), text in zip(methods.items(), each, strict=True))


@dataclass(frozen=True)
class Data:
    """The data of a part: a task and its settings.

    Attributes:
        task: name, or NAME:CONFIGURATION.
        settings: fields of its ``Config`` as ``FIELD=VALUE``; ``{NAME}`` stands for what ``--folder NAME=...`` gives.
        words: what the data are, in words, for the table.
    """

    task: str
    settings: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Part:
    """Rows on one task, such as one direction of a table that has two.

    Attributes:
        title: title; empty for the only part.
        data: the task.
        rows: the methods.
        sources: sources whose figures the paper has; empty for all.
        stand_in: a task that needs no download, in the short form where the folders are not given.
    """

    title: str
    data: Data
    rows: tuple[Row, ...]
    sources: tuple[str, ...] = ()
    stand_in: Data | None = None


@dataclass(frozen=True)
class Form:
    """Amount of training, in one of the table's two forms.

    Attributes:
        max_epochs: epochs of every training.
        seeds: trainings of every row.
        settings: separator, row's name, or ``task`` -> ``FIELD=VALUE FIELD=VALUE``, in all parts.
    """

    max_epochs: int
    seeds: int
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A figure beside the table, one for each part.

    Attributes:
        kind: ``boxes`` (scores of all test items), ``curves`` (error of every epoch), ``discriminators`` (their outputs
            for the other source's estimates), ``item`` (one test item, separated by all methods) or ``iterations``. The
            last shows one test item after iterations of the one method that trains in them; its first seed is trained
            again for that.
        title: title, which names the figure of the paper that this one repeats.
        rows: labels of the rows that are drawn; empty for all.
        tail: last share of the epochs that is drawn again, larger; 0 for none.
        by: what one step of the curves' axis is; an iteration is as many epochs as the separator says.
    """

    kind: Literal["boxes", "curves", "discriminators", "item", "iterations"]
    title: str
    rows: tuple[str, ...] = ()
    tail: float = 0.0
    by: Literal["epoch", "iteration"] = "epoch"


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        name: what the names of its comparisons and studies begin with.
        source: paper, table and section.
        measures: measures of its columns, in the order of ``Row.published``; further ones have no published figures.
        parts: its parts.
        full: the form that is as long as the paper's, as far as the paper says it.
        minutes: the form that ends in about ten minutes on two cores.
        paper_epochs: separator -> epochs in the paper; a separator is left out where the paper gives no number.
        note: what a reader has to know beside.
        figures: figures.
        headings: measure -> its name in the paper, where that is another.
    """

    name: str
    source: str
    measures: tuple[str, ...]
    parts: tuple[Part, ...]
    full: Form
    minutes: Form
    paper_epochs: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    figures: tuple[Figure, ...] = ()
    headings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse figures that have no column, rows that nobody trains, and names that are there twice."""
        if unknown := set(self.measures) - set(COLUMNS):
            raise UsageError(f"{self.name}: there is no measure {', '.join(sorted(unknown))}")
        for part in self.parts:
            for row in part.rows:
                if not (row.separator or row.missing):
                    raise UsageError(f"{self.name}: the row {row.label} has neither a separator nor a reason")
                for source in row.published:
                    self.published(row, source)
            names = [row.name for row in part.rows]
            if len(set(names)) < len(names):
                raise UsageError(f"{self.name}: two rows of {part.title or 'the table'} have one name")

    def published(self, row: Row, source: str) -> dict[str, str]:
        """Return measure -> figure as printed, of a row and a source; measures without one are left out.

        Raises:
            UsageError: there are more figures than measures, or one is no number.
        """
        printed = row.published.get(source, "").split()
        if len(printed) > len(self.measures):
            raise UsageError(f"{self.name}: {row.label}, {source} has more figures than the table has measures")
        given = {m: figure for m, figure in zip(self.measures, printed, strict=False) if figure != NONE}
        for figure in given.values():
            try:
                float(figure)
            except ValueError:
                raise UsageError(f"{self.name}: {row.label}, {source} has {figure!r}, which is no number") from None
        return given

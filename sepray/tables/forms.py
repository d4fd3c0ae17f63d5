"""The forms of a table's part, short and full, with or without folders: its data and its number of epochs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from .. import registry
from ..choices import MEASURES, OBJECTIVES, measure_words
from ..comparison import separators_flag
from ..comparison.spec import Comparison
from ..errors import UsageError
from ..plain_text import plural
from ..spec.parts import Budget, Resources, Stores
from .spec import Data, Form, Part, Row, Table

MINUTES: Final = "minutes"
FULL: Final = "full"
Length = Literal["minutes", "full"]
_FOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Chosen:
    """A form of a table that was chosen.

    Attributes:
        length: name of the form.
        form: the form itself: how much it trains.
        folders: name -> folder of data.
    """

    length: Length
    form: Form
    folders: Mapping[str, str]

    @property
    def is_short(self) -> bool:
        """Say whether this is the short form."""
        return self.length == MINUTES


@dataclass(frozen=True)
class Missing:
    """Reason why a part is not run, in words."""

    reason: str


def chosen_form(table: Table, length: Length, folders: Sequence[str], max_epochs: int = 0, seeds: int = 0) -> Chosen:
    """Return the form of a table that a command line asks for.

    Args:
        table: the table.
        length: name of the form.
        folders: ``NAME=FOLDER`` each; a table that names one folder takes a bare one.
        max_epochs: epochs instead of the form's; 0 for the form's.
        seeds: seeds instead of the form's; 0 for the form's.

    Raises:
        UsageError: a folder has no name, or one that the table does not know.
    """
    known = list(dict.fromkeys(name for part in table.parts for name in needed_folders(part.data)))
    given: dict[str, str] = {}
    for text in folders:
        name, equals, folder = text.partition("=")
        if not equals and len(known) == 1:
            name, folder = known[0], text
        if name not in known or not folder:
            there = ", ".join(f"{each}=FOLDER" for each in known) or "none"
            raise UsageError(f"--folder {text!r}: the table takes {there}")
        given[name] = folder
    form = table.minutes if length == MINUTES else table.full
    return Chosen(length, replace(form, max_epochs=max_epochs or form.max_epochs, seeds=seeds or form.seeds), given)


def needed_folders(data: Data) -> list[str]:
    """Return the names of the folders that data need."""
    return [name for setting in data.settings for name in _FOLDER.findall(setting)]


def data_of(part: Part, chosen: Chosen) -> Data | Missing:
    """Return the data of a part: its own, or in the short form a stand-in where a folder is not given."""
    lacking = [name for name in needed_folders(part.data) if name not in chosen.folders]
    if not lacking:
        return replace(part.data, settings=tuple(s.format_map(chosen.folders) for s in part.data.settings))
    if chosen.is_short and part.stand_in is not None:
        return part.stand_in
    flags = " ".join(f"{name}=FOLDER" for name in lacking)
    return Missing(f"not run: it needs --folder {flags} ({part.data.words or part.data.task})")


def comparison(
    table: Table,
    number: int,
    chosen: Chosen,
    name: str = "",
    seed: int = 0,
    resources: Resources | None = None,
    stores: Stores | None = None,
    museval_results: tuple[str, ...] = (),
) -> Comparison | Missing:
    """Return the comparison that a part of a table is, or why there is none.

    Args:
        table: the table.
        number: number of the part, from 0.
        chosen: the form.
        name: what the comparison's name begins with; empty for that of table and form.
        seed: random seed.
        resources: where trials run.
        stores: where results are kept.
        museval_results: others' results as ``NAME=FOLDER``, for rows beside ours by BSS Eval.
    """
    part = table.parts[number]
    data = data_of(part, chosen)
    if isinstance(data, Missing):
        return data
    rows = [row for row in part.rows if row.separator]
    settings = [s for owner, given in chosen.form.settings.items() for s in _of_rows(owner, given, rows)]
    settings += [f"task.{setting}" for setting in data.settings]
    parts = f"-{separators_flag.slug(part.title).lower()}" if len(table.parts) > 1 else ""
    return Comparison(
        name=f"{name or f'{table.name}-{chosen.length}'}{parts}",
        separators=tuple(row.entry for row in rows),
        task=data.task,
        settings=tuple(settings),
        measures=table.measures,
        objective=(_objective(table.measures),),
        seed=seed,
        budget=Budget(trials=0, finalists=1, final_seeds=chosen.form.seeds, max_epochs=chosen.form.max_epochs),
        resources=resources,
        stores=stores,
        museval_results=museval_results if data is not part.stand_in else (),
    )


def _of_rows(owner: str, given: str, rows: Sequence[Row]) -> list[str]:
    """Return a form's settings of a separator for each row that trains it, or of a row by its name.

    A variant is named by its module: ``cass_published``.
    """
    targets = ["task"] if owner == "task" else [row.name for row in rows if owner in (row.name, _module(row))]
    return [f"{target}.{setting}" for target in targets for setting in given.split()]


def _module(row: Row) -> str:
    entry = separators_flag.read(row.separator)
    home = f"sepray.separators.{entry.separator}"
    known = registry.variants(home) if entry.separator in registry.names("sepray.separators") else {}
    return f"{entry.short}_{entry.wanted}" if entry.wanted in known else entry.short


def _objective(measures: Sequence[str]) -> str:
    """Return the objective that validation chooses by: a quick measure of the table, else SI-SDR."""
    quick = [measure for measure in measures if measure in OBJECTIVES]
    if "relative_l2" in quick:  # the norm that the CASS paper records after every epoch
        return "relative_l2"
    return quick[0] if quick else "si_sdr"


def epochs_words(table: Table, row: Row, chosen: Chosen) -> str:
    """Return for how many epochs a row was trained, beside the paper's number: ``12 of 500``."""
    paper = table.paper_epochs.get(_module(row)) if row.separator else None
    trained = chosen.form.max_epochs
    return f"{trained} of {paper}" if paper and paper != trained else f"{trained}"


def label(table: Table, part: Part, chosen: Chosen) -> str:
    """Return the label above every output of a part: its form, the amount of training, and the data."""
    form, data = chosen.form, data_of(part, chosen)
    paper = sorted({n for n in table.paper_epochs.values() if n != form.max_epochs})
    epochs = plural(form.max_epochs, "epoch") + (
        f" where the paper has {' or '.join(map(str, paper))}" if paper else ""
    )
    text = f"{'SHORT FORM' if chosen.is_short else 'Full form'} (--budget {chosen.length}): {epochs}, "
    text += f"{plural(form.seeds, 'seed')}"
    if chosen.is_short and form.settings:
        text += f", with {'; '.join(f'{owner} {given}' for owner, given in form.settings.items())}"
    text += "."
    if isinstance(data, Missing):
        return f"{text} {data.reason[0].upper()}{data.reason[1:]}."
    if data is part.stand_in:
        text += f" STAND-IN DATA: {data.words}, in place of {part.data.words}."
    elif data.words:
        text += f" Data: {data.words}."
    if chosen.is_short:
        text += " These figures say that the table can be made, and nothing about the paper's."
    return text


def heading(table: Table, measure: str) -> str:
    """Return the name of a measure in the table, as the paper has it where that is another, with its unit."""
    name, unit = table.headings.get(measure, measure_words(measure)), MEASURES[measure].unit
    return f"{name} ({unit})" if unit else name

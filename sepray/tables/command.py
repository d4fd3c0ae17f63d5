"""The entry point of a table's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NoReturn

import tyro

from ..console.arguments import described, parsed
from ..console.exit_status import exit_with_status
from ..console.waiting import wait_for
from ..errors import UsageError
from ..spec.parts import Resources, ResourcesFlags, Stores, StoresFlags
from ..spec.permissions import Permissions
from . import forms
from .forms import Length, Missing
from .spec import Table


@dataclass(frozen=True)
class TableOptions:
    """A table of a paper with ours beside it: a comparison for each of its parts, in two forms.

    The same command goes on after an interruption. Every output says which form it is.
    """

    budget: Length = forms.MINUTES
    """minutes: few epochs of small networks, to see that the table can be made; full: as long as the paper says."""
    folder: tuple[str, ...] = ()
    """Data that must be downloaded, NAME=FOLDER each, or a folder alone where the table takes one."""
    museval_results: tuple[str, ...] = ()
    """Results of others on the same tracks, each NAME=FOLDER with museval's files, as for a comparison."""
    max_epochs: int = 0
    """Epochs of a training; 0 for the form's."""
    final_seeds: int = 0
    """Trainings of each row; 0 for the form's."""
    seed: int = 0
    """Random seed."""
    resources: ResourcesFlags = field(default_factory=Resources)
    """Machines that trials run on, and the CPUs and GPUs of a trial."""
    stores: StoresFlags = field(default_factory=Stores)
    """Stores of trials, runs, models, checkpoints and data."""

    permitted: Annotated[Permissions, tyro.conf.arg(name="")] = field(default_factory=Permissions)
    """Permissions for what the studies otherwise refuse to do."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("max_epochs", "final_seeds"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} must not be negative, not {getattr(self, name)}")


def main(table: Table) -> NoReturn:
    """Make a table from the command line and exit with its status: 0 done, 1 no figures, that of a signal."""
    exit_with_status(table.name, lambda arguments: run(table, parse(table, arguments)))


def parse(table: Table, arguments: Sequence[str] | None = None) -> TableOptions:
    """Return the options of a command line.

    Raises:
        UsageError: an unknown flag, or a value that it does not take.
    """
    known = sorted({name for part in table.parts for name in forms.needed_folders(part.data)})
    takes = f" --folder takes {', '.join(f'{name}=FOLDER' for name in known)}." if known else ""
    text = described(f"{table.source}.{takes}\n\n{TableOptions.__doc__}")
    kind = Annotated[TableOptions, tyro.conf.arg(name="")]
    return parsed(lambda args: tyro.cli(kind, args=args, description=text), arguments)


def run(table: Table, options: TableOptions) -> int:
    """Make a table; return the exit status.

    Raises:
        UsageError: a folder that the table does not know, or none of its parts has its data.
    """
    if options.resources.cluster_address.startswith("ray://"):
        raise UsageError("a table is made where its command runs: start it on the cluster's head, with --address auto")
    form = forms.chosen_form(table, options.budget, options.folder, options.max_epochs, options.final_seeds)
    made = [
        forms.comparison(table, k, form, "", options.seed, options.resources, options.stores, options.museval_results)
        for k in range(len(table.parts))
    ]
    if all(isinstance(each, Missing) for each in made):
        raise UsageError("; ".join(dict.fromkeys(each.reason for each in made if isinstance(each, Missing))))
    for each in made:
        if not isinstance(each, Missing):
            each.check()
    wait_for(f"{table.name}: importing torch, Ray and Optuna")
    from . import running  # seconds

    return running.run(table, form, made, options.stores.storage_path, options.permitted)

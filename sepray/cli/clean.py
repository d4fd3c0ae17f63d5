"""``sepray clean``."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import UsageError, mask
from . import application
from .confirmation import Yes, is_confirmed

if TYPE_CHECKING:
    from ..driver.saved_study import SavedStudy
    from ..results.cleaning import Deletable

_Name = Annotated[
    str | None,
    tyro.conf.Positional,
    tyro.conf.arg(metavar="[STUDY]", help="Name of the study.", help_behavior_hint="(default: all of the storage)"),
]


@application.command("clean")
def clean(
    name: _Name = None,
    orphans: application.Switch = False,
    cache_data: Annotated[float | None, tyro.conf.arg(metavar="DAYS", help_behavior_hint="")] = None,
    dry_run: application.Switch = False,
    yes: Yes = False,
    json: application.Json = False,
    storage: application.Storage = application.STORAGE,
    storage_path: application.StoragePath = application.STORAGE_PATH,
    cache: application.Cache = application.CACHE,
) -> None:
    """Delete checkpoints that nobody needs any more, and files that killed processes have left.

    The command lists what it would delete, and asks before it deletes anything.

    A study can be continued, extended and reported afterwards as before; its model and its retrainings are kept. In a
    finished study, the other trials of the search keep their curves and lose their weights. A study that is running is
    left alone.

    Example: sepray clean --dry-run

    Args:
        orphans: Also delete folders of studies that are not in this storage. They may belong to another storage.
        cache_data: Also delete entries of the data cache that have not been read for this many days.
        dry_run: Only say what would be deleted.
    """
    if cache_data is not None and not cache_data >= 0:
        raise UsageError(f"--cache-data must be at least 0, not {cache_data:g}")
    if name is not None and orphans:
        raise UsageError("--orphans deletes folders of studies that are not in the storage; leave out the study's name")
    application.require_storage(storage)
    from ..console.terminal import console, size
    from ..driver.saved_study import read_saved_study, study_names
    from ..results import cleaning

    names = study_names(storage) if name is None else [name]
    studies = [read_saved_study(each, storage, storage_path) for each in names]
    with contextlib.ExitStack() as stack:
        deletable = [item for saved in studies for item in _deletable(saved, stack, alone=name is not None)]
        if name is None:
            found = cleaning.orphans({(saved.name, saved.uid) for saved in studies}, storage_path)
            if orphans:
                deletable += found
            elif found:
                [line, *_] = cleaning.in_sentences(found)
                console.print(f"left alone: {line} (--orphans deletes them)", soft_wrap=True)
        if cache_data is not None:
            deletable += cleaning.deletable_in_cache(cache, cache_data)
        for line in cleaning.in_sentences(deletable):
            console.print(line, soft_wrap=True)
        total = size(sum(item.size for item in deletable))
        confirmed = bool(deletable) and not dry_run and is_confirmed(yes)
        if not deletable:
            console.print("there is nothing to delete")
        elif dry_run:
            console.print(f"{total} would be freed")
        elif confirmed:
            for item in deletable:
                cleaning.delete(item)
            console.print(f"{total} are freed")
        else:
            console.print("nothing is deleted")
    if json:
        items = [asdict(item) for item in deletable]
        for described in items:
            del described["top"]  # used only to delete it
            described["place"] = mask(described.pop("location"))  # older versions named it so
        application.print_json({"deleted": confirmed, "bytes": sum(item.size for item in deletable), "items": items})


def _deletable(saved: SavedStudy, stack: contextlib.ExitStack, alone: bool) -> list[Deletable]:
    """Hold a study until ``stack`` ends, and return what can be deleted of it; skip one that runs or is behind a link.

    Raises:
        SeprayError: the study runs or is behind a link and was asked for alone, or one of its stores does not answer.
    """
    from ..console.terminal import console
    from ..results import cleaning
    from ..results.deletion import held
    from ..search.holding import HeldError
    from ..tracking.outbox import BusyError

    try:
        stack.enter_context(held(saved))
    except (HeldError, UsageError, BusyError) as error:  # the study runs, or a link is in the place of its folder
        if alone:
            raise
        console.print(f"left alone: {error}", soft_wrap=True)
        return []
    return cleaning.deletable_in_study(saved)

"""Finds and deletes checkpoints that nobody needs any more, and files that killed processes have left behind.

These are needed, and so never deleted:

- In a study that is not finished, the checkpoints of all trials that wait, run or ran their whole budget: the same
  command continues it.
- Those of the retrainings: an extension scores them beside new ones, comparisons score them all, and the model is
  packaged from the best of them.
- Those of the search's trials with published settings: an extension that finds another champion scores them again.
- The epochs of every other trial that ran its whole budget, which the report draws. A finished study keeps these
  checkpoints without their tensors.
- Estimates that training starts from (``start``), which an extension would have to make again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..console import terminal
from ..disk import links
from ..disk.file_systems import StoredFile, files, folders, reachable, remove
from ..disk.shared_copies import local_folder
from ..driver.saved_study import STAGES, SavedStudy
from ..errors import mask
from ..search.outcomes import UNFINISHED, outcome
from ..spec.folder import TRIAL_FOLDER, is_locked, is_remote, local_root
from . import progress

WEIGHTS = "weights"
ENDED = "ended"
TEMPORARY = "temporary"
ORPHAN = "orphan"
CACHED = "cached"
_WORDS = {
    WEIGHTS: ("weights of {} that nobody needs any more (their curves are kept)", "trial", "trials"),
    ENDED: ("checkpoints of {} that did not run the whole budget", "trial", "trials"),
    TEMPORARY: ("{} of killed processes", "leftover", "leftovers"),
    ORPHAN: ("{} that this storage does not have", "folder of a study", "folders of studies"),
    CACHED: ("{} of the data cache", "entry", "entries"),
}
# Temporary names of files.replace_file and packaging.package_model.
_TEMPORARY = re.compile(r"(^|/)\.[^/]+\.[0-9a-f]{8}$|^\.model-[^/]+/")
_SETTLED_SECONDS = 3600.0
_UID = re.compile(r"[0-9a-f]{8}")
_ENTRY = re.compile(r"[^/]+-[0-9a-f]{16}\.safetensors")
_WITHOUT_LOCK = {*STAGES, "start", "ray"}


@dataclass(frozen=True)
class Deletable:
    """Files or entries that can be deleted together.

    Attributes:
        study: name of the study that it belongs to; empty for the data cache.
        kind: WEIGHTS, ENDED, TEMPORARY, ORPHAN or CACHED.
        location: folder, file or URI.
        size: bytes that are freed.
        top: folder or URI below which no link is followed; empty: the folder that ``location`` is in.
    """

    study: str
    kind: str
    location: str
    size: int
    top: str = field(default="", compare=False)


def deletable_in_study(saved: SavedStudy) -> list[Deletable]:
    """Return the things of a study that can be deleted; the caller holds the study (``deletion.held``).

    Raises:
        SeprayError: its object store or its storage does not answer.
    """
    stages = {stage: saved.trials(stage) for stage in saved.studies}
    told = all((saved.folder / name).is_file() for name in ("result.json", "registration.json"))
    is_finished = progress.state(saved, stages, told) == progress.FINISHED
    found = files(saved.checkpoints)
    deletable = []
    for stage, trials in stages.items():
        for trial in trials:
            folder = f"{stage}/{TRIAL_FOLDER.format(number=trial.number)}"
            size = _size_below(found, folder)
            if size and outcome(trial) not in ("complete", UNFINISHED):
                deletable.append(
                    Deletable(saved.name, ENDED, f"{saved.checkpoints}/{folder}", size, saved.storage_path)
                )
            elif size and is_finished and stage == "search" and "label" not in trial.user_attrs:
                deletable += _weights(saved, f"{saved.checkpoints}/{folder}")
    going = any(outcome(trial) == UNFINISHED for trials in stages.values() for trial in trials)
    if (size := _size_below(found, "ray")) and not (going and is_remote(saved.storage_path)):
        deletable.append(Deletable(saved.name, TEMPORARY, f"{saved.checkpoints}/ray", size, saved.storage_path))
    return deletable + _left_behind(saved, [item.location for item in deletable if item.kind != WEIGHTS])


def _left_behind(saved: SavedStudy, besides: Sequence[str]) -> list[Deletable]:
    """Return unfinished files of killed processes in a study's local folder, except below the locations ``besides``."""
    sizes: dict[str, int] = {}
    latest: dict[str, float] = {}
    for file in files(str(saved.folder)):
        if match := _TEMPORARY.search(file.name):
            location = f"{saved.folder}/{file.name[: match.end()].rstrip('/')}"
            sizes[location] = sizes.get(location, 0) + file.size
            latest[location] = max(latest.get(location, 0.0), file.modified)
    now = time.time()
    return [
        Deletable(saved.name, TEMPORARY, location, size, str(local_root(saved.storage_path)))
        for location, size in sizes.items()
        if now - latest[location] > _SETTLED_SECONDS
        and not location.startswith(tuple(f"{other}/" for other in besides))
    ]


def orphans(known: set[tuple[str, str]], storage_path: str) -> list[Deletable]:
    """Return folders below ``storage_path`` of studies that are not in a storage; they may be in another one.

    Args:
        known: name and id of each study in the storage.
        storage_path: folder or URI of the studies' files.
    """
    deletable = []
    roots = [str(local_root(storage_path))] + [storage_path.rstrip("/")] * is_remote(storage_path)
    for root in roots:
        for name in folders(root):
            for uid in filter(_UID.fullmatch, folders(f"{root}/{name}")):
                location = f"{root}/{name}/{uid}"
                if (name, uid) in known or not _is_study(location) or ("://" not in root and is_locked(Path(location))):
                    continue
                size = sum(file.size for file in files(location))
                deletable.append(Deletable(name, ORPHAN, location, size, root))
    return deletable


def deletable_in_cache(cache: str | Path, days: float) -> list[Deletable]:
    """Return the entries of the data cache that nobody has read for some days; tasks make them again when needed.

    Args:
        cache: folder of the cache, or its URI: the entries are those of this machine, and the shared copies stay.
        days: least number of days since an entry was read or written.
    """
    folder = local_folder(cache)
    deletable = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and _ENTRY.fullmatch(path.name):
            stat = path.stat()
            if time.time() - max(stat.st_atime, stat.st_mtime) > days * 86400:
                deletable.append(Deletable("", CACHED, str(path), stat.st_size))
    return deletable


def in_sentences(deletable: list[Deletable]) -> Iterator[str]:
    """Yield a line for each study and kind of things that can be deleted, with their number and size."""
    groups = dict.fromkeys((item.study if item.kind != ORPHAN else "", item.kind) for item in deletable)
    for study, kind in groups:
        own = [item for item in deletable if item.kind == kind and (kind == ORPHAN or item.study == study)]
        words, one, several = _WORDS[kind]
        what = words.format(f"{len(own)} {one if len(own) == 1 else several}")
        yield f"{study + ': ' if study else ''}{what}, {terminal.size(sum(item.size for item in own))}"
        if kind == ORPHAN:
            yield from (f"  {mask(item.location)}, {terminal.size(item.size)}" for item in own)


def delete(deletable: Deletable) -> None:
    """Delete one thing; of a checkpoint of the kind WEIGHTS, only the tensors are deleted.

    Raises:
        OSError: a file cannot be deleted.
        SeprayError: an object store cannot be used, or a folder on the way is a link.
    """
    if deletable.kind == WEIGHTS:
        from ..execution import checkpoint  # torch

        with reachable(deletable.location):
            if "://" not in deletable.location:
                links.refuse(Path(deletable.location), Path(deletable.top or deletable.location).absolute())
            checkpoint.keep_metadata(deletable.location, without=("members",))
        return
    remove(deletable.location, deletable.top)
    if deletable.kind == ORPHAN:
        parent = deletable.location.rpartition("/")[0]
        if not files(parent) and not folders(parent):
            remove(parent, deletable.top)


def _weights(saved: SavedStudy, folder: str) -> list[Deletable]:
    from ..execution import checkpoint

    with reachable(folder):
        size = checkpoint.tensor_bytes(folder)
    return [Deletable(saved.name, WEIGHTS, folder, size, saved.storage_path)] if size else []


def _size_below(found: list[StoredFile], folder: str) -> int:
    return sum(file.size for file in found if file.name.startswith(f"{folder}/"))


def _is_study(location: str) -> bool:
    """Say whether a folder is a study's: it has a lock or an outbox, or in an object store nothing but checkpoints."""
    if "://" not in location:
        return (Path(location) / "lock").is_file() or (Path(location) / "outbox.db").is_file()
    names = {file.name.partition("/")[0] for file in files(location)}
    return bool(names) and names <= _WITHOUT_LOCK

"""Deletes a study from all its stores; if the command is killed, the same command deletes the rest.

The Optuna study is deleted last, because it says where everything else is; only the lock is deleted after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna

from ..console import terminal
from ..disk import links
from ..disk.file_systems import files, folders, remove
from ..driver.saved_study import STAGES, SavedStudy
from ..errors import mask
from ..plain_text import plural
from ..report.kept_result import read_registration
from ..search import lease
from ..search.outcomes import UNFINISHED, outcome
from ..search.storage import connect
from ..spec.folder import is_locked, is_remote, local_root, lock
from ..tracking.deletion import ModelVersion, TrackedStudy, delete_runs, delete_versions, tracked
from ..tracking.outbox import Outbox

_LOCK = "lock"


@dataclass(frozen=True)
class Deletion:
    """Plan of a deletion: the things of a study that are deleted, and those that are kept.

    Attributes:
        saved: the study.
        tracking_uri: address of MLflow; None if MLflow is not asked.
        runs: whether its MLflow runs are deleted.
        models: whether its versions of registered models are deleted.
        tracked: its runs and models in MLflow; None if MLflow is not asked.
    """

    saved: SavedStudy
    tracking_uri: str | None = None
    runs: bool = False
    models: bool = False
    tracked: TrackedStudy | None = None

    @property
    def deleted(self) -> list[str]:
        """One line for each kind of thing that is deleted: how many there are, how large they are, and where."""
        saved = self.saved
        trials, *retrained = (saved.trials(stage) for stage in STAGES)
        again = [trial for stage in retrained for trial in stage]
        counts = [plural(len(trials), "trial")] + [plural(len(again), "retraining")] * bool(again)
        going = sum(outcome(trial) == UNFINISHED for trial in (*trials, *again))
        unfinished = f", {going} of them not finished," if going else ""
        lines = [f"{' and '.join(counts)}{unfinished} in {mask(saved.storage)}"]
        locations = {str(saved.folder): files(str(saved.folder))}
        if is_remote(saved.storage_path):
            locations[saved.checkpoints] = files(saved.checkpoints)
        for location, found in locations.items():
            if found:
                size = terminal.size(sum(file.size for file in found))
                lines.append(f"{plural(len(found), 'file')}, {size}, in {mask(location)}")
        if self.tracked is not None and self.runs:
            uri = mask(str(self.tracking_uri))
            lines.append(
                f"{plural(len(self.tracked.runs), 'MLflow run')} in {uri}, which can be restored until mlflow gc"
            )
        if self.tracked is not None and self.models:
            lines += [_shown(version) for version in self.tracked.versions]
        if waiting := _waiting(saved):
            lines.append(f"{plural(waiting, 'update')} that MLflow has not been told yet")
        return lines

    @property
    def kept(self) -> list[str]:
        """One line for each kind of thing that is kept, with the flag that deletes it too."""
        lines = []
        attributes = self.saved.studies["search"].user_attrs
        runs = sum(name.endswith("mlflow_run_id") for name in attributes)
        if runs and not self.runs:
            lines.append(f"{plural(runs, 'MLflow run')} (--runs deletes them)")
        if not self.models:
            versions = self.tracked.versions if self.tracked is not None else _registered(self.saved)
            lines += [f"{_shown(version)} (--models deletes it)" for version in versions]
        return lines


def plan(saved: SavedStudy, tracking_uri: str | None, runs: bool, models: bool) -> Deletion:
    """Return the plan of a study's deletion; MLflow is asked only if something is to be deleted there.

    Args:
        saved: the study.
        tracking_uri: address of MLflow.
        runs: whether its MLflow runs are deleted.
        models: whether its versions of registered models are deleted.

    Raises:
        UnreachableError: MLflow does not answer.
    """
    if not (runs or models):
        return Deletion(saved)
    assert tracking_uri is not None
    return Deletion(saved, tracking_uri, runs, models, tracked(saved.run_key, tracking_uri))


@contextlib.contextmanager
def held(saved: SavedStudy) -> Iterator[None]:
    """Keep drivers out of a study, and wait for the process that delivers to MLflow.

    Raises:
        HeldError: a driver runs the study, here or elsewhere.
        RunningError: another process on this machine runs the study.
        BusyError: another process still delivers what the study told MLflow.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(lease.held(saved.storage, saved.name))
        if saved.folder.is_dir():
            stack.enter_context(lock(saved.folder, saved.name))
        outbox = saved.folder / "outbox.db"
        if outbox.is_file():
            queue = Outbox(outbox)
            queue.close()  # only its lock is needed, and the file is going to be deleted
            stack.enter_context(queue.exclusive(timeout=5.0))
        yield


def carry_out(deletion: Deletion) -> None:
    """Carry out the plan ``deletion``; the caller holds the study (``held``).

    Raises:
        OSError: a file cannot be deleted.
        SeprayError: a store does not answer; the same command deletes the rest later.
    """
    saved = deletion.saved
    root = local_root(saved.storage_path)
    if deletion.tracked is not None and deletion.models:
        delete_versions(deletion.tracked.versions, str(deletion.tracking_uri))
    if deletion.tracked is not None and deletion.runs:
        delete_runs(deletion.tracked.runs, str(deletion.tracking_uri))
    if is_remote(saved.storage_path):
        remove(saved.checkpoints, saved.storage_path)
        _remove_empty(saved.checkpoints.rpartition("/")[0], saved.storage_path)
    if saved.folder.is_dir():
        for inner in sorted(saved.folder.iterdir()):
            if inner.name != _LOCK:
                remove(str(inner), str(root))
    for stage in reversed(STAGES):
        if stage in saved.studies:
            optuna.delete_study(study_name=saved.studies[stage].study_name, storage=connect(saved.storage))
    remove(str(saved.folder), str(root))
    _remove_empty(str(saved.folder.parent), str(root))


def finish_interrupted(name: str, storage_path: str) -> bool:
    """Delete the folders of a study that is no longer in the storage, after its deletion was killed.

    Only folders are deleted that hold nothing but a lock.

    Returns:
        Whether there were any.
    """
    top = local_root(storage_path)
    root = links.refuse(top / name, top)
    was_there = root.is_dir()
    left = [root / uid for uid in folders(str(root)) if [file.name for file in files(str(root / uid))] == [_LOCK]]
    left = [folder for folder in left if not is_locked(folder) and not folders(str(folder))]
    for folder in left:
        remove(str(folder), str(top))
    _remove_empty(str(root), str(top))
    return bool(left) or (was_there and not root.exists())


def _remove_empty(folder: str, top: str) -> None:
    has_entries = "://" not in folder and Path(folder).is_dir() and any(Path(folder).iterdir())  # links among them
    if not has_entries and not files(folder) and not folders(folder):
        remove(folder, top)


def _waiting(saved: SavedStudy) -> int:
    """Return how many updates of a study's runs still wait for MLflow."""
    path = saved.folder / "outbox.db"
    if not path.is_file():
        return 0
    outbox = Outbox(path)
    try:
        return outbox.pending()
    finally:
        outbox.close()


def _registered(saved: SavedStudy) -> list[ModelVersion]:
    """Return the version that the study has registered, as its own file says; MLflow is not asked."""
    told = read_registration(saved.folder)
    return [ModelVersion(told["name"], told["version"], ())] if told.get("name") and told.get("version") else []


def _shown(version: ModelVersion) -> str:
    aliases = f", {' and '.join(version.aliases)}" if version.aliases else ""
    return f"models:/{version.name}/{version.version}{aliases}"

"""``sepray report``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..errors import UsageError
from . import application

if TYPE_CHECKING:
    from ..contracts import TaskData
    from ..report.study_results import StudyResults
    from ..spec.study import StudySpec


@application.command("report")
def report(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")],
    storage: str = application.STORAGE,
    tracking_uri: str | None = None,
    storage_path: str = "sepray-results",
    cache: Path = application.CACHE,
) -> None:
    """Make a study's report again, from its own stores: figures, and one page that holds them all.

    It is written into the study's folder and, where MLflow answers, added to the study's run. A study that runs, was
    interrupted or failed has one too.

    Example: sepray report cass-ecg

    Args:
        name: of the study.
        storage: its Optuna storage.
        tracking_uri: of MLflow; default: MLFLOW_TRACKING_URI, or mlflow.db in this folder.
        storage_path: where the study keeps its files.
        cache: folder where generated and decoded data is kept.
    """
    application.study(storage, name)
    application.own_modules()
    from ..console.terminal import console
    from ..report.report import publish
    from ..report.study_results import StudyResults
    from ..search.storage import load_study
    from ..spec.folder import study_folder
    from ..spec.study import StudySpec

    study, finals = load_study(storage, name), None
    if "spec" not in study.user_attrs:
        raise UsageError(f"{name} in {storage} is not a study of sepray")
    with contextlib.suppress(UsageError):
        finals = load_study(storage, f"{name}/finals")
    spec = StudySpec.restored(study.user_attrs["spec"], storage=storage, storage_path=storage_path, cache=cache)
    folder = study_folder(storage_path, name, study.user_attrs["uid"])
    record = StudyResults.read(spec, study, finals, folder, _data(spec))
    page = publish(record, None)
    console.print(str(page), soft_wrap=True)
    _deliver(record, f"{name}-{study.user_attrs['uid']}", tracking_uri)


def _data(spec: StudySpec) -> TaskData | None:
    """Return the task's data; a report without it shows no items."""
    from ..console.terminal import console, one_line

    try:
        data: TaskData = spec.task.load(spec.stores.cache.expanduser())
        return data
    except (OSError, ValueError) as error:
        console.print(f"the report shows no items: the task's data cannot be had ({one_line(error)})", soft_wrap=True)
        return None


def _deliver(record: StudyResults, study: str, tracking_uri: str | None) -> None:
    """Add the files to the study's own run, where MLflow answers; while the study runs, its driver does it."""
    from ..console.terminal import console, one_line
    from ..report.report import files_of
    from ..spec.folder import RunningError, lock
    from ..tracking.outbox import Outbox, RunKey
    from ..tracking.tracker import Tracker

    try:
        address = application.tracking(tracking_uri)
    except (UsageError, OSError) as error:
        console.print(f"it is not in MLflow: {one_line(error)}", soft_wrap=True)
        return
    outbox = record.folder / "outbox.db"
    try:
        held = lock(record.folder, record.spec.name)
    except RunningError:
        waiting = Outbox(outbox)
        for file, path in files_of(record.folder):
            waiting.put_file(RunKey(study), file, path)
        waiting.close()
        return
    tracker = Tracker(outbox, study, uri=address, experiment=record.spec.model_name)
    if "" not in tracker.run_ids():
        console.print(
            f"it is not in MLflow, where the study's run is not known. First: sepray reconcile {record.spec.name}"
        )
        tracker.close()
        return
    for file, path in files_of(record.folder):
        tracker.log_file("", file, path)
    if left := tracker.close(timeout=60):
        console.print(f"{left} files wait for MLflow. Later: sepray reconcile {record.spec.name}")
    held.close()

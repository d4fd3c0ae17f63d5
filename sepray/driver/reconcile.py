"""Completes in MLflow what a study could not tell it, from the study's own record."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..console.terminal import console
from ..contracts import TaskData
from ..errors import UsageError, mask
from ..search.storage import load_study
from ..spec.folder import lock, study_folder
from ..spec.study import StudySpec
from ..tracking.reconciliation import reconcile as reconcile_runs
from ..tracking.tracker import Tracker
from . import runs as projection
from .finish import Finish


def reconcile(name: str, storage: str, tracking_uri: str, storage_path: str, cache: Path) -> None:
    """Complete in MLflow what a study could not tell it: runs, metrics, states, and its registered champion.

    Raises:
        UsageError: there is no such study.
        ConnectionError: the tracking server does not answer.
    """
    stored = load_study(storage, name)
    if "spec" not in stored.user_attrs:
        raise UsageError(f"{name} in {mask(storage)} is not a study of sepray")
    changes = {"storage": storage, "tracking_uri": tracking_uri, "storage_path": storage_path, "cache": cache}
    spec = StudySpec.restored(stored.user_attrs["spec"], **changes)
    uid = stored.user_attrs["uid"]
    folder = study_folder(storage_path, name, uid)
    held = lock(folder, name)
    trials = {"search": stored.get_trials(deepcopy=False)}
    with contextlib.suppress(UsageError):
        trials["finals"] = load_study(storage, f"{name}/finals").get_trials(deepcopy=False)
    objective = list(stored.user_attrs["fingerprint"]["objectives"])
    records = projection.records(name, trials, objective[0] if len(objective) == 1 else "objective")
    outbox, study = folder / "outbox.db", f"{name}-{uid}"
    done = reconcile_runs(outbox, study, records, uri=tracking_uri, experiment=spec.model_name)
    created, corrected = f"{len(done.created)} runs created", f"{len(done.corrected)} states corrected"
    console.print(
        f"{name}: {done.delivered} waiting records delivered, {created}, {corrected}, "
        f"{done.completed} missing values completed, {len(done.rejected)} refused"
    )
    data: TaskData = spec.task.load(cache.expanduser())
    tracker = Tracker(outbox, study, uri=tracking_uri, experiment=spec.model_name)
    finish = Finish(spec, data, folder, tracker)
    result = finish.saved()
    if result is not None:
        finish.announce(result)
    tracker.close()
    held.close()

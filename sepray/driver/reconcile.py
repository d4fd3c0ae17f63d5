"""Completes in MLflow what a study could not tell it, from the study's own stores."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..console.terminal import console
from ..errors import UsageError, mask
from ..loading import load_task
from ..search.storage import load_study
from ..spec.folder import lock, study_folder
from ..spec.study import StudySpec
from ..tracking.reconciliation import reconcile as reconcile_runs
from ..tracking.tracker import Tracker
from . import runs
from .final_scores import load_result
from .finish import Finish


def reconcile(name: str, storage: str, tracking_uri: str, storage_path: str, cache: Path) -> None:
    """Complete in MLflow what a study could not tell it: runs, metrics, states, and its registered champion.

    Args:
        name: name of the study.
        storage: Optuna storage of the study.
        tracking_uri: MLflow tracking server or database.
        storage_path: folder or URI of the study's checkpoints.
        cache: folder for generated and decoded data.

    Raises:
        UsageError: there is no such study.
        UnreachableError: the tracking server does not answer.
    """
    search = load_study(storage, name)
    if "spec" not in search.user_attrs:
        raise UsageError(f"{name} in {mask(storage)} is not a study of sepray")
    places = {"storage": storage, "tracking_uri": tracking_uri, "storage_path": storage_path, "cache": cache}
    spec = StudySpec.restored(search.user_attrs["spec"], **places)
    uid = search.user_attrs["uid"]
    folder = study_folder(storage_path, name, uid)
    held = lock(folder, name)
    trials = {"search": search.get_trials(deepcopy=False)}
    with contextlib.suppress(UsageError):
        trials["finals"] = load_study(storage, f"{name}/finals").get_trials(deepcopy=False)
    objectives = list(search.user_attrs["fingerprint"]["objectives"])
    expected = runs.expected_runs(name, trials, objectives[0] if len(objectives) == 1 else "objective")
    outbox, study = folder / "outbox.db", f"{name}-{uid}"
    done = reconcile_runs(outbox, study, expected, uri=tracking_uri, experiment=spec.model_name)
    console.print(
        f"{name}: {done.delivered} waiting records delivered, {len(done.created)} runs created, "
        f"{len(done.corrected)} states corrected, {done.completed} missing values completed, "
        f"{len(done.rejected)} refused"
    )
    result = load_result(folder)
    if result is not None:
        tracker = Tracker(outbox, study, uri=tracking_uri, experiment=spec.model_name)
        Finish(spec, load_task(spec.task, cache), folder, tracker).announce(result)
        tracker.close()
    held.close()

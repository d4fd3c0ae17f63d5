"""Completes the MLflow runs of a study from its Optuna storage and its folder (``sepray reconcile``)."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..choices import Objective
from ..console.terminal import console
from ..loading import load_task
from ..plain_text import plural
from ..search.lease import held
from ..spec.folder import lock, study_folder
from ..tracking.missing_runs import Reconciled
from ..tracking.missing_runs import reconcile as reconcile_runs
from ..tracking.tracker import Tracker
from . import runs, tracking_address
from .final_scores import load_result
from .finish import Finish
from .saved_study import read_saved_study


def reconcile(name: str, storage: str, tracking_uri: str, storage_path: str, cache: str | Path) -> Reconciled:
    """Complete in MLflow the runs, metrics and states that a study could not send, and its registered champion.

    Args:
        name: name of the study.
        storage: Optuna storage of the study.
        tracking_uri: MLflow tracking server or database.
        storage_path: folder or URI of the study's checkpoints.
        cache: folder or URI for generated and decoded data.

    Returns:
        What MLflow had missed.

    Raises:
        UsageError: there is no such study, or it is running.
        UnreachableError: the tracking server does not answer.
    """
    study = read_saved_study(name, storage, storage_path)
    spec = study.spec(cache, tracking_uri, with_space=False)
    folder = study_folder(storage_path, name, study.uid)
    outbox, experiment = folder / "outbox.db", study.model_name
    with held(storage, name), lock(folder, name):
        trials = {stage: study.trials(stage) for stage in study.studies}
        objectives = [Objective(key, direction) for key, direction in study.objectives.items()]
        told = study.studies["search"].user_attrs.get(runs.RUN_CONTEXT)
        expected = runs.expected_runs(name, trials, objectives, told)
        done = reconcile_runs(outbox, study.run_key, expected, uri=tracking_uri, experiment=experiment)
        console.print(
            f"{name}: {plural(done.delivered, 'waiting update')} delivered, "
            f"{plural(len(done.created), 'run')} created, {plural(len(done.corrected), 'state')} corrected, "
            f"{plural(done.completed, 'missing value')} completed, {len(done.rejected)} refused"
        )
        result = load_result(folder)
        if result is not None:
            data = load_task(spec.task, cache)
            with contextlib.closing(Tracker(outbox, study.run_key, uri=tracking_uri, experiment=experiment)) as tracker:
                Finish(spec, data, folder, tracker).announce(result)
        tracking_address.store(study.studies["search"], folder, tracking_uri)
    return done

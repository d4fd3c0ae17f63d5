"""Completes in MLflow what a study could not tell it, from the study's own stores."""

from __future__ import annotations

from pathlib import Path

from ..choices import Objective
from ..console.terminal import console
from ..loading import load_task
from ..spec.folder import lock
from ..tracking.reconciliation import Reconciled
from ..tracking.reconciliation import reconcile as reconcile_runs
from ..tracking.tracker import Tracker
from . import runs
from .final_scores import load_result
from .finish import Finish
from .restored import restore


def reconcile(name: str, storage: str, tracking_uri: str, storage_path: str, cache: Path) -> Reconciled:
    """Complete in MLflow what a study could not tell it: runs, metrics, states, and its registered champion.

    Args:
        name: name of the study.
        storage: Optuna storage of the study.
        tracking_uri: MLflow tracking server or database.
        storage_path: folder or URI of the study's checkpoints.
        cache: folder for generated and decoded data.

    Returns:
        What MLflow had missed.

    Raises:
        UsageError: there is no such study, or it is running.
        UnreachableError: the tracking server does not answer.
    """
    study = restore(name, storage, storage_path, cache, tracking_uri=tracking_uri)
    outbox, experiment = study.folder / "outbox.db", study.spec.model_name
    with lock(study.folder, name):
        stages = {"search": study.search, "finals": study.finals, "explain": study.explain}
        trials = {stage: found.get_trials(deepcopy=False) for stage, found in stages.items() if found is not None}
        attributes = study.search.user_attrs
        objectives = [Objective(key, direction) for key, direction in attributes["fingerprint"]["objectives"].items()]
        expected = runs.expected_runs(name, trials, objectives, attributes.get(runs.TOLD))
        done = reconcile_runs(outbox, study.run_key, expected, uri=tracking_uri, experiment=experiment)
        console.print(
            f"{name}: {done.delivered} waiting records delivered, {len(done.created)} runs created, "
            f"{len(done.corrected)} states corrected, {done.completed} missing values completed, "
            f"{len(done.rejected)} refused"
        )
        result = load_result(study.folder)
        if result is not None:
            tracker = Tracker(outbox, study.run_key, uri=tracking_uri, experiment=experiment)
            Finish(study.spec, load_task(study.spec.task, cache), study.folder, tracker).announce(result)
            tracker.close()
    return done

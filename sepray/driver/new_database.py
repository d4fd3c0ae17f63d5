"""Fills a new local MLflow database with the trials of a study that ended before the database was made."""

from __future__ import annotations

from pathlib import Path

import optuna

from ..choices import Objective
from ..console.terminal import console
from ..search.storage import load_study
from ..spec.study import StudySpec
from ..tracking.environment import resolve_uri
from ..tracking.missing_runs import queue_everything
from . import runs
from .saved_study import STAGES


def queue_ended_trials(spec: StudySpec, search: optuna.Study, outbox: Path, study: str) -> None:
    """Queue the trials of a study that have ended, if MLflow's database is a local file and the file is missing.

    Nothing is queued for a tracking server: it answers whether or not it has lost its database. ``sepray reconcile``
    asks a server what it has.

    Args:
        spec: description of the study.
        search: its Optuna study.
        outbox: path of its outbox.
        study: its identity in the outbox.
    """
    address = resolve_uri(spec.stores.tracking_uri)
    database = Path(address.removeprefix("sqlite:///"))
    ended = [trial for trial in search.get_trials(deepcopy=False) if trial.state.is_finished()]
    if not address.startswith("sqlite:///") or database.exists() or not ended:
        return
    trials = {"search": ended}
    names = set(optuna.get_all_study_names(search._storage))
    for stage in STAGES:
        if (name := f"{spec.name}/{stage}") in names:
            trials[stage] = load_study(spec.stores.storage, name).get_trials(deepcopy=False)
    objectives = [Objective(key, way) for key, way in search.user_attrs["fingerprint"]["objectives"].items()]
    expected = runs.expected_runs(spec.name, trials, objectives, search.user_attrs.get(runs.RUN_CONTEXT))
    told = [run for run in expected if run.tags.get("outcome") != "interrupted"]
    console.print(
        f"MLflow's database {database} is missing: a new one is made, and told of the trials that have ended "
        f"({len(told) - 1})",
        soft_wrap=True,
    )
    queue_everything(outbox, study, spec.model_name, told)

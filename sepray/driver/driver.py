"""Runs a study from its description to its registered model: search, retraining, and the end."""

from __future__ import annotations

from ..console.exit_status import INTERRUPTED, how_to_go_on
from ..console.terminal import console
from ..errors import mask
from ..execution import cluster
from ..loading import load_task
from ..scoring.tables import front_table
from ..spec.study import StudySpec, key
from . import runs, selection
from .finish import Finish
from .prepared import PreparedStudy, prepare
from .stage import finals_stage, run_stage, search_stage
from .stores import StudyStores, waits_for_mlflow


def run(spec: StudySpec) -> int:
    """Run, continue or extend a study and finish it.

    Returns:
        The exit status: 0 done, 1 nothing to register, 3 the code of the trials raised errors, 130 interrupted.

    Raises:
        SeprayError: something that the user can put right.
    """
    prepared = prepare(spec, load_task(spec.task, spec.stores.cache))
    stores = StudyStores(prepared)
    try:
        return _run(prepared, stores)
    except KeyboardInterrupt:
        stores.tracker.interrupted(f"Study `{spec.name}` is interrupted; the same command goes on with it.")
        console.print(f"\n{spec.name} is interrupted; nothing is lost. {how_to_go_on()}", soft_wrap=True)
        return INTERRUPTED
    finally:
        cluster.disconnect()
        if waiting := stores.close():
            console.print(waits_for_mlflow(spec, waiting), soft_wrap=True)


def _run(prepared: PreparedStudy, stores: StudyStores) -> int:
    """Search, train the best again, and finish; return the exit status."""
    spec, resources = prepared.spec, prepared.spec.resources
    slots = cluster.connect(
        resources.address, resources.concurrency, resources.cpus_per_trial, resources.gpus_per_trial, spec.modules()
    )
    console.print(
        f"study {spec.name}: {key(spec.separator)} on {key(spec.task)}, {spec.budget.trials} trials of up to "
        f"{spec.budget.max_epochs} epochs, {slots} at once; "
        f"Optuna {mask(spec.stores.storage)}, MLflow {mask(spec.stores.tracking_uri)}"
    )
    if prepared.left_out:
        why = "they differ from the fixed settings" if spec.fixed_settings else "no arm of the study has them"
        console.print(f"not tried, because {why}: {', '.join(prepared.left_out)}")
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots)
    if len(prepared.objectives) > 1:
        _show_front(prepared, stores)
    finish = Finish(spec, prepared.data, stores.folder, stores.tracker)
    searched = stores.finished("search", stores.search)
    plan = selection.plan(prepared, searched)
    if not plan:
        return finish.without_champion("no trial has run its whole budget", stores.search.get_trials(deepcopy=False))
    finals = stores.open_finals()
    run_stage(finals_stage(plan, finals), prepared, stores, slots)
    return finish.run(searched, stores.finished("finals", finals), plan, finals.get_trials(deepcopy=False))


def _show_front(prepared: PreparedStudy, stores: StudyStores) -> None:
    """Show the trials that no other trial beats in all objectives, and tag their runs."""
    front = sorted(stores.search.best_trials, key=lambda trial: trial.values)
    for trial in front:
        stores.tracker.trial_tags(runs.run_label("search", trial.number), {"pareto_front": "true"})
    names = [o.key.removeprefix("validation/").replace("/", " ") for o in prepared.objectives]
    rows = [(f"{t.number} {t.user_attrs.get('label', '')}".strip(), t.values) for t in front]
    console.print(front_table(f"{prepared.spec.name}: Pareto front on the validation split", names, rows))

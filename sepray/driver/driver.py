"""Runs a study from its description to its registered model: search, retraining, and the end."""

from __future__ import annotations

import functools
from collections.abc import Collection

import torch

from .. import arms, identity, processor
from ..console import interruption, preflight
from ..console.terminal import console
from ..console.waiting import wait_for
from ..disk import file_systems
from ..errors import mask
from ..execution import cluster
from ..loading import load_task, refuse_unfit
from ..module_names import shown_name
from ..plain_text import plural
from ..scoring.tables import front_table
from ..search import arm_trials, outcomes
from ..spec import choosing
from ..spec.permissions import Permissions
from ..spec.study import StudySpec
from ..tracking import access
from ..tracking.environment import resolve_uri
from . import code, retraining_plan, runs
from .closing import run_and_close
from .finish import Finish
from .known_names import refuse_misspelt
from .other_settings import refuse_other_settings, under_former_name
from .prepared import PreparedStudy, prepare, refuse_unstorable
from .published_retrainings import reference_roles
from .stage import Stage, finals_stage, run_stage, search_stage
from .stores import StudyStores
from .time_left import TimeLeft
from .warm_start import trusting

FRONT = "pareto_front"
"""User attribute of a search with the numbers of the trials whose runs are tagged as its Pareto front."""


def run(spec: StudySpec, permitted: Permissions | None = None) -> int:
    """Run, continue or extend a study and finish it.

    Args:
        spec: description of the study.
        permitted: what the user allows; default: nothing.

    Returns:
        The exit status: 0 done; 1 nothing to register; 2 or 3 where that is because trials raised errors
        (``failed_trials.exit_status``); that of a signal (``console.interruption``) where one has ended the study.

    Raises:
        SeprayError: something that the user can put right.
    """
    spec = under_former_name(spec)
    refuse_unstorable(spec)
    with trusting(permitted):
        before = refuse_other_settings(spec)
        refuse_misspelt(spec)
        refuse_unfit(spec.separator, spec.task)
        require_stores(spec)
        wait_for(f"{spec.name}: loading the data of {shown_name(spec.task)}; data that the cache lacks are made first")
        prepared = prepare(spec, load_task(spec.task, spec.stores.cache), before)
        stores = StudyStores(prepared, permitted=permitted)
        return run_and_close(spec.name, stores, lambda: _run(prepared, stores))


def require_stores(spec: StudySpec) -> None:
    """Refuse servers that do not let this user in, missing databases and buckets, before anything is computed.

    Raises:
        SeprayError: a store cannot be used; the message says what to set.
    """
    tracking = resolve_uri(spec.stores.tracking_uri)
    preflight.require_login(spec.stores.storage, f"the storage {mask(spec.stores.storage)}")
    preflight.require_login(tracking, f"MLflow's database {mask(tracking)}")
    file_systems.require_location(spec.stores.storage_path, "--storage-path")
    artifacts = access.require_access(tracking, spec.model_name)
    file_systems.require_location(artifacts, "--default-artifact-root of MLflow's server")


def connect(spec: StudySpec) -> int:
    """Start Ray or join the study's cluster; return how many trials run at once.

    Raises:
        ClusterError: the cluster does not answer or refuses this process, or not one trial fits.
    """
    own = spec.resources
    with interruption.installed_again():
        slots = cluster.connect(
            own.cluster_address,
            own.concurrency,
            own.cpus_per_trial,
            own.gpus_per_trial,
            code.modules(spec) if own.cluster_address else spec.modules(),
            lambda text: console.print(text, soft_wrap=True),
        )
        if own.cluster_address and not cluster.asks_for_token():
            console.print(
                "this Ray cluster asks nobody for a token, so that whoever reaches it runs code there as its user "
                "(`ray get-auth-token --generate`, and RAY_AUTH_MODE=token before `ray start`)",
                soft_wrap=True,
            )
    return slots


def _run(prepared: PreparedStudy, stores: StudyStores) -> int:
    """Search, train the best again, and finish; return the exit status."""
    prepared = prepared.as_begun(stores.search.user_attrs)
    spec, search = prepared.spec, search_stage(prepared, stores.search)
    trainings = _Trainings(prepared, stores)
    how = "; all have ended" if search.has_ended else f", {trainings.slots} at once{_machine(prepared)}"
    console.print(
        f"study {spec.name}: {shown_name(spec.separator)} on {shown_name(spec.task)}, "
        f"{plural(spec.budget.trials, 'trial')} of up to {plural(spec.budget.max_epochs, 'epoch')}{how}"
    )
    console.print(
        f"Optuna {mask(spec.stores.storage)}, MLflow {mask(spec.stores.tracking_uri)}, model {spec.model_name}",
        soft_wrap=True,
    )
    if not search.has_ended and _is_slow(prepared, processor.flags()):
        console.print(
            "warning: this CPU has no instructions for bfloat16, which is much slower on it than float32; "
            "--separator.precision auto takes the faster one",
            soft_wrap=True,
        )
    if prepared.left_out:
        why = "they differ from the fixed settings" if spec.fixed_settings else "no arm of the study has them"
        console.print(f"not tried, because {why}: {', '.join(prepared.left_out)}")
    if prepared.warning:
        console.print(f"warning: {prepared.warning}", soft_wrap=True)
    if missing := _arms_without_trials(prepared, stores):
        console.print(f"warning: {missing} Without one, an arm is compared only at settings of others.", soft_wrap=True)
    for told in _tried_otherwise(prepared, stores):
        console.print(f"warning: {told}", soft_wrap=True)
    trainings.run(search)
    if len(prepared.objectives) > 1:
        _show_front(prepared, stores)
    searched = stores.finished("search", stores.search)
    plan = retraining_plan.plan(prepared, searched)
    roles = reference_roles(prepared, plan)
    finish = Finish(spec, prepared.data, stores.folder, stores.tracker, prepared.ranges, roles)
    if not plan:
        return finish.without_champion("no trial has run its whole budget", stores.search.get_trials(deepcopy=False))
    unpaired = [arm for arm in prepared.arms if arm not in {each.arm for each in plan}]
    if unpaired and len(prepared.arms) > 1:  # the retrainings of a single arm have no other to be compared with
        console.print(
            f"not compared: {', '.join(unpaired)}. No trial of the search has finished with what they search; with "
            "more --trials the same command goes on with them",
            soft_wrap=True,
        )
    finals = stores.open_finals()
    trainings.run(finals_stage(plan, finals, spec.search.retry_failed))
    for _ in range(2):  # where training again gives another champion, all others are scored again beside it
        if lost := finish.without_weights(stores.finished("finals", finals), plan):
            numbers = [trial.number for trial in lost]
            told = ", ".join(map(str, numbers))
            console.print(
                f"trained again, because their checkpoints are damaged or gone: finals {told}", soft_wrap=True
            )
            trainings.run(finals_stage(plan, finals, again=numbers))
    stores.lease.check()
    wait_for(f"{spec.name}: scoring on the test split, packaging the model, drawing the report")
    return finish.run(searched, stores.finished("finals", finals), plan, finals.get_trials(deepcopy=False))


class _Trainings:
    """Runs stages of a study. Ray is started for the first that lacks trials: a study that has ended needs none."""

    def __init__(self, prepared: PreparedStudy, stores: StudyStores) -> None:
        self._prepared, self._stores = prepared, stores

    @functools.cached_property
    def slots(self) -> int:
        """Number of trials that run at once; Ray is started, or the cluster joined, when this is read first."""
        spec = self._prepared.spec
        if spec.resources.cluster_address:
            wait_for(f"{spec.name}: joining the cluster")
        elif not cluster.is_connected():  # the study before it in a comparison may have started it
            wait_for(f"{spec.name}: starting Ray")
        return connect(spec)

    @functools.cached_property
    def _time_left(self) -> TimeLeft:
        return TimeLeft(self._prepared, self.slots)

    def run(self, stage: Stage) -> None:
        """Run the trials of a stage that are missing."""
        if not stage.has_ended:
            run_stage(stage, self._prepared, self._stores, self.slots, self._time_left)


def _arms_without_trials(prepared: PreparedStudy, stores: StudyStores) -> str:
    """Return a sentence about the arms that the search will not have reached; empty if it reaches all."""
    trials, wanted = outcomes.standing(stores.search.get_trials(deepcopy=False)), prepared.spec.budget.trials
    there = {trial.user_attrs.get("label") for trial in trials}
    points = [point for label, point in prepared.reference_points.items() if label not in there]
    names = arm_trials.arms_without_trials(prepared.arms, trials, max(0, wanted - len(trials)), points)
    return arms.without_trials(names, max(wanted, len(trials)))


def _tried_otherwise(prepared: PreparedStudy, stores: StudyStores) -> list[str]:
    """Return a sentence for each of the settings tried first that an earlier start has tried with other values."""
    told = []
    for trial in outcomes.standing(stores.search.get_trials(deepcopy=False)):
        if (label := str(trial.user_attrs.get("label", ""))) in prepared.reference_points:
            now = arm_trials.parameters(prepared.arms, prepared.reference_points[label])
            then = {name: trial.params[name] for name in now if name in trial.params}
            if changes := identity.differences(then, {name: now[name] for name in then}):
                told.append(
                    f"{label} was tried with other values in trial {trial.number}, and is not tried again "
                    f"({', '.join(changes)}); under another name these values would be tried"
                )
    return told


def _machine(prepared: PreparedStudy) -> str:
    """Return the processor and the number format of the trials, in words; empty if a cluster's machines train them."""
    resources = prepared.spec.resources
    if resources.cluster_address:
        return ""
    device = resources.trial_device
    if device == "cpu":
        name = f"{processor.short_name()} ({torch.backends.cpu.get_cpu_capability()})"
    else:
        name = torch.cuda.get_device_name() if device == "cuda" else device
    in_bfloat16 = prepared.separator.uses_bfloat16(torch.device(device))
    return f", on {name} in {'bfloat16' if in_bfloat16 else 'float32'}"


def _is_slow(prepared: PreparedStudy, flags: Collection[str]) -> bool:
    """Say whether trials run in bfloat16 on this machine's CPU although its instruction sets have nothing for it."""
    resources = prepared.spec.resources
    on_this_cpu = resources.trial_device == "cpu" and not resources.cluster_address
    return on_this_cpu and prepared.separator.uses_bfloat16(torch.device("cpu")) and not processor.has_bfloat16(flags)


def _show_front(prepared: PreparedStudy, stores: StudyStores) -> None:
    """Show the trials on the Pareto front, and tag their runs, and the runs of trials that were on it before."""
    front = sorted(stores.search.best_trials, key=lambda trial: trial.values)
    before, now = stores.search.user_attrs.get(FRONT, []), sorted(trial.number for trial in front)
    for number in sorted({*before, *now}):
        stores.tracker.trial_tags(runs.run_label("search", number), {"pareto_front": str(number in now).lower()})
    if now != before:
        stores.search.set_user_attr(FRONT, now)
    rows = [(f"{t.number} {t.user_attrs.get('label', '')}".strip(), t.values) for t in front]
    title = f"{prepared.spec.name}: Pareto front on the validation split"
    console.print(front_table(title, [o.column for o in prepared.objectives], rows))
    console.print(choosing.words(prepared.spec.choose, prepared.objectives), soft_wrap=True)

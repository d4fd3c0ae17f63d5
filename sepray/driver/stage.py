"""Runs the trials of one stage of a study, the search or the retraining of the best, until none is missing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from ..choices import Objective, guide, guide_loss, guide_words
from ..console.terminal import StageProgress, console, duration
from ..disk import links
from ..execution import cluster, items
from ..execution.capacity import Following
from ..execution.conditions import deterministic
from ..execution.hanging import Hang, HangWatch
from ..execution.lost_workers import WorkerLossWatch
from ..execution.schedulers import StopsAsTold, make_scheduler
from ..execution.trainable import SeparatorTrainable, TrialContext
from ..search.in_order import InOrderSearcher
from ..search.ledger import FixedTrial, arms_by_number, failed_by_environment, history
from ..search.outcomes import replaced
from ..search.samplers import make_sampler
from ..search.searcher import StudySearcher
from ..search.storage import Study
from ..spec.folder import LEVELS, TRIAL_FOLDER
from ..spec.study import StudySpec
from . import code, runs
from .events import StageEvents
from .finished_trials import Finished
from .prepared import PreparedStudy
from .retrainings import Retraining
from .stores import StudyStores
from .time_left import TimeLeft

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
WARM_START, OWN_SEED = "start", "of its own seed"
"""Key and value of the conditions of a trial whose warm start was trained with the trial's own seed."""
_TITLES = {
    "search": "search",
    "finals": "retraining on new seeds",
    "explain": "ablation path, on the seeds of the retrainings",
}


@dataclass(frozen=True)
class Stage:
    """A stage of a study, and the trials that it consists of.

    Attributes:
        name: ``"search"``, ``"finals"`` or ``"explain"``.
        study: Optuna study of the stage.
        total: number of trials that the stage has in the end.
        scheduler: Ray Tune scheduler that stops its trials early, or ``"none"``.
        members: separators trained per trial.
        reference_points: settings by name that are tried first.
        fixed: all trials of the stage; None if a sampler proposes them.
        retry_failed: whether trials that failed by their environment are run again.
        again: numbers of further trials that are run again.
    """

    name: str
    study: Study
    total: int
    scheduler: str = "none"
    members: int = 1
    reference_points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fixed: Sequence[FixedTrial] | None = None
    retry_failed: bool = False
    again: frozenset[int] = frozenset()

    @property
    def has_ended(self) -> bool:
        """Say whether no trial of the stage is missing."""
        return len(self.ended()) >= self.total

    def ended(self) -> list[FrozenTrial]:
        """Return Optuna's trials that have ended, with or without success, and are not run again."""
        return _not_replaced(self.study, self.retry_failed, self.again)


def _not_replaced(study: Study, retry_failed: bool, again: frozenset[int]) -> list[FrozenTrial]:
    """Return the trials that have ended, without those that have been run again, or will be."""
    trials = study.get_trials(deepcopy=False)
    others = replaced(trials) | again | {t.number for t in trials if retry_failed and failed_by_environment(t)}
    return [trial for trial in trials if trial.state in ENDED and trial.number not in others]


def search_stage(prepared: PreparedStudy, study: Study) -> Stage:
    """Return the stage that searches for the best settings."""
    spec = prepared.spec
    return Stage(
        "search",
        study,
        total=spec.budget.trials,
        scheduler=spec.search.scheduler,
        members=spec.budget.seeds_per_trial,
        reference_points=prepared.reference_points,
        retry_failed=spec.search.retry_failed,
    )


def finals_stage(
    plan: Sequence[Retraining], study: Study, retry_failed: bool = False, again: Iterable[int] = ()
) -> Stage:
    """Return the stage that trains the chosen settings again, each on its given seeds."""
    return fixed_stage("finals", [retraining.fixed() for retraining in plan], study, retry_failed, again)


def fixed_stage(
    name: str, fixed: Sequence[FixedTrial], study: Study, retry_failed: bool = False, again: Iterable[int] = ()
) -> Stage:
    """Return a stage of trials whose settings and seeds are given; those that its study has already are not missing.

    Args:
        name: name of the stage.
        fixed: all its trials.
        study: Optuna study of the stage.
        retry_failed: whether trials that failed by their environment are missing.
        again: numbers of trials that are missing although they have ended.
    """
    again = frozenset(again)
    ended = _not_replaced(study, retry_failed, again)
    missing = {trial.point for trial in fixed} - {trial.user_attrs.get("point") for trial in ended}
    return Stage(name, study, total=len(ended) + len(missing), fixed=fixed, retry_failed=retry_failed, again=again)


def run_stage(
    stage: Stage, prepared: PreparedStudy, stores: StudyStores, slots: int, time_left: TimeLeft | None = None
) -> None:
    """Run the trials of a stage that are missing, those that an earlier driver left unfinished first.

    Args:
        stage: stage whose trials are run.
        prepared: the study.
        stores: stores of the study.
        slots: number of trials that run at once.
        time_left: hears of the trials, and says in the terminal how long the command still takes.

    Raises:
        StorageError: the storage has failed for too long.
        CheckpointError: the checkpoints of a trial can be neither written nor read.
        ExecutorError: Ray loses the worker of a trial again and again.
    """
    if stage.has_ended:
        return
    spec = prepared.spec
    there = {trial.user_attrs.get("point") for trial in stage.ended()}
    seeds = {trial.seed for trial in stage.fixed or () if trial.point not in there}
    parameters = trial_parameters(stage.name, stage.members, prepared, stores.checkpoints, sorted(seeds))
    time_left = time_left or TimeLeft(prepared, slots)
    budgets = [trial.attributes.get("epochs") or spec.budget.max_epochs for trial in stage.fixed or ()]
    mean_budget = sum(budgets) / len(budgets) if budgets else None
    time_left.begin(stage.name, stage.total, stage.members, stage.ended(), mean_budget)
    with _progress(stage, prepared, stores, time_left) as progress:
        events = StageEvents(
            stage.name,
            stores.tracker,
            progress,
            lambda n: stores.remove(stores.trial_folder(stage.name, n)),
            prepared.objectives,
            stage.study.get_trials(deepcopy=False, states=ENDED),
            time_left,
        )
        losses, hangs = (
            WorkerLossWatch(),
            HangWatch(lambda hang: console.print(hang_message(hang, stage.name, spec), soft_wrap=True)),
        )
        searcher, scheduler = _search(stage, prepared, events, slots, losses)
        try:
            with items.served(parameters, str(spec.stores.cache), bool(spec.resources.cluster_address)) as given:
                cluster.run_trials(
                    SeparatorTrainable,
                    given,
                    searcher=searcher,
                    scheduler=scheduler,
                    folder=f"{stores.checkpoints}/ray",
                    name=f"{stage.name}-{time.time_ns()}",
                    slots=slots,
                    cpus=spec.resources.cpus_per_trial,
                    gpus=spec.resources.gpus_per_trial,
                    callbacks=[losses, hangs],
                    follow=_following(stage, spec, time_left),
                )
        finally:
            searcher.close()
            stores.remove(f"{stores.checkpoints}/ray")
            # Once more: a trial may have been writing a checkpoint while its folder was deleted.
            for number in events.discarded:
                stores.remove(stores.trial_folder(stage.name, number))
    _tell_of_environment(stage, spec.resources.epoch_timeout)


def _following(stage: Stage, spec: StudySpec, time_left: TimeLeft) -> Following | None:
    """Return how a stage follows the nodes of a cluster; None on one machine, and where slots decide on the trials."""
    in_order = stage.fixed is None and spec.search.deterministic
    if not spec.resources.cluster_address or in_order:
        return None
    return Following(
        spec.resources.concurrency, lambda text: console.print(f"  {text}", soft_wrap=True), time_left.at_once
    )


def _tell_of_environment(stage: Stage, epoch_timeout: float) -> None:
    """Say how many trials failed by their environment, and how they are run again.

    Args:
        stage: the stage, which has ended.
        epoch_timeout: seconds after which an epoch ends its worker; 0: never.
    """
    ended = _not_replaced(stage.study, False, stage.again)  # also retries that have failed
    if failed := [trial for trial in ended if failed_by_environment(trial)]:
        noun = runs.STAGES[stage.name] + ("" if len(failed) == 1 else "s")
        numbers = ", ".join(str(trial.number) for trial in failed)
        # A worker whose epoch has lasted too long ends itself, and cannot say so.
        timeout = f" (perhaps by --epoch-timeout {epoch_timeout:g})" if epoch_timeout else ""
        console.print(
            f"failed by a store, a worker{timeout} or a node: {noun} {numbers}; the same command with --retry-failed "
            f"runs {'it' if len(failed) == 1 else 'them'} again",
            soft_wrap=True,
        )


def hang_message(hang: Hang, stage: str, spec: StudySpec) -> str:
    """Return the message about a trial that may hang."""
    usual = "no epoch has ended yet" if hang.usual is None else f"an epoch usually takes {duration(hang.usual)}"
    worker = f"process {hang.pid} on {hang.node}" if hang.pid else "not known"
    limit = spec.resources.epoch_timeout
    then = f"it is restarted after {duration(limit)}" if limit else "--epoch-timeout SECONDS restarts such a trial"
    return (
        f"  {runs.STAGES[stage]} {hang.number} has reported nothing for {duration(hang.seconds)}, and {usual}: it may "
        f"hang. Its worker is {worker}; {then}, from its checkpoint"
    )


def _search(
    stage: Stage, prepared: PreparedStudy, events: StageEvents, slots: int, losses: WorkerLossWatch
) -> tuple[StudySearcher, Any]:
    """Return the searcher and the scheduler of a stage; those of a deterministic search tell results in order."""
    spec, points = prepared.spec, {"reference_points": stage.reference_points}
    keys = [objective.key for objective in prepared.objectives]
    given: dict[str, Any] = points if stage.fixed is None else {"fixed": stage.fixed}
    given |= {
        "trials": stage.total,
        "seed": spec.seed,
        "listener": events,
        "folder": TRIAL_FOLDER,
        "arms": prepared.arms,
        "retry_failed": stage.retry_failed,
        "again": stage.again,
        "loss_of": losses.of,
    }
    scheduler: Any = make_scheduler(
        stage.scheduler,
        max_epochs=spec.budget.max_epochs,
        grace_period=spec.search.grace(spec.budget.max_epochs),
        reduction_factor=spec.search.reduction_factor,
        space=prepared.space,
        sampler=spec.search.sampler,
        history=history(stage.study),
        on_perturb=lambda *change: searcher.perturbed(*change),
        arms=arms_by_number(stage.study) if prepared.arms else None,
    )
    if stage.fixed is None and spec.search.deterministic:
        given["sampler_for"] = sampler_of_trial(prepared)
        in_order = InOrderSearcher(stage.study, prepared.space, keys, slots=slots, judge=scheduler, **given)
        return in_order, StopsAsTold(in_order.hear)
    searcher = StudySearcher(stage.study, prepared.space, keys, **given)
    return searcher, scheduler


def sampler_of_trial(prepared: PreparedStudy) -> Callable[[int], BaseSampler] | None:
    """Return the function that makes the sampler of a trial from the trial's number, for a deterministic study.

    None for a sampler of the user's own, which may keep what it has learned in memory alone.
    """
    search, seed, space, arms = prepared.spec.search, prepared.spec.seed, prepared.space, bool(prepared.arms)
    if ":" in search.sampler:
        return None
    return lambda number: make_sampler(search.sampler, seed, space, existing=number, arms=arms)


def trial_parameters(
    stage: str, members: int, prepared: PreparedStudy, checkpoints: str, seeds: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the parameters of every trial of a stage: its context, the training view and the validation split.

    The training view holds what the separator's supervision allows, and nothing of the test split.

    Args:
        stage: name of the stage that the trials belong to.
        members: separators trained per trial.
        prepared: the study.
        checkpoints: folder or URI that holds the checkpoints of each stage.
        seeds: seeds of its trials, where these are fixed: each has a warm start of its own, if the study has any.

    Raises:
        UsageError: the separator of the warm start cannot be trained, or a folder is a link.
    """
    spec, data = prepared.spec, prepared.data
    if "://" not in checkpoints:
        for name in (stage, "start", "ray"):
            links.refuse(Path(checkpoints, name), links.ancestor(Path(checkpoints), LEVELS))
    context = TrialContext(
        separator=spec.separator,
        signal=prepared.signal,
        objectives=prepared.objectives,
        max_epochs=spec.budget.max_epochs,
        members=members,
        checkpoints=f"{checkpoints}/{stage}",
        checkpoint_seconds=spec.stores.checkpoint_seconds,
        device=spec.resources.trial_device,
        threads=cluster.threads(spec.resources.cpus_per_trial),
        augmentation=data.augmentation,
        deterministic=spec.search.deterministic,
        epoch_timeout=spec.resources.epoch_timeout,
        shared=spec.stores.shared,
        origin={"code": code.digest_of(prepared.code), "data": data.fingerprint},
    )
    train: Mapping[str, Tensor] = prepared.train
    warm_starts = {}
    if prepared.warm_start:
        given, folder = (train, data.augmentation), f"{checkpoints}/start"
        with deterministic(context.deterministic):  # as trials are trained: the warm start is trained in this process
            for seed in seeds:
                found, took = prepared.warm_start.estimates(*given, seed, context.device, f"{folder}/{seed}")
                warm_starts[seed] = (found.numpy(), took)
            if not seeds:  # one warm start for all trials of the search
                train = prepared.warm_start.add_to(*given, spec.seed, context.device, folder)
        if seeds:
            context = replace(context, origin={**context.origin, WARM_START: OWN_SEED})
    return {
        "context": context,
        "train": {name: items.handed(tensor, prepared.is_large) for name, tensor in train.items()},
        "validation": {name: items.handed(tensor, prepared.is_large) for name, tensor in prepared.validation.items()},
        **({"warm_starts": warm_starts} if warm_starts else {}),
        **({"weights": prepared.weights.values} if prepared.weights else {}),
    }


def _progress(stage: Stage, prepared: PreparedStudy, stores: StudyStores, time_left: TimeLeft) -> StageProgress:
    """Return the view of a stage in the terminal; trials that ended under earlier drivers are counted already."""
    spec, objectives = prepared.spec, prepared.objectives
    sign = objectives[0].sign
    tags = Counter(t.user_attrs.get("outcome", {}).get("tag", t.state.name.lower()) for t in stage.ended())
    noun = runs.STAGES[stage.name]
    ended = [(_guiding(objectives, trial), trial) for trial in stores.finished(stage.name, stage.study)]
    shown = None
    if ended:
        loss, best = min(ended, key=lambda pair: (pair[0], pair[1].number))
        told = best.label or best.arm
        shown = (sign * loss, f"{noun} {best.number}" + (f": {told}" if told else ""))
    title = f"{spec.name}: {_TITLES[stage.name]}"
    words = objectives[0].name if len(guide(objectives)) == 1 else guide_words(objectives)
    return StageProgress(
        title, stage.total, words, sign, noun, tags, shown, time_left.seconds, epochs=spec.budget.max_epochs
    )


def _guiding(objectives: Sequence[Objective], trial: Finished) -> float:
    """Return the loss by which the view of a stage compares a finished trial."""
    values = {o.key: o.sign * loss for o, loss in zip(objectives, trial.losses, strict=True)}
    return guide_loss(objectives, values)

"""Early stopping: Ray Tune's schedulers by name, made to survive a restart.

Ray's schedulers live in the driver's memory and know trials by ids that are new at every start. Here a trial is known
by its number in the study (``trial.config["number"]``). The asynchronous rules (ASHA, median) are given the whole
history at the start, so that they decide as they would have without the restart. All read ``epoch`` and minimise
``objective``. A trial whose config says ``protected`` is never stopped.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.hyperband import _Bracket as RayBracket

from ..choices import BLIND_SAMPLERS, SCHEDULERS
from ..errors import UsageError
from .arm_scheduler import ByArm, Curve, History

TIME, METRIC = "epoch", "objective"


@dataclass(frozen=True)
class _Identity:
    """Stands for a trial in Ray's ASHA and median rule, which need nothing of it but an id that outlives a restart."""

    trial_id: str


def _identity(number: int) -> _Identity:
    return _Identity(f"trial-{number:05d}")


class _KeepsStartingWorkers:
    """Mixin for schedulers whose trials may start in any order: gives an idle worker to a trial without one.

    Ray gives the worker to the first trial that waits, and kills the one that is being started for that trial, however
    close to ready. With trials shorter than the start of a worker this repeats for ever, and a slot stays empty.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the waiting trial of the lowest number for which no worker is being started."""
        starting = tune_controller._actor_manager._live_actors_to_ray_actors_resources
        waiting = [
            trial
            for trial in tune_controller.get_live_trials()
            if trial.status == Trial.PENDING and tune_controller._trial_to_actor.get(trial) not in starting
        ]
        return min(waiting, key=lambda trial: trial.config["number"], default=None)


class StopsAsTold(_KeepsStartingWorkers, FIFOScheduler):
    """Brings every result to a function, which says whether the trial is to be stopped (``search.in_order``).

    Args:
        hear: called with the number of a trial and its result.
    """

    def __init__(self, hear: Callable[[int, Mapping[str, Any]], bool]) -> None:
        super().__init__()
        self._hear = hear

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Stop the trial where the function says so."""
        return str(TrialScheduler.STOP if self._hear(trial.config["number"], result) else TrialScheduler.CONTINUE)


class _RestartSafe(_KeepsStartingWorkers):
    """Mixin for asynchronous schedulers: replays the history, decides on each epoch once, spares protected trials."""

    _last_epoch: dict[_Identity, int]  # the last one that was counted

    def replay(self, history: History) -> None:
        """Count what all trials have reported before this start."""
        self._last_epoch = {}
        for number, curve in history:
            finite = [(epoch, value) for epoch, value in curve if math.isfinite(value)]
            if finite:
                self._count_curve(_identity(number), finite)
                self._last_epoch[_identity(number)] = finite[-1][0]

    def _count_curve(self, trial: _Identity, curve: Curve) -> None:
        """Count the epochs of a curve without deciding on any."""
        raise TypeError(f"{type(self).__name__} must define _count_curve()")

    def _revoke_stop(self, trial: _Identity) -> None:
        """Forget that a trial was to be stopped."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add a trial, under its number."""
        super().on_trial_add(tune_controller, _identity(trial.config["number"]))  # type: ignore[misc]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Decide once on every epoch of ``result`` and of its ``history``; return STOP if one decision is STOP."""
        identity = _identity(trial.config["number"])
        for entry in (*result.get("history", ()), result):
            if not self._is_new(identity, entry):
                continue
            self._last_epoch[identity] = entry[TIME]
            point = {TIME: entry[TIME], METRIC: entry[METRIC]}
            decision = super().on_trial_result(tune_controller, identity, point)  # type: ignore[misc]
            if decision == TrialScheduler.STOP:
                if not trial.config.get("protected"):
                    return str(TrialScheduler.STOP)
                self._revoke_stop(identity)
        return str(TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Count the epochs that were not decided on, such as the last one of a trial that ends by itself."""
        identity = _identity(trial.config["number"])
        entries = [e for e in (*result.get("history", ()), result) if self._is_new(identity, e)]
        if entries:
            self._count_curve(identity, [(entry[TIME], entry[METRIC]) for entry in entries])
            self._last_epoch[identity] = entries[-1][TIME]
        self.on_trial_remove(tune_controller, trial)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Remove a trial; what it reported still counts."""
        super().on_trial_remove(tune_controller, _identity(trial.config["number"]))  # type: ignore[misc]

    def _is_new(self, identity: _Identity, entry: Mapping[str, Any]) -> bool:
        """Say whether an epoch's result can be counted, and has not been counted yet."""
        epoch, value = entry.get(TIME) or 0, entry.get(METRIC)
        return epoch > self._last_epoch.get(identity, 0) and value is not None and math.isfinite(value)


class Fifo(_KeepsStartingWorkers, FIFOScheduler):
    """Stops no trial."""


class Asha(_RestartSafe, AsyncHyperBandScheduler):
    """Asynchronous successive halving (Li et al. 2020): at each rung the best ``1 / reduction_factor`` go on.

    A trial counts in a rung with the objective of the first epoch at or above it. Whether the trial goes on depends
    only on the trials that have reached the rung before, which the history holds, so a restart changes no decision.
    """

    def _count_curve(self, trial: _Identity, curve: Curve) -> None:
        for bracket in self._brackets:
            for milestone, recorded in bracket._rungs:
                value_there = next((value for epoch, value in curve if epoch >= milestone), None)
                if value_there is not None:
                    recorded.setdefault(trial.trial_id, self._metric_op * value_there)


class Median(_RestartSafe, MedianStoppingRule):
    """Median stopping (Golovin et al. 2017): stops a trial whose best is worse than the median of running means."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._means: dict[tuple[_Identity, float], float] = {}

    def _count_curve(self, trial: _Identity, curve: Curve) -> None:
        self._results[trial] += [{TIME: epoch, METRIC: value} for epoch, value in curve]

    def _revoke_stop(self, trial: _Identity) -> None:
        self._stopped_trials.discard(trial)

    def _running_mean(self, trial: _Identity, time: float) -> float:
        """Return the mean of a trial's objective up to epoch ``time``; kept, because only later epochs are to come."""
        if (trial, time) not in self._means:
            self._means[trial, time] = float(super()._running_mean(trial, time))
        return self._means[trial, time]


class _Bracket(RayBracket):
    """A bracket that is full once its number of trials has joined it.

    Ray's own refills a bracket as trials end, so that with few slots all trials join the first bracket, which stops
    none of them.
    """

    def filled(self) -> bool:
        """Return whether the next trial goes to the next bracket."""
        return bool(len(self._all_trials) >= self._n0)


class HyperBand(HyperBandScheduler):
    """Synchronous HyperBand (Li et al. 2018): trials pause until all of their bracket can be compared.

    Brackets hold live trials only, so no history is replayed. After a restart, unfinished and new trials form brackets
    together, each trial at the epoch that it has reached. Protected trials belong to no bracket, where they would have
    to wait or be stopped, and count in none.
    """

    def _create_bracket(self, s: int) -> _Bracket:
        return _Bracket(
            time_attr=self._time_attr,
            max_trials=self._get_n0(s),
            init_t_attr=self._get_r0(s),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
            stop_last_trials=self._stop_last_trials,
        )

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Put a trial in a bracket, unless it is protected."""
        if not trial.config.get("protected"):
            super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Let a protected trial continue, and a trial whose objective is not finite, because that ends by itself."""
        if trial.config.get("protected") or not math.isfinite(result.get(METRIC, math.nan)):
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Remove a trial from its bracket."""
        if not trial.config.get("protected"):
            super().on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return a waiting protected trial, or the one that the brackets choose."""
        for trial in tune_controller.get_trials():
            if trial.config.get("protected") and trial.status in (Trial.PENDING, Trial.PAUSED):
                return trial
        return super().choose_trial_to_run(tune_controller)


OnPerturb = Callable[[int, int, int, Mapping[str, Any]], None]
"""Called with (number of the perturbed trial, number of the copied trial, epoch, new hyperparameters)."""


class Pbt(PopulationBasedTraining):
    """Population based training (Jaderberg et al. 2017): poor trials copy good ones and perturb their hyperparameters.

    It stops no trial: all run their whole budget. Categorical and stepped hyperparameters move to a neighbouring value,
    others are multiplied by 0.8 or 1.2; a quarter of all are drawn anew; all stay inside the search space. A trial
    takes the weights and hyperparameters of the trial that it copies and keeps its own number, seed and folder;
    ``config["perturbed_from"]`` is the number of the copied trial. Every perturbation is reported to ``on_perturb``.
    Only live trials are compared: after a restart they go on with their last hyperparameters, and are compared once all
    have reported. Protected trials are neither perturbed nor copied. Random numbers come from Python's global
    generator, as in Ray.
    """

    def __init__(self, space: Mapping[str, Any], on_perturb: OnPerturb | None, **options: Any) -> None:
        super().__init__(
            hyperparam_mutations={"hyperparameters": {name: _mutation(d) for name, d in space.items()}},
            **options,
        )
        self._space, self._on_perturb = dict(space), on_perturb

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add a trial, unless it is protected.

        Ray's PBT refuses to run beside a searcher. Ours is hidden from it: with PBT, a study allows only samplers that
        learn nothing from the results of trials.
        """
        if not trial.config.get("protected"):
            super().on_trial_add(SimpleNamespace(search_alg=None), trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Let a protected trial continue, and a trial whose objective is not finite, because that ends by itself."""
        if trial not in self._trial_state or not math.isfinite(result.get(METRIC, math.nan)):
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, result))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return a waiting protected trial, or the trial that has trained least."""
        for trial in tune_controller.get_trials():
            if trial not in self._trial_state and trial.status in (Trial.PENDING, Trial.PAUSED):
                return trial
        return super().choose_trial_to_run(tune_controller)

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        explored, operations = super()._get_new_config(trial, trial_to_clone)
        settings = {name: _clip(self._space.get(name), v) for name, v in explored["hyperparameters"].items()}
        config = copy.deepcopy(trial.config)
        config.update(hyperparameters=settings, perturbed_from=trial_to_clone.config["number"])
        if self._on_perturb is not None:
            epoch = self._trial_state[trial_to_clone].last_train_time
            self._on_perturb(trial.config["number"], trial_to_clone.config["number"], epoch, dict(settings))
        return config, operations


def make_scheduler(
    name: str,
    max_epochs: int,
    *,
    grace_period: int = 1,
    reduction_factor: float = 3.0,
    history: History = (),
    space: Mapping[str, Any] | None = None,
    sampler: str = "tpe",
    on_perturb: OnPerturb | None = None,
    arms: Mapping[int, str] | None = None,
    **options: Any,
) -> TrialScheduler:
    """Return the scheduler ``name``.

    Args:
        name: ``asha``, ``hyperband``, ``median``, ``none`` or ``pbt``.
        max_epochs: budget of a trial.
        grace_period: epochs before a trial may be stopped (ASHA's first rung) or perturbed (PBT), at least 1.
        reduction_factor: ASHA and HyperBand continue the best ``1 / reduction_factor`` of the trials; more than 1.
        history: curves of all trials of the study that have reported before, ended or not
            (``search.ledger.history``). HyperBand and PBT compare live trials only and ignore it.
        space: Optuna distributions by name; PBT needs it.
        sampler: name of the study's sampler; PBT takes only those that propose blindly.
        on_perturb: function that PBT calls with every perturbation.
        arms: for a study with arms, the arm of each trial in the history; trials are then compared within their arm.
        options: further keyword arguments of Ray's scheduler.

    Raises:
        UsageError: an unknown name, an option that the scheduler does not have, numbers out of range, or a sampler
            that PBT would mislead.
    """
    grace = min(grace_period, max_epochs)
    common = {"time_attr": TIME, "metric": METRIC, "mode": "min"}
    if name not in SCHEDULERS:
        raise UsageError(f"unknown scheduler {name!r}; there are: {', '.join(SCHEDULERS)}")
    if max_epochs < 1 or grace_period < 1 or not reduction_factor > 1:
        raise UsageError(
            f"a scheduler needs max_epochs and grace_period of at least 1 and a reduction_factor above 1, "
            f"not {max_epochs}, {grace_period} and {reduction_factor:g}"
        )
    if name == "pbt" and sampler not in BLIND_SAMPLERS:
        raise UsageError(
            f"pbt changes hyperparameters while they are trained, which would mislead the sampler {sampler!r}; "
            f"use one of {', '.join(BLIND_SAMPLERS)}, or another scheduler"
        )
    if name == "asha" and options.get("brackets", 1) != 1:
        raise UsageError(
            "asha has one bracket, because Ray would draw one of several anew at every start; hyperband has several"
        )
    if arms is not None and name != "none":
        given = {"grace_period": grace_period, "reduction_factor": reduction_factor, "space": space, "sampler": sampler}

        def of_one_arm(curves: History) -> TrialScheduler:
            return make_scheduler(name, max_epochs, history=curves, **given, **options)  # type: ignore[arg-type]

        of_one_arm(())  # so that wrong options are refused now
        return ByArm(of_one_arm, history, arms)
    try:
        match name:
            case "none":
                return Fifo(**options)
            case "asha":
                chosen = {"max_t": max_epochs, "grace_period": grace, "reduction_factor": reduction_factor}
                scheduler: Any = Asha(**{**common, **chosen, **options})
            case "median":
                # A trial is never paused for want of others to compare it with: with short trials that costs more than
                # it gives.
                chosen = {"grace_period": grace, "min_samples_required": 3, "min_time_slice": math.inf}
                scheduler = Median(**{**common, **chosen, **options})
            case "hyperband":
                return HyperBand(**{**common, "max_t": max_epochs, "reduction_factor": reduction_factor, **options})
            case _:
                chosen = {"perturbation_interval": grace, "burn_in_period": grace, "log_config": False}
                return Pbt(space or {}, on_perturb, **{**common, **chosen, **options})
    except (TypeError, AssertionError) as error:
        raise UsageError(f"scheduler {name!r} cannot be made with {options}: {error}") from error
    scheduler.replay(history)
    return scheduler


def _mutation(distribution: Any) -> list[Any] | Callable[[], Any]:
    """Return PBT's mutation of one dimension: its values in order, or a function that draws one."""
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return list(choices)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None and not distribution.log:
        return [low + k * step for k in range(round((high - low) / step) + 1)]
    whole = isinstance(low, int)

    def draw() -> Any:
        if not distribution.log:
            return random.uniform(low, high)
        value = math.exp(random.uniform(math.log(low), math.log(high)))
        return round(value) if whole else value

    return draw


def _clip(distribution: Any, value: Any) -> Any:
    """Return the nearest value inside the range of a numeric distribution."""
    if distribution is None or hasattr(distribution, "choices"):
        return value
    return min(max(value, distribution.low), distribution.high)

"""The contenders of ``search.py``: searches of sepray, Ray Tune and Syne Tune, without their executors."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import optuna
from _surrogate import Surrogate
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from sepray.execution.schedulers import make_scheduler
from sepray.search.ledger import Ledger
from sepray.search.outcomes import decide
from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study

KEY = "objective"


class Search(Protocol):
    """A search that is replayed: proposes settings, hears of epochs and says which trials go on."""

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return number and settings of the next trial to start, or of a paused one that goes on."""

    def report(self, number: int, epoch: int, value: float) -> str:
        """Hear of an epoch that is not a trial's last one; return ``continue``, ``stop`` or ``pause``."""

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Hear that a trial has ended."""


class Sepray:
    """A search of sepray: its ledger, sampler and scheduler, without Ray, threads or files.

    Args:
        surrogate: what is searched.
        seed: random seed.
        slots: trials at once.
        sampler: name of a sampler.
        options: options of the sampler.
        scheduler: name of a scheduler.
        grace: epochs before a trial may be stopped.
        reduction: one trial in so many goes on at each rung.
        references: whether the published settings are tried first: ``never`` stopped early, or ``stopped`` like others.
        ahead: suggestions that are made before they are needed.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        seed: int,
        slots: int,
        *,
        sampler: str = "tpe",
        options: Mapping[str, Any] | None = None,
        scheduler: str = "asha",
        grace: int = 1,
        reduction: float = 3.0,
        references: str = "",
        ahead: int = 2,
    ) -> None:
        self._protected = references == "never"
        made = make_sampler(sampler, seed, surrogate.space, options)
        study = open_study(optuna.storages.InMemoryStorage(), "s", ["minimize"], {}, made)
        given = surrogate.references if references else {}
        self._ledger = Ledger(study, surrogate.space, 10**6, seed, given, None, "{number}")
        self._ledger.count()
        self._scheduler: Any = make_scheduler(
            scheduler, surrogate.epochs, grace_period=grace, reduction_factor=reduction, sampler=sampler
        )
        self._trials: dict[int, Any] = {}
        self._ready: deque[Any] = deque()
        self._ahead = ahead

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the oldest of the suggestions that are ready, and make another one."""
        while len(self._ready) <= self._ahead:
            self._ready.append(self._ledger.next())
        asked = self._ready.popleft()
        protected = asked.label is not None and self._protected
        trial = SimpleNamespace(config={"number": asked.number, "protected": protected})
        self._trials[asked.number] = trial
        self._scheduler.on_trial_add(None, trial)
        return asked.number, asked.hyperparameters

    def report(self, number: int, epoch: int, value: float) -> str:
        """Write the epoch, and let the scheduler decide."""
        self._ledger.report(number, epoch, value)
        result = {"epoch": epoch, "objective": value}
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        return "stop" if decision == TrialScheduler.STOP else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Write how the trial ended."""
        if not stopped:
            self._ledger.report(number, epoch, value)
        result = {"epoch": epoch, KEY: value, "outcome": "" if stopped else "complete"}
        self._scheduler.on_trial_complete(None, self._trials.pop(number), result)
        self._ledger.finish(number, decide(result, False, [KEY]))


class Stock:
    """Ray Tune's own OptunaSearch and ASHA with their defaults, as Ray's documentation combines them."""

    def __init__(self, surrogate: Surrogate, seed: int, slots: int) -> None:
        self._searcher = OptunaSearch(dict(surrogate.space), metric=KEY, mode="min", seed=seed + 1)
        self._scheduler = AsyncHyperBandScheduler("epoch", metric=KEY, mode="min", max_t=surrogate.epochs)
        self._trials: dict[int, Any] = {}

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the searcher's next trial."""
        number = len(self._trials)
        self._trials[number] = SimpleNamespace(trial_id=str(number))
        self._scheduler.on_trial_add(None, self._trials[number])
        return number, self._searcher.suggest(str(number))

    def report(self, number: int, epoch: int, value: float) -> str:
        """Tell the searcher, and let the scheduler decide."""
        result = {"epoch": epoch, "training_iteration": epoch, KEY: value}
        self._searcher.on_trial_result(str(number), result)
        decision = self._scheduler.on_trial_result(None, self._trials[number], result)
        return "stop" if decision == TrialScheduler.STOP else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Tell both how the trial ended."""
        result = {"epoch": epoch, "training_iteration": epoch, KEY: value}
        self._scheduler.on_trial_complete(None, self._trials[number], result)
        self._searcher.on_trial_complete(str(number), result)


class SyneTune:
    """A scheduler of Syne Tune with its defaults: a grace period of 1 and a reduction factor of 3.

    Args:
        surrogate: what is searched.
        seed: random seed.
        slots: trials at once.
        scheduler: name of a class of ``syne_tune.optimizer.baselines``.
    """

    def __init__(self, surrogate: Surrogate, seed: int, slots: int, *, scheduler: str) -> None:
        spaces = importlib.import_module("syne_tune.config_space")
        baselines = importlib.import_module("syne_tune.optimizer.baselines")
        self._trial = importlib.import_module("syne_tune.backend.trial_status").Trial
        space = {n: (spaces.loguniform if d.log else spaces.uniform)(d.low, d.high) for n, d in surrogate.space.items()}
        self._scheduler = getattr(baselines, scheduler)(
            space, metric=KEY, time_attr="epoch", max_t=surrogate.epochs, random_seed=seed
        )
        self._trials: dict[int, Any] = {}

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the scheduler's next trial."""
        number, settings = len(self._trials), self._scheduler.suggest().config
        self._trials[number] = self._trial(number, settings, datetime.now())
        self._scheduler.on_trial_add(self._trials[number])
        return number, settings

    def report(self, number: int, epoch: int, value: float) -> str:
        """Let the scheduler decide."""
        decision = self._scheduler.on_trial_result(self._trials[number], {"epoch": epoch, KEY: value})
        return "stop" if decision == "STOP" else "continue"

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Tell the scheduler of a trial's end; of one that it has stopped it knows."""
        if not stopped:
            self._scheduler.on_trial_complete(self._trials[number], {"epoch": epoch, KEY: value})


class OlderSyneTune:
    """A scheduler of Syne Tune 0.13, the last version with MOBSTER and DyHPO; same grace period and reduction factor.

    DyHPO pauses trials and lets them go on later.

    Args:
        surrogate: what is searched.
        seed: random seed.
        slots: trials at once.
        scheduler: name of a class of ``syne_tune.optimizer.baselines``.
    """

    def __init__(self, surrogate: Surrogate, seed: int, slots: int, *, scheduler: str) -> None:
        spaces = importlib.import_module("syne_tune.config_space")
        baselines = importlib.import_module("syne_tune.optimizer.baselines")
        self._trial = importlib.import_module("syne_tune.backend.trial_status").Trial
        space = {n: (spaces.loguniform if d.log else spaces.uniform)(d.low, d.high) for n, d in surrogate.space.items()}
        self._scheduler = getattr(baselines, scheduler)(
            space, metric=KEY, mode="min", resource_attr="epoch", max_t=surrogate.epochs, random_seed=seed,
            search_options={"debug_log": False},
        )  # fmt: skip
        self._trials: dict[int, Any] = {}

    def suggest(self) -> tuple[int, Mapping[str, float]]:
        """Return the scheduler's next trial, which may be one that it has paused."""
        suggestion = self._scheduler.suggest(len(self._trials))
        if not suggestion.spawn_new_trial_id:
            trial = self._trials[int(suggestion.checkpoint_trial_id)]
            return trial.trial_id, trial.config
        trial = self._trial(len(self._trials), suggestion.config, datetime.now())
        self._trials[trial.trial_id] = trial
        self._scheduler.on_trial_add(trial)
        return trial.trial_id, trial.config

    def report(self, number: int, epoch: int, value: float) -> str:
        """Let the scheduler decide."""
        return str(self._scheduler.on_trial_result(self._trials[number], {"epoch": epoch, KEY: value})).lower()

    def finish(self, number: int, epoch: int, value: float, stopped: bool) -> None:
        """Tell the scheduler of a trial's end; of one that it has stopped it knows."""
        if not stopped:
            result = {"epoch": epoch, KEY: value}
            self._scheduler.on_trial_result(self._trials[number], result)
            self._scheduler.on_trial_complete(self._trials[number], result)


_JOINT = {"multivariate": True}
SEARCHES: dict[str, Callable[..., Search]] = {
    "default": partial(Sepray),
    "grace 2": partial(Sepray, grace=2),
    "grace 1, reduction 2": partial(Sepray, reduction=2),
    "grace 1, reduction 4": partial(Sepray, reduction=4),
    "grace 2, reduction 4": partial(Sepray, grace=2, reduction=4),
    "no early stopping": partial(Sepray, scheduler="none"),
    "joint TPE, grace 2": partial(Sepray, options=_JOINT, grace=2),
    "the same, published first": partial(Sepray, options=_JOINT, grace=2, references="never"),
    "the same, those stopped too": partial(Sepray, options=_JOINT, grace=2, references="stopped"),
    "20 random trials, grace 2": partial(Sepray, options={"n_startup_trials": 20}, grace=2),
    "suggestions not ahead, grace 2": partial(Sepray, grace=2, ahead=0),
    "random, grace 2": partial(Sepray, sampler="random", grace=2),
    "Ray: OptunaSearch and ASHA": Stock,
    "Syne Tune: ASHA": partial(SyneTune, scheduler="ASHA"),
    "Syne Tune: BOHB": partial(SyneTune, scheduler="BOHB"),
    "Syne Tune 0.13: MOBSTER": partial(OlderSyneTune, scheduler="MOBSTER"),
    "Syne Tune 0.13: DyHPO": partial(OlderSyneTune, scheduler="DyHPO"),
}
"""Name -> search; "default" is what a study does, and the others of sepray differ from it in what they name."""

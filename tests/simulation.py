"""Stands for Ray Tune's controller: drives a searcher and a scheduler on trials that only report numbers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher


@dataclass(eq=False)
class SimulatedTrial:
    """A trial as schedulers see it."""

    trial_id: str
    config: dict[str, Any]
    status: str = Trial.PENDING
    epoch: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    is_saving: bool = False


class Killed(Exception):
    """Raised by the controller where its process is to die."""


class Controller:
    """Runs trials in ``slots`` slots, each an epoch in turn, so that a run is the same every time.

    ``report(trial)`` returns the result of a trial's next epoch, or None where its worker is lost. After ``kill_after``
    results ``Killed`` is raised.
    """

    search_alg = None
    # No worker is ever being started here.
    _actor_manager = SimpleNamespace(_live_actors_to_ray_actors_resources={})
    _trial_to_actor: ClassVar[dict[Any, Any]] = {}

    def __init__(
        self,
        searcher: Any,
        report: Callable[[SimulatedTrial], Mapping[str, Any] | None],
        scheduler: TrialScheduler | None = None,
        slots: int = 2,
        kill_after: int | None = None,
        name: str = "run",
    ) -> None:
        self.searcher, self.report, self.slots, self.name = searcher, report, slots, name
        self.scheduler = scheduler or FIFOScheduler()
        self.trials: list[SimulatedTrial] = []
        self.results_left = kill_after
        self.finished = False
        self.decisions: list[tuple[int, int, str]] = []

    def get_trials(self) -> list[SimulatedTrial]:
        return self.trials

    def get_live_trials(self) -> list[SimulatedTrial]:
        return [t for t in self.trials if t.status not in (Trial.TERMINATED, Trial.ERROR)]

    def stop_trial(self, trial: SimulatedTrial) -> None:
        if trial.status in (Trial.PENDING, Trial.PAUSED):
            trial.status = Trial.TERMINATED
            self.scheduler.on_trial_remove(self, trial)
            self.searcher.on_trial_complete(trial.trial_id)
        else:
            trial.status = Trial.TERMINATED
            self.scheduler.on_trial_complete(self, trial, dict(trial.last))
            self.searcher.on_trial_complete(trial.trial_id, result=dict(trial.last))

    def run(self) -> None:
        while not self.finished or self.get_live_trials():
            self._fill()
            for trial in [t for t in self.trials if t.status == Trial.RUNNING]:
                if trial.status == Trial.RUNNING:
                    self._advance(trial)

    def _fill(self) -> None:
        while not self.finished and not any(t.status == Trial.PENDING for t in self.trials):
            trial_id = f"{self.name}-{len(self.trials)}"
            config = self.searcher.suggest(trial_id)
            if config == Searcher.FINISHED:
                self.finished = True
            elif config is None:
                time.sleep(0.002)
                if sum(t.status == Trial.RUNNING for t in self.trials):
                    break
            else:
                trial = SimulatedTrial(trial_id, config)
                self.trials.append(trial)
                self.scheduler.on_trial_add(self, trial)
            self._start()
        self._start()

    def _start(self) -> None:
        while sum(t.status == Trial.RUNNING for t in self.trials) < self.slots:
            chosen = self.scheduler.choose_trial_to_run(self)
            if chosen is None:
                return
            chosen.status = Trial.RUNNING

    def _advance(self, trial: SimulatedTrial) -> None:
        if self.results_left is not None:
            self.results_left -= 1
            if self.results_left < 0:
                raise Killed
        result = self.report(trial)
        if result is None:
            trial.status = Trial.ERROR
            self.scheduler.on_trial_error(self, trial)
            self.searcher.on_trial_complete(trial.trial_id, error=True)
            return
        done = bool(result.get("outcome"))
        result = {**result, "done": done, "trial_id": trial.trial_id}
        decision = TrialScheduler.STOP if done else self.scheduler.on_trial_result(self, trial, result)
        if decision != TrialScheduler.STOP:
            self.searcher.on_trial_result(trial.trial_id, result)
        trial.epoch, trial.last = result.get("epoch", trial.epoch), result
        self.decisions.append((trial.config["number"], trial.epoch, decision))
        if decision == TrialScheduler.STOP:
            self.stop_trial(trial)
        elif decision == TrialScheduler.PAUSE:
            trial.status = Trial.PAUSED


class UnevenController(Controller):
    """Advances one running trial at a time, drawn at random: some trials are faster than others.

    An epoch takes long, compared with a call of the storage: a suggestion that is due is there before the next one.
    """

    def __init__(self, *args: Any, seed: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._random = random.Random(seed)

    def run(self) -> None:
        speeds: dict[str, float] = {}
        while not self.finished or self.get_live_trials():
            self.searcher._background.wait(self._idle, 10)
            self._fill()
            running = [t for t in self.trials if t.status == Trial.RUNNING]
            weights = [speeds.setdefault(t.trial_id, self._random.random() ** 3) for t in running]
            if running:
                self._advance(self._random.choices(running, weights)[0])

    def _idle(self) -> bool:
        return not (self.searcher._background._queue or self.searcher._needs_preparing())


def kill(searcher: Any) -> None:
    """End a searcher's thread as SIGKILL would: what is queued is lost."""
    background = searcher._background
    with background.changed:
        background._closing = True
        background._queue.clear()
        background.changed.notify_all()
    background._thread.join()

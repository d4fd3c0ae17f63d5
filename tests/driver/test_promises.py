"""The promises of a study hold in any order of events, kills and failing stores, on simulated trials.

Exactly the trials that were asked for, none lost, none twice, none RUNNING in the end in either store, every step of
every trial once, and of each trial's end first Optuna's record, then MLflow's, then the deletion of its checkpoints.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sepray.fault import CheckpointError

from .promises import Crash, World, without_threads

BOOLEANS = st.booleans()
_MEMORY = Path("/dev/shm")


class AnyOrder(RuleBasedStateMachine):
    """Takes one step after another."""

    def __init__(self) -> None:
        super().__init__()
        self._patched = without_threads()
        self._patched.__enter__()
        place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="promises-", dir=place))

    @initialize(trials=st.integers(1, 4), in_order=BOOLEANS)
    def begin(self, trials, in_order):
        self.world = World(self.folder, trials, in_order)
        self.world.start()

    def _guarded(self, work, *given, **named):
        """Do a step; where the driver dies of it, or stops, the same command is given again."""
        try:
            work(*given, **named)
        except (Crash, CheckpointError):
            self._restart()

    def _restart(self, retry_failed=False):
        self.world.crash()
        self.world.start(retry_failed)

    def _worker(self, choice):
        workers = list(self.world.workers.values())
        return workers[choice % len(workers)]

    @rule()
    def hand_out(self):
        self._guarded(self.world.hand_out)

    @rule(count=st.integers(1, 6))
    def write(self, count):
        for _ in range(count):
            self._guarded(self.world.step)

    @rule(at=st.integers(1, 6), after=BOOLEANS, dies=BOOLEANS)
    def write_with_a_failure(self, at, after, dies):
        storage = self.world.storage
        storage.fail_at, storage.after, storage.error = at, after, Crash if dies else OSError
        self._guarded(self.world.step)
        storage.fail_at = 0

    @precondition(lambda self: self.world.workers)
    @rule(choice=st.integers(0, 9))
    def train(self, choice):
        self._guarded(self.world.train, self._worker(choice))

    @rule(rounds=st.integers(1, 4))
    def go_on(self, rounds):
        """Let the study go on as it does where nothing is in its way."""
        for _ in range(rounds):
            for _ in range(4):
                self._guarded(self.world.step)
            self._guarded(self.world.hand_out)
            for worker in list(self.world.workers.values()):
                if worker.id in self.world.workers:
                    self._guarded(self.world.train, worker)

    @precondition(lambda self: self.world.workers)
    @rule(choice=st.integers(0, 9), how=st.sampled_from(["stop", "diverge"]), writes=st.integers(0, 6), dies=BOOLEANS)
    def end_a_trial(self, choice, how, writes, dies):
        """End a trial, and kill the driver after some of the writes that follow."""
        self._guarded(self.world.train, self._worker(choice), **{how: True})
        self.write(writes)
        if dies:
            self._restart()

    @precondition(lambda self: self.world.workers)
    @rule(choice=st.integers(0, 9), times=st.integers(1, 3), epochs=st.integers(0, 1))
    def lose_workers(self, choice, times, epochs):
        """Lose the worker of a trial, and those that take its place, before or after an epoch."""
        number = self._worker(choice).number
        for _ in range(times):
            for worker in list(self.world.workers.values()):
                if worker.number == number:
                    for _ in range(epochs):
                        if worker.id in self.world.workers:
                            self._guarded(self.world.train, worker)
                    if worker.id in self.world.workers:
                        self._guarded(self.world.lose, worker)
            self._guarded(self.world.hand_out)

    @rule(count=st.integers(1, 20), answer_is_lost=BOOLEANS)
    def deliver(self, count, answer_is_lost):
        self.world.deliver(count, answer_is_lost)

    @rule(full=BOOLEANS)
    def fill_the_outbox(self, full):
        self.world.fill_outbox(full)

    @rule(full=BOOLEANS)
    def fill_the_checkpoints(self, full):
        self.world.place_is_full = full

    @rule(retry_failed=BOOLEANS)
    def kill(self, retry_failed):
        self._restart(retry_failed)

    @invariant()
    def no_more_trials_than_asked_for(self):
        if hasattr(self, "world"):
            trials = self.world.study.get_trials(deepcopy=False)
            assert len(trials) - sum("retry_of" in t.user_attrs for t in trials) <= self.world.trials

    def teardown(self):
        try:
            if hasattr(self, "world"):
                self.world.finish()
                self.world.check()
                self.world.tracker.outbox.close()
        finally:
            self._patched.__exit__(None, None, None)
            shutil.rmtree(self.folder)


def hold(examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(AnyOrder, settings=chosen)


@pytest.mark.timeout(300)
def test_promises_hold_in_any_order():
    hold(examples=150, steps=30)


@pytest.mark.slow
def test_promises_hold_in_thousands_of_orders():
    hold(examples=5000, steps=60)

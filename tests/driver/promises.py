"""A study without processes and threads, whose every step is chosen: what is trained, written, delivered and lost.

Its searcher, ledger, listener, tracker and outbox are the real ones. Optuna's storage is in memory and fails as told;
the background thread is a queue of which one operation is performed at a time; workers and MLflow are numbers. A crash
takes all that is in memory: what is in the storage, in the outbox, in MLflow and among the checkpoints stays.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sepray.choices import Objective
from sepray.driver import runs
from sepray.driver.events import StageEvents
from sepray.errors import StorageError
from sepray.execution.schedulers import make_scheduler
from sepray.fault import UNSAVED, CheckpointError
from sepray.search import searcher as searcher_module
from sepray.search.in_order import InOrderSearcher
from sepray.search.outcomes import replaced
from sepray.search.samplers import make_sampler
from sepray.search.searcher import StudySearcher
from sepray.search.storage import STORAGE_FAILURES, Study
from sepray.tracking import tracker as tracker_module
from sepray.tracking.outbox import Outbox, OutboxError
from sepray.tracking.tracker import Tracker

EPOCHS = 3
KEY = "validation/relative_l2"
SPACE = {"alpha": FloatDistribution(0.0, 1.0)}
WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_trial_state_values",
    "set_trial_intermediate_value",
)


class Crash(BaseException):
    """The driver is killed."""


class FailingStorage(InMemoryStorage):
    """Fails at the write that ``fail_at`` counts down to, before or after it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.fail_at, self.after, self.error = 0, False, Crash
        self.outcomes: set[int] = set()  # numbers of the trials whose outcome was written


def _failing(name: str) -> Callable[..., Any]:
    real = getattr(InMemoryStorage, name)

    def write(self: FailingStorage, *given: Any, **named: Any) -> Any:
        self.fail_at -= 1
        failing, error = self.fail_at == 0, self.error
        if failing and not self.after:
            raise _error(error)
        answer = real(self, *given, **named)
        if name == "set_trial_user_attr" and given[1] == "outcome":
            self.outcomes.add(self.get_trial(given[0]).number)
        if failing:
            raise _error(error)
        return answer

    return write


def _error(kind: type[BaseException]) -> BaseException:
    locked = sqlalchemy.exc.OperationalError("INSERT", {}, Exception("database is locked"))
    return Crash() if kind is Crash else locked


for _name in WRITES:
    setattr(FailingStorage, _name, _failing(_name))


class Queue:
    """Stands in for ``BackgroundThread``: performs one operation when it is told to; one that fails stays in it."""

    def __init__(self, refill: Callable[[], None], needs_refill: Callable[[], bool], patience: float) -> None:
        self.changed = threading.Condition()
        self._refill, self._needs_refill = refill, needs_refill
        self._queue: deque[Callable[[], None]] = deque()

    def start(self) -> None:
        pass

    def put(self, operation: Callable[[], None]) -> None:
        self._queue.append(operation)

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        return condition()

    def raise_error(self) -> None:
        pass

    def close(self) -> None:
        while self._queue:
            self.step()

    def step(self) -> bool:
        """Perform an operation, or none; return whether there was one."""
        operation = self._queue[0] if self._queue else self._refill if self._needs_refill() else None
        if operation is None:
            return False
        with contextlib.suppress(*STORAGE_FAILURES):
            operation()
            if operation is not self._refill:
                self._queue.popleft()
        return True


class Quiet:
    """A sender that delivers nothing by itself; a progress that shows nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Mlflow:
    """The runs that MLflow has."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.rows: dict[str, set[tuple[Any, ...]]] = {}

    def take(self, label: str, kind: str, body: dict[str, Any]) -> None:
        if kind == "run":
            self.status[label] = "RUNNING"
        elif kind == "status":
            self.status[label] = body["status"]
        elif kind == "log":
            self.rows.setdefault(label, set()).update(tuple(row) for row in body.get("metrics", ()))


@dataclass
class Worker:
    """Trains a trial that the searcher has handed out."""

    id: str
    config: dict[str, Any]
    epoch: int  # that it has trained, which a checkpoint may have given it
    reported: bool = False

    @property
    def number(self) -> int:
        return int(self.config["number"])


def value(number: int, epoch: int) -> float:
    return 1.0 / epoch + 0.01 * number


def result_of(number: int, epoch: int, outcome: str = "") -> dict[str, Any]:
    if not epoch:
        return {"epoch": 0, "objective": float("nan"), "outcome": outcome}
    found = value(number, epoch)
    return {"epoch": epoch, "objective": found, KEY: found, "outcome": outcome, "timestamp_ms": 1000 * epoch}


@dataclass
class World:
    """A study of ``trials`` trials in the folder ``folder``, from its first start on; each start is a driver.

    ``in_order``: it is a deterministic study.
    """

    folder: Path
    trials: int
    in_order: bool = False
    storage: FailingStorage = field(default_factory=FailingStorage)
    mlflow: Mlflow = field(default_factory=Mlflow)
    checkpoints: dict[int, int] = field(default_factory=dict)  # number -> epoch
    place_is_full: bool = False
    outbox_is_full: bool = False
    faults: Counter[int] = field(default_factory=Counter)  # number -> losses in a row without progress; 99: diverged
    furthest: dict[int, int] = field(default_factory=dict)  # number -> epoch at its last loss
    told: set[int] = field(default_factory=set)  # numbers of the trials whose end the tracker was told of
    forgotten: bool = False  # whether a crash took what waited in memory for the outbox
    starts: int = 0
    ids: Iterator[int] = field(default_factory=itertools.count)

    def start(self, retry_failed: bool = False) -> None:
        """Start a driver on what is there."""
        self.starts += 1
        self.workers: dict[str, Worker] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = make_sampler("random", self.starts, SPACE)
        with contextlib.suppress(optuna.exceptions.DuplicatedStudyError):
            optuna.create_study(storage=self.storage, study_name="s", sampler=sampler)
        self.study = Study(study_name="s", storage=self.storage, sampler=sampler, pruner=optuna.pruners.NopPruner())
        self.tracker = Tracker(self.folder / "outbox.db", "s", uri="http://host")
        self._fill_outbox()
        self.tracker.open_study("s", {}, {})
        ended = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]
        objectives = (Objective(KEY, "minimize"),)
        events = StageEvents("search", self.tracker, Quiet(), self._discard, objectives, ended)
        self._watch(events)
        given = self.study, SPACE, [KEY], self.trials, 0
        if self.in_order:
            judge = make_scheduler("none", EPOCHS)
            self.searcher: StudySearcher = InOrderSearcher(
                *given, slots=2, judge=judge, listener=events, retry_failed=retry_failed
            )
        else:
            self.searcher = StudySearcher(*given, listener=events, ahead=1, retry_failed=retry_failed)

    def crash(self) -> None:
        """Kill the driver; the next one has what is on disk."""
        self.forgotten |= len(self.tracker._buffer) > 0
        self.tracker.outbox._database.close()
        self.storage.fail_at = 0

    # -- steps ---------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Let the background thread perform an operation."""
        return bool(self.searcher._background.step())

    def hand_out(self) -> bool:
        """Ask for a trial, as Tune does for a free slot; return whether the searcher says that there are no more."""
        config = self.searcher.suggest(trial_id := f"trial-{next(self.ids)}")
        if config == Searcher.FINISHED:
            return True
        if isinstance(config, dict):
            number = config["number"]
            assert number not in {worker.number for worker in self.workers.values()}, f"{number} runs twice"
            assert number not in self.storage.outcomes, f"{number} has ended in Optuna and is trained again"
            assert number not in self.told, f"{number} was shown as ended and is trained again"
            self.workers[trial_id] = Worker(trial_id, config, self.checkpoints.get(number, 0))
        return False

    def train(self, worker: Worker, stop: bool = False, diverge: bool = False) -> None:
        """Train an epoch and report it; ``stop``: the scheduler stops the trial then."""
        number = worker.number
        if worker.epoch < EPOCHS:  # else it was lost between its last checkpoint and its last report
            worker.epoch += 1
            if not self.place_is_full:
                self.checkpoints[number] = worker.epoch
        self.faults[number] = 99 if diverge else self.faults[number]
        outcome = "diverged" if diverge else "complete" if worker.epoch == EPOCHS else ""
        if outcome == "complete" and self.checkpoints.get(number) != EPOCHS:
            outcome = UNSAVED
        result = result_of(number, worker.epoch, outcome)
        if not worker.reported:
            result["history"] = [result_of(number, epoch) for epoch in range(1, worker.epoch)]
        worker.reported = True
        if isinstance(self.searcher, InOrderSearcher):
            stop = self.searcher.hear(number, result)
        if outcome or stop:
            del self.workers[worker.id]
            self.searcher.on_trial_complete(worker.id, result)
        else:
            self.searcher.on_trial_result(worker.id, result)

    def lose(self, worker: Worker) -> None:
        """Lose a worker."""
        del self.workers[worker.id]
        reached = worker.epoch if worker.reported else 0
        is_further = reached > self.furthest.get(worker.number, 0)
        self.faults[worker.number] = 1 if is_further else self.faults[worker.number] + 1
        self.furthest[worker.number] = max(reached, self.furthest.get(worker.number, 0))
        self.searcher.on_trial_complete(worker.id, error=True)

    def deliver(self, count: int, answer_is_lost: bool = False) -> None:
        """Let MLflow take the oldest operations of the outbox."""
        operations = self.tracker.outbox.take(count)
        for operation in operations:
            self.mlflow.take(operation.key.label, operation.kind, operation.body)
        if not answer_is_lost:
            self.tracker.outbox.acknowledge(operations)

    def fill_outbox(self, full: bool) -> None:
        """Fill the outbox's disk, or clear it."""
        self.outbox_is_full = full
        self._fill_outbox()

    def _fill_outbox(self) -> None:
        box = self.tracker.outbox
        for name in ("put", "put_once", "mark"):
            real = getattr(Outbox, name).__get__(box)
            setattr(box, name, self._full if self.outbox_is_full else real)

    def _full(self, *_: Any) -> None:
        raise OutboxError("the outbox: database or disk is full")

    def finish(self) -> None:
        """Let the study come to its end, with nothing in its way."""
        self.place_is_full = False
        self.fill_outbox(False)
        self.storage.fail_at = 0
        while True:
            try:
                if self._run_to_the_end():
                    return
            except (StorageError, CheckpointError):
                pass
            self.crash()
            self.start()

    def _run_to_the_end(self) -> bool:
        while not self.hand_out():
            while self.step():
                pass
            for worker in list(self.workers.values()):
                self.train(worker)
        self.searcher.close()
        self.tracker._buffer.empty()
        while self.tracker.outbox.pending():
            self.deliver(1000)
        return True

    # -- what is watched and promised --------------------------------------------------------------------------------

    def _watch(self, events: StageEvents) -> None:
        finished = self.tracker.trial_finished

        def told(label: str, *given: Any, **named: Any) -> None:
            assert int(label) in self.storage.outcomes, f"MLflow hears of the end of {label} before Optuna"
            self.told.add(int(label))
            finished(label, *given, **named)

        self.tracker.trial_finished = told  # type: ignore[method-assign]

    def _discard(self, number: int) -> None:
        assert number in self.told, f"checkpoints of {number} are cleared before MLflow hears of its end"
        self.checkpoints.pop(number, None)

    def check(self) -> None:
        """Check what a study that has come to its end promises."""
        trials = self.study.get_trials(deepcopy=False)
        others = replaced(trials)
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert len(trials) - len(others) == self.trials, "as many trials as were asked for"
        states = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "FINISHED", TrialState.FAIL: "FAILED"}
        for trial in trials:
            assert trial.state.is_finished(), f"{trial.number} is {trial.state}"
            assert trial.user_attrs["outcome"]["state"] == trial.state.name
            steps = sorted(trial.intermediate_values)
            assert steps == list(range(1, len(steps) + 1))
            assert all(trial.intermediate_values[e] == value(trial.number, e) for e in steps)
            if trial.state is TrialState.FAIL:
                assert self.faults[trial.number] >= 3, f"{trial.number} failed, and nothing of its own was wrong"
            if trial.state is TrialState.COMPLETE:
                assert len(steps) == EPOCHS
                assert self.checkpoints[trial.number] == EPOCHS, f"the weights of {trial.number} are lost"
            if self.forgotten:
                continue  # `sepray reconcile` completes MLflow then
            label = runs.run_label("search", trial.number)
            assert self.mlflow.status[label] == states[trial.state]
            rows = [row for row in self.mlflow.rows.get(label, ()) if row[0] == "objective"]
            told = sorted(row[2] for row in rows)
            # Of a trial that lost epochs to a kill, and was then stopped earlier, MLflow has heard of those too.
            assert told == list(range(1, len(told) + 1)), "every step once"
            assert len(told) >= len(steps)
        assert set(self.checkpoints) >= {t.number for t in trials if t.state is TrialState.COMPLETE}


@contextlib.contextmanager
def without_threads() -> Any:
    """Let searchers and trackers that are made meanwhile start neither a thread nor a process."""
    before = searcher_module.BackgroundThread, tracker_module.Sender
    searcher_module.BackgroundThread, tracker_module.Sender = Queue, Quiet  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        searcher_module.BackgroundThread, tracker_module.Sender = before  # type: ignore[misc]

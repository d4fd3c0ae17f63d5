"""Ray Tune's searcher over an Optuna study: hands out trials, writes what they report and how each of them ended.

All that a study knows is in its Optuna storage; Tune keeps nothing. Every start is a new Tune experiment. It first gets
the trials that an earlier driver left unfinished, under their old numbers, and then new ones until the study holds as
many as were asked for. One background thread calls the storage, so that neither a suggestion nor a report waits for it.
Imports neither torch nor MLflow.

The end of a trial has three steps. Its outcome is written to Optuna; the listener is told, which tells MLflow and then
clears checkpoints; its state in Optuna is concluded. A driver that is killed in between does no harm. Where the outcome
is written, the next driver tells the listener and concludes; where it is not, the trial goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from ray.tune.search import Searcher

from ..arms import Arm, of_settings
from ..errors import SeprayError, UsageError
from ..fault import WorkerLoss, of_loss
from ..identity import plain
from . import stopping
from .background import BackgroundThread
from .ledger import AskedTrial, FixedTrial, Ledger, contains
from .live_trial import LiveTrial
from .outcomes import Outcome, decide
from .storage import Study

TRACEBACK_CHARACTERS = 4000
_IDLE_SECONDS = 1.0


class Listener(Protocol):
    """Hears of every event; must return at once. An error of a listener ends no trial: ``close`` raises it.

    ``finished`` is called from the searcher's own thread, and so is ``handed_out`` before it, for a trial whose end an
    earlier driver has not told. All others are called from the driver's thread.
    """

    def handed_out(
        self,
        number: int,
        seed: int,
        hyperparameters: Mapping[str, Any],
        label: str | None,
        resumed: bool,
        *,
        arm: str = "",
    ) -> None:
        """Hear of a trial that is about to start, or to go on (``resumed``)."""

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Hear of an epoch's result; after a restart the earlier epochs come again."""

    def lost(self, number: int, why: str) -> None:
        """Hear that a trial has lost its worker, and waits for another; ``why`` is a clause."""

    def finished(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """Hear how a trial ended, which Optuna has by now; ``result`` is the trial's last one, empty if it had none."""


class StudySearcher(Searcher):
    """Ray Tune's searcher: asks Optuna for trials, ahead of need, and reports to Optuna how they went.

    A suggestion is ``{"number", "seed", "hyperparameters", "folder", "resume", "protected", "arm", "epochs"}``
    (``epochs`` where the trial has a budget of its own, else None). Give Tune ``num_samples=-1``: the searcher says
    when it has finished.

    A result has ``epoch`` (from 1), ``objective`` (to be minimised), the objectives under their own keys, and
    ``outcome``:

    - empty while the trial goes on; a trial that ends with an empty one was stopped by the scheduler;
    - ``complete``, ``diverged``, ``collapsed``, ``error`` or ``out_of_memory``, with ``reason`` and ``traceback``;
    - ``unsaved`` or ``unprepared``: the trial has not ended, but its checkpoints or its node fail, and the study stops.

    The first result after a restart may carry earlier ones as ``history``. The ``conditions`` of a result, a list of
    one dictionary, become the trial's user attribute ``conditions``, or ``conditions.<epoch>`` after the first epoch.

    The intermediate value of an epoch in Optuna is the objective, or the mean ``objective`` where there are several.
    """

    def __init__(
        self,
        study: Study,
        space: Mapping[str, BaseDistribution],
        objectives: Sequence[str],
        trials: int,
        seed: int,
        *,
        reference_points: Mapping[str, Mapping[str, Any]] | None = None,
        fixed: Sequence[FixedTrial] | None = None,
        listener: Listener | None = None,
        ahead: int = 2,
        folder: str = "trial-{number:05d}",
        patience: float = 120.0,
        arms: Mapping[str, Arm] | None = None,
        retry_failed: bool = False,
        again: Collection[int] = (),
        loss_of: Callable[[str], WorkerLoss] = lambda trial_id: of_loss(""),
    ) -> None:
        """Start the background thread; the first suggestions are being made when this returns.

        Args:
            study: the study, from ``open_study``.
            space: search space: distributions by the names of the hyperparameters.
            objectives: keys of the objectives in a result, in the order of the study's directions.
            trials: total number of trials wanted, counting every state.
            seed: random seed of the study; each trial's own is drawn from it and the trial's number.
            reference_points: hyperparameters by label, tried first, once, and never stopped early.
            fixed: all trials of the study, in order; ``trials`` and ``reference_points`` are then ignored.
            listener: hears of every event.
            ahead: number of suggestions kept ready.
            folder: name of a trial's checkpoint folder, with ``{number}`` for the trial's number.
            patience: seconds for which a failing storage is tried again.
            arms: arms of the study by name; each gets its share of the trials, and reference points have the settings
                of one of them.
            retry_failed: whether trials that failed by their environment under earlier drivers are run again, each
                under a new number.
            again: numbers of further trials that are run again, because what they have trained is lost.
            loss_of: returns why a trial, by Tune's id, has lost its worker.

        Raises:
            UsageError: a reference point lies outside the space.
            ValueError: objectives and directions differ in number.
        """
        super().__init__()
        if len(objectives) != len(study.directions):
            raise ValueError(f"{len(objectives)} objectives for a study with {len(study.directions)} directions")
        for label, point in (reference_points or {}).items():
            own = (arms or {}).get(of_settings(arms or {}, point) or "")
            searched = {k: v for k, v in point.items() if own is None or k not in own.settings}
            _refuse_outside(label, searched, space)
        self._ledger = Ledger(
            study, space, trials, seed, reference_points or {}, fixed, folder, arms, retry_failed, again
        )
        self._loss_of = loss_of
        self._objectives, self._listener, self._ahead = tuple(objectives), listener, ahead
        self._intermediate = objectives[0] if len(objectives) == 1 else "objective"
        self._live: dict[str, LiveTrial] = {}  # by Tune's id; used in the driver's thread only
        self._trials: dict[int, AskedTrial] = {}  # all trials that were handed out, by number
        self._lost: dict[int, LiveTrial] = {}  # trials that wait to be handed out again, by number
        self._stop: SeprayError | None = None  # why the study has to stop
        self._listener_error: Exception | None = None  # the first that the listener has raised
        # Shared with the background thread, under its lock:
        self._ready: deque[AskedTrial] = deque()
        self._told_late: set[int] = set()  # trials whose end an earlier driver had not told; only the thread's
        self._remaining: int | None = None  # trials that the ledger can still give; None: not counted yet
        self._background = BackgroundThread(self._prepare, self._needs_preparing, patience)
        self._background.start()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the config of the next trial, None while none is ready, or FINISHED when all trials have ended.

        It has not finished while a trial runs, which may have to be handed out again. It returns at once, but while no
        trial runs it waits for a suggestion for up to a second; Tune would sleep as long otherwise.

        Raises:
            StorageError: the storage has failed for longer than ``patience``.
            CheckpointError: the checkpoints of a trial can be neither written nor read.
            ExecutorError: the executor has lost the worker of a trial too often.
        """
        if not self._live:
            self._background.wait(lambda: bool(self._ready) or self._remaining == 0, _IDLE_SECONDS)
        self._raise_error()
        with self._background.changed:
            trial = self._ready.popleft() if self._ready else None
            finished = trial is None and self._remaining == 0 and not self._live
            self._background.changed.notify_all()
        if trial is None:
            return str(Searcher.FINISHED) if finished else None
        lost = trial.number in self._lost
        self._live[trial_id] = self._lost.pop(trial.number) if lost else LiveTrial(trial)
        self._trials[trial.number] = trial
        self._announce(trial)
        return {
            "number": trial.number,
            "seed": trial.seed,
            "hyperparameters": dict(trial.hyperparameters),
            "folder": trial.folder,
            "resume": trial.resumed,
            "protected": trial.label is not None,
            "arm": trial.arm,
            "epochs": trial.epochs,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Queue the writing of a result; one of a trial that has ended is ignored."""
        if live := self._live.get(trial_id):
            self._write_epochs(live, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Queue the writing of a trial's outcome, or hand the trial out again where its worker was lost.

        Tune does not call this for a trial that it removes without having started it.
        """
        live = self._live.pop(trial_id, None)
        if live is None:
            return
        if error and self._hand_out_again(live, self._loss_of(trial_id)):
            return
        if result:
            self._write_epochs(live, result)
        if not self._stops_study(live.result):
            self._finish(live.trial.number, decide(live.result, error, self._objectives), live.result)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: all is in the storage."""

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing for Tune to pickle: every start makes a searcher from the storage alone."""
        return {}

    def annotate(self, number: int, key: str, value: Any) -> None:
        """Queue the writing of a user attribute (a JSON value) of a trial; any thread may call this.

        Optuna refuses to change a trial that has ended: the attribute then goes to the study, as
        ``trial-<number>.<key>``.
        """
        self._background.put(lambda: self._ledger.annotate(number, key, value))

    def perturbed(self, number: int, parent: int, epoch: int, hyperparameters: Mapping[str, Any]) -> None:
        """Store that a scheduler (PBT) has given a trial the weights of ``parent`` and these hyperparameters.

        Optuna's own parameters of the trial stay those that it began with; a later start goes on with the last ones.
        """
        trial = self._trials[number]
        trial.perturbations.append({"epoch": epoch, "parent": parent, "hyperparameters": plain(hyperparameters)})
        trial.hyperparameters = dict(hyperparameters)
        self.annotate(number, "perturbations", list(trial.perturbations))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all queued writes are in the storage; return whether they are.

        Raises:
            StorageError: the storage has failed for longer than ``patience``.
        """
        done = self._background.flush(timeout)
        self._raise_error()
        return done

    def close(self) -> None:
        """Write everything that is queued and end the thread.

        Suggestions that were not handed out stay in the storage, and the next start of the study uses them.

        Raises:
            StorageError: the storage has failed for longer than ``patience``.
            CheckpointError: the checkpoints of a trial can be neither written nor read.
            ExecutorError: the executor has lost the worker of a trial too often.
            Exception: the first one that the listener has raised.
        """
        self._background.close()
        self._raise_error()
        if self._listener_error is not None:
            raise self._listener_error

    def _hand_out_again(self, live: LiveTrial, loss: WorkerLoss) -> bool:
        """Hand a trial out again whose worker was lost, unless it is lost too often without an epoch of progress.

        Returns:
            Whether the trial has not ended. Where the executor loses it too often, the study stops.
        """
        live.count(loss)
        if live.is_given_up:
            return False
        if stop := live.too_often(loss):
            self._stop = self._stop or stop
            return True
        self._tell_listener("lost", live.trial.number, loss.why)
        live.trial.resumed = True
        self._lost[live.trial.number] = live
        with self._background.changed:
            self._ready.appendleft(live.trial)
        return True

    def _stops_study(self, result: Mapping[str, Any]) -> bool:
        """Say whether a result means that the study has to stop: the trial's checkpoints fail, or its node does."""
        stop = stopping.by_result(result)
        self._stop = self._stop or stop
        return stop is not None

    def _raise_error(self) -> None:
        """Raise the error that has ended the background thread, or else the one that stops the study."""
        self._background.raise_error()
        if self._stop is not None:
            raise self._stop

    def _finish(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """Queue the end of a trial: write its outcome, then tell the listener, then conclude it in Optuna."""
        traceback = str(result.get("traceback") or "")[-TRACEBACK_CHARACTERS:]
        self._background.put(lambda: self._ledger.write_outcome(number, outcome, traceback))
        self._background.put(lambda: self._tell_listener("finished", number, outcome, result))
        self._background.put(lambda: self._ledger.conclude(number, outcome))

    def _count(self) -> None:
        """Count the trials, and end those whose outcome an earlier driver has written; in the background thread."""
        self._ledger.count()
        for ended, outcome in self._ledger.ended_late:
            if ended.number not in self._told_late:
                self._told_late.add(ended.number)
                self._announce(ended)
                self._tell_listener("finished", ended.number, outcome, {})
            self._ledger.finish(ended.number, outcome)

    def _announce(self, trial: AskedTrial) -> None:
        given = trial.number, trial.seed, trial.hyperparameters, trial.label, trial.resumed
        self._tell_listener("handed_out", *given, arm=trial.arm)

    def _tell_listener(self, event: str, *arguments: Any, **named: Any) -> None:
        """Call a method of the listener, if there is one; keep its first error for ``close``."""
        try:
            if self._listener is not None:
                getattr(self._listener, event)(*arguments, **named)
        except Exception as error:
            self._listener_error = self._listener_error or error

    def _write_epochs(self, live: LiveTrial, result: Mapping[str, Any]) -> None:
        """Queue the epochs of ``result`` and its history that are not in the storage; announce those not heard of."""
        number = live.trial.number
        for each in (*result.get("history", ()), result):
            entry = {key: value for key, value in each.items() if key != "history"}
            live.result = entry
            epoch, value = int(entry.get("epoch") or 0), entry.get(self._intermediate)
            if epoch < 1 or value is None:
                continue
            if epoch not in live.trial.stored_epochs:
                live.trial.stored_epochs.add(epoch)
                self._report(number, epoch, float(value))
            self._write_conditions(number, entry)  # also of an epoch that is trained once more
            if epoch > live.last_epoch:
                live.last_epoch = epoch
                self._tell_listener("epoch", number, entry)

    def _write_conditions(self, number: int, result: Mapping[str, Any]) -> None:
        epoch = int(result.get("epoch") or 0)
        for conditions in result.get("conditions", ()):
            self.annotate(number, "conditions" if epoch == 1 else f"conditions.{epoch}", conditions)

    def _report(self, number: int, epoch: int, value: float) -> None:
        self._background.put(lambda: self._ledger.report(number, epoch, value))

    def _needs_preparing(self) -> bool:
        """Return whether ``_prepare`` has anything to do; called with the lock held."""
        return self._remaining is None or (self._remaining > 0 and len(self._ready) < self._ahead)

    def _prepare(self) -> None:
        """Count the trials, or make one suggestion ready; in the background thread.

        After a failure the trials are counted anew, so that a trial that Optuna has made already is used, and no second
        one is asked for.
        """
        trial = None
        if self._remaining is None:
            self._count()
        elif self._ledger.remaining:  # none if a finite sampler has come to its end since
            self._remaining = None
            trial = self._ledger.next()
        with self._background.changed:
            if trial is not None:
                self._ready.append(trial)
            self._remaining = self._ledger.remaining
            self._background.changed.notify_all()


def _refuse_outside(label: str, point: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> None:
    for name, value in point.items():
        if name not in space:
            raise UsageError(f"reference point {label!r} sets {name!r}, which the search space does not have")
        if not contains(space, name, value):
            raise UsageError(f"reference point {label!r} sets {name} to {value!r}, which is outside {space[name]}")

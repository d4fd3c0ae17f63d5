"""Passes on what happens to the trials of a stage: to MLflow, to the terminal, and to whoever deletes checkpoints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..choices import Objective
from ..console.terminal import StageProgress, console
from ..search.outcomes import Outcome
from ..tracking.tracker import Tracker
from . import runs
from .best_so_far import BestSoFar, history
from .time_left import TimeLeft


class StageEvents:
    """Listener of a stage's searcher (``search.searcher.Listener``); every method returns at once.

    Two threads call it: the driver's, and the searcher's own once Optuna has the outcome of a trial.

    Args:
        stage: name of the stage, a key of ``runs.STAGES``.
        tracker: tracker of the study.
        progress: view of the stage in the terminal.
        discard: function that is called with the number of each trial whose checkpoints nobody will need.
        objectives: values that the study optimises.
        earlier: Optuna's trials of the stage from earlier starts; only those that have ended count.
        time_left: estimates how long the command still takes.

    Attributes:
        discarded: numbers of the trials that ``discard`` was called with.
    """

    def __init__(
        self,
        stage: str,
        tracker: Tracker,
        progress: StageProgress,
        discard: Callable[[int], None],
        objectives: Sequence[Objective],
        earlier: Iterable[FrozenTrial] = (),
        time_left: TimeLeft | None = None,
    ) -> None:
        self.discarded: list[int] = []
        self._lock = threading.Lock()
        self._told_trouble = False
        self._time_left = time_left
        self._stage, self._tracker, self._progress, self._discard = stage, tracker, progress, discard
        self._objectives, self._best = objectives, BestSoFar(objectives)
        self._asked: dict[int, tuple[str | None, Mapping[str, Any], str]] = {}
        before = history(self._best, earlier) if stage == "search" else []
        for (step, metrics), time_ms in before:
            tracker.study_metrics(metrics, step, time_ms, known=True)

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
        """Begin the run of a trial that was handed out, or go on with it."""
        with self._lock:
            self._asked[number] = label, hyperparameters, arm
            self._tracker.trial_started(
                runs.run_label(self._stage, number),
                runs.run_name(self._stage, number, label, hyperparameters, arm),
                runs.run_params(hyperparameters, seed, arm),
                runs.run_tags(self._stage, number, label),
                stage=self._stage,
            )
            if self._time_left:
                self._time_left.handed_out(number)
            self._progress.handed_out(number, seed, hyperparameters, label, resumed, arm=arm)

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Log the measures of an epoch; say once in a stage that checkpoints cannot be written."""
        metrics = {name: float(value) for name, value in result.items() if _is_metric(name, value)}
        label = runs.run_label(self._stage, number)
        with self._lock:
            self._tracker.trial_epoch(label, metrics, int(result["epoch"]), result.get("timestamp_ms"))
            if self._time_left:
                self._time_left.epoch(number, result)
            self._progress.epoch(number, result)
        if (trouble := result.get("checkpoint_trouble")) and not self._told_trouble:
            self._told_trouble = True
            console.print(f"warning: {trouble}; training goes on, and the next one is tried again", soft_wrap=True)

    def lost(self, number: int, why: str) -> None:
        """Say that a trial has lost its worker."""
        told = f"  {runs.STAGES[self._stage]} {number} has lost its worker ({why}), and goes on with another one"
        console.print(told, soft_wrap=True)

    def finished(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """End the run of a trial as the table of outcomes says; only a complete trial keeps its checkpoints."""
        with self._lock:
            self._finished(number, outcome, result)

    def _finished(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        trace, epochs = str(result.get("traceback") or ""), int(result.get("epoch", 0))
        label, hyperparameters, arm = self._asked.pop(number, (None, {}, ""))
        tag, reason, values = outcome.tag, outcome.reason, outcome.values
        self._tracker.trial_finished(
            runs.run_label(self._stage, number),
            "FAILED" if outcome.state is TrialState.FAIL else "FINISHED",
            runs.end_tags(tag, reason, epochs, runs.note(tag, reason, values, self._objectives, epochs, arm)),
            artifacts={"traceback.txt": trace} if trace else {},
            name=runs.finished_name(self._stage, number, tag, values, label, hyperparameters, arm),
        )
        if self._stage == "search":
            for step, metrics in self._best.ended(number, values if tag == "complete" else None):
                self._tracker.study_metrics(metrics, step, result.get("timestamp_ms"))
        if self._time_left:
            self._time_left.finished(number)
        self._progress.finished(number, outcome, result)
        if outcome.tag != "complete":
            self.discarded.append(number)
            self._discard(number)


def _is_metric(name: str, value: object) -> bool:
    logged = name.startswith(("train/", "validation/")) or name in ("objective", "epoch_seconds")
    return logged and isinstance(value, float)

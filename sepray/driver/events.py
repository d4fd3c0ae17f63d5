"""Passes on what happens to the trials of a stage: to MLflow, to the terminal, and to whoever deletes checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import TrialState

from ..console.terminal import Progress
from ..search.outcomes import Outcome
from ..tracking.tracker import Tracker
from . import runs


class StageEvents:
    """Listener of a stage's searcher (``search.searcher.Listener``); every method returns at once.

    Args:
        stage: ``"search"`` or ``"finals"``.
        tracker: tracker of the study.
        progress: view of the stage in the terminal.
        discard: function that is called with the number of each trial whose checkpoints nobody will need.

    Attributes:
        discarded: numbers of the trials that ``discard`` was called with.
    """

    def __init__(self, stage: str, tracker: Tracker, progress: Progress, discard: Callable[[int], None]) -> None:
        self.discarded: list[int] = []
        self._stage, self._tracker, self._progress, self._discard = stage, tracker, progress, discard

    def asked(
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
        self._tracker.trial_started(
            runs.run_label(self._stage, number),
            runs.run_name(self._stage, number, label, hyperparameters, arm),
            runs.run_params(hyperparameters, seed, arm),
            runs.run_tags(self._stage, number, label),
            stage=self._stage,
        )
        self._progress.asked(number, seed, hyperparameters, label, resumed, arm=arm)

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Log the measures of an epoch."""
        metrics = {name: float(value) for name, value in result.items() if _is_metric(name, value)}
        label = runs.run_label(self._stage, number)
        self._tracker.trial_epoch(label, metrics, int(result["epoch"]), result.get("timestamp_ms"))
        self._progress.epoch(number, result)

    def finished(self, number: int, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """End the run of a trial as the table of outcomes says; only a complete trial keeps its checkpoints."""
        trace = str(result.get("traceback") or "")
        self._tracker.trial_finished(
            runs.run_label(self._stage, number),
            "FAILED" if outcome.state is TrialState.FAIL else "FINISHED",
            runs.end_tags(outcome.tag, outcome.reason, int(result.get("epoch", 0))),
            artifacts={"traceback.txt": trace} if trace else {},
        )
        self._progress.finished(number, outcome, result)
        if outcome.tag != "complete":
            self.discarded.append(number)
            self._discard(number)


def _is_metric(name: str, value: object) -> bool:
    logged = name.startswith(("train/", "validation/")) or name in ("objective", "epoch_seconds")
    return logged and isinstance(value, float)

"""Estimates how long a command still takes: the search, the retrainings after it, and the end of the study.

The estimate is the seconds that an epoch has taken so far, times the epochs that are still to be trained, over the
trials that run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from .prepared import PreparedStudy
from .retraining_plan import most_epochs

END_SECONDS = 40.0
"""Seconds that the end of a study is taken to last: scores on the test split, packaging and its check, the report.

This is an assumption, and about what small networks take.
"""


class TimeLeft:
    """Hears how the trials of each stage go, and says how many seconds are left.

    A trial of the search that has not ended is expected to take the mean epochs of those that have. One trial of the
    whole budget is counted with these, because trials that are stopped early end first.

    Args:
        prepared: the study.
        slots: number of trials that run at once.
        after: trainings of full length that follow a stage other than the search.
        end: seconds of what follows the last training.
    """

    def __init__(self, prepared: PreparedStudy, slots: int, after: int = 0, end: float = END_SECONDS) -> None:
        self._prepared, self._slots = prepared, slots
        self._after, self._end = after, end
        self._budget = prepared.spec.budget.max_epochs
        self._seconds, self._trainings = 0.0, 0  # seconds of all epochs so far, and separators that these trained
        self._running: dict[int, int] = {}  # number -> epochs trained
        self._ended: dict[int, int] = {}
        self._total, self._members = 0, 1  # trials of the stage, separators of each
        self._later = 0  # epochs of all trainings after the stage
        self._longest: float = self._budget

    def begin(
        self, stage: str, total: int, members: int, ended: Iterable[FrozenTrial], epochs: float | None = None
    ) -> None:
        """Begin a stage.

        Args:
            stage: name of the stage.
            total: number of its trials.
            members: separators trained per trial.
            ended: its trials in Optuna that have ended.
            epochs: mean budget of its trials, where some have one of their own; None: that of the study.
        """
        self._longest = epochs or self._budget
        self._running, self._ended = {}, {trial.number: trial.last_step or 0 for trial in ended}
        self._total, self._members = total, members
        after = [self._budget] * self._after
        self._later = sum(most_epochs(self._prepared) if stage == "search" else after)

    def at_once(self, slots: int) -> None:
        """Hear how many trials run at once from now on."""
        self._slots = max(1, slots)

    def handed_out(self, number: int) -> None:
        """Hear of a trial that starts."""
        self._running[number] = 0

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        """Hear of an epoch's result."""
        if number in self._running:
            self._running[number] = int(result["epoch"])
        if (seconds := result.get("epoch_seconds")) is not None:
            self._seconds += float(seconds)
            self._trainings += self._members

    def finished(self, number: int) -> None:
        """Hear of a trial that ended."""
        self._ended[number] = self._running.pop(number, 0)

    def seconds(self) -> float | None:
        """Return the seconds that are left of the whole command; None before an epoch has been trained."""
        if not self._trainings:
            return None
        longest = (self._budget + sum(self._ended.values())) / (1 + len(self._ended)) if self._later else self._longest
        trained = list(self._running.values())  # copied at once: the terminal's thread asks while the driver's writes
        running = [max(1.0, longest - epochs) for epochs in trained]
        waiting = max(0, self._total - len(self._ended) - len(running))
        stage = max((sum(running) + waiting * longest) / self._slots, max(running, default=0.0)) * self._members
        later = self._later / self._slots
        return self._seconds / self._trainings * (stage + later) + self._end

"""The best value of each objective by trial, which the study's own MLflow run charts."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial

from ..choices import Objective
from ..search.outcomes import is_feasible

BestStep = tuple[int, dict[str, float]]
"""Number of a trial, and the metrics of that step."""


class BestSoFar:
    """Gives a step for each trial: the best value of each objective among the trials up to that number.

    A step is given once all trials up to it have ended, so it is the same whenever it is worked out. No step is worse
    than one before it. Trials that were stopped, failed or collapsed have no value. With several objectives each has
    its own best, which need not be of the same trial.

    Args:
        objectives: values that the study optimises, in the order of a trial's values.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._signs = {metric(objective): objective.sign for objective in objectives}
        self._ended: dict[int, Sequence[float]] = {}
        self._next = 0
        self._best: dict[str, float] = {}

    def ended(self, number: int, values: Sequence[float] | None) -> list[BestStep]:
        """Take a trial that has ended; return the steps that are complete now.

        Args:
            number: number of the trial.
            values: values of its objectives; None for a trial that has none to compare.
        """
        self._ended[number] = values or ()
        rows = []
        while self._next in self._ended:
            for (name, sign), value in zip(self._signs.items(), self._ended.pop(self._next), strict=False):
                self._best[name] = sign * min(sign * value, sign * self._best.get(name, value))
            if self._best:
                rows.append((self._next, dict(self._best)))
            self._next += 1
        return rows


def metric(objective: Objective) -> str:
    """Return the name of the metric that charts an objective, e.g. ``best so far/fetal relative_l2``."""
    return "best so far/" + objective.key.removeprefix("validation/").replace("/", " ")


def compared(trial: FrozenTrial) -> Sequence[float] | None:
    """Return the values of a trial that ran its whole budget and violated no constraint; None for any other.

    Optuna gives a trial that was stopped early its last intermediate value, so values alone do not say how it ended.
    """
    return trial.values if is_feasible(trial) else None


def history(best: BestSoFar, trials: Iterable[FrozenTrial]) -> list[tuple[BestStep, int]]:
    """Give all trials that have ended to ``best``; return the steps, each with its time in milliseconds since 1970."""
    found, latest = [], 0
    for trial in sorted((t for t in trials if t.state.is_finished()), key=lambda t: t.number):
        latest = max(latest, milliseconds(trial.datetime_complete))
        found += [(row, latest) for row in best.ended(trial.number, compared(trial))]
    return found


def milliseconds(moment: datetime.datetime | None) -> int:
    """Return a time in milliseconds since 1970; 0 for none."""
    return 0 if moment is None else round(moment.timestamp() * 1000)

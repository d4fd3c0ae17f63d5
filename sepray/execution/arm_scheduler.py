"""Early stopping in a study with arms: every trial is judged among those of its own arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

Curve = Sequence[tuple[int, float]]
"""Pairs (epoch, objective) of one trial, epochs ascending."""
History = Iterable[tuple[int, Curve]]
"""Pairs (number, curve), one for every trial of the study that has reported."""


class ByArm(TrialScheduler):
    """Judges a trial among those of its own arm (``trial.config["arm"]``): a scheduler for each arm.

    So no arm is starved: the best trial of each goes on, however good other arms are.

    Args:
        make: makes the scheduler of an arm, from the history of the arm's trials.
        history: curves of all trials that have reported before.
        arms: number of a trial -> its arm, of all trials in the history.
    """

    def __init__(self, make: Callable[[History], TrialScheduler], history: History, arms: Mapping[int, str]) -> None:
        super().__init__()
        self._make = make
        self._schedulers: dict[str, TrialScheduler] = {}
        curves: dict[str, list[tuple[int, Curve]]] = defaultdict(list)
        for number, curve in history:
            curves[arms.get(number, "")].append((number, curve))
        for arm, own in curves.items():
            self._schedulers[arm] = make(own)

    def _of(self, trial: Trial) -> TrialScheduler:
        arm = str(trial.config.get("arm") or "")
        if arm not in self._schedulers:
            self._schedulers[arm] = self._make(())
        return self._schedulers[arm]

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Add a trial to its arm."""
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Tell the arm of a trial that was lost."""
        self._of(trial).on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Let the scheduler of the trial's arm decide."""
        return str(self._of(trial).on_trial_result(tune_controller, trial, dict(result)))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Tell the arm of a trial that has ended."""
        self._of(trial).on_trial_complete(tune_controller, trial, dict(result))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Remove a trial from its arm."""
        self._of(trial).on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the trial that the first arm with a choice chooses."""
        chosen = (scheduler.choose_trial_to_run(tune_controller) for scheduler in self._schedulers.values())
        return next((trial for trial in chosen if trial is not None), None)

    def debug_string(self) -> str:
        """Return what each arm's scheduler says of itself."""
        return "; ".join(f"{arm}: {scheduler.debug_string()}" for arm, scheduler in self._schedulers.items())

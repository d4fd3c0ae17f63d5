"""Reads the trials and results of which a report is made, from the Optuna storage and the study's folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from ..choices import MEASURES, Objective, guide, guide_loss, guide_words
from ..contracts import TaskData
from ..execution import checkpoint
from ..scoring.answers import Answer
from ..search.outcomes import has_failed, is_feasible, outcome, standing
from ..spec import choosing
from ..spec.folder import checked_uid, checkpoint_root, trial_folder
from ..spec.study import StudySpec
from .kept_result import read_registration, read_result
from .wording import objective_axis, objective_words, unit


def ending(trial: FrozenTrial) -> str:
    """Return how a trial ended, as a key of ``wording.OUTCOMES``: all failures are ``failed``."""
    return "failed" if has_failed(trial) else outcome(trial)


def settings(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return all hyperparameters that a trial was given, also those that its arm fixes."""
    given: Mapping[str, Any] = trial.user_attrs.get("hyperparameters", trial.params)
    return given


@dataclass(frozen=True)
class StudyResults:
    """The trials and results of a study as its stores have them.

    Attributes:
        spec: the study's description.
        objectives: objectives of the study, in the order of a trial's values.
        trials: Optuna's trials of the search in order of their numbers, without those that wait to start.
        finals: Optuna's trials of the retrainings of the best configurations, without those that were run again.
        folder: the study's local folder.
        checkpoints: path or URI of the folder with the checkpoints of all trials.
        data: the task's data; None if it cannot be loaded on this machine.
        result: the final result (``result.json``); None if the study is not finished.
        registration: the outcome of the registration: ``sentence`` and ``commands``; empty if there was none.
    """

    spec: StudySpec
    objectives: tuple[Objective, ...]
    trials: Sequence[FrozenTrial]
    finals: Sequence[FrozenTrial]
    folder: Path
    checkpoints: str
    data: TaskData | None = None
    result: Mapping[str, Any] | None = None
    registration: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, spec: StudySpec, study: optuna.Study, finals: optuna.Study | None, folder: Path, data: TaskData | None
    ) -> StudyResults:
        """Read the results of a study.

        Args:
            spec: the study's description.
            study: Optuna study of the search.
            finals: Optuna study of the retrainings, if there is one.
            folder: the study's local folder.
            data: the task's data, if it can be loaded.
        """
        keys = study.user_attrs["fingerprint"]["objectives"]
        return cls(
            spec=spec,
            objectives=tuple(Objective(key, direction) for key, direction in keys.items()),
            trials=_started(study),
            finals=standing(_started(finals)) if finals is not None else [],
            folder=folder,
            checkpoints=checkpoint_root(
                spec.stores.storage_path, spec.name, checked_uid(study.user_attrs["uid"]), folder
            ),
            data=data,
            result=read_result(folder),
            registration=read_registration(folder),
        )

    @cached_property
    def axis(self) -> str:
        """Label of an axis that shows ``value``."""
        if len(self.objectives) == 1:
            return objective_axis(self.objectives[0])
        return f"{self.words} ({unit(self.objectives[0].key)})"

    @cached_property
    def words(self) -> str:
        """Name of ``value`` in a sentence."""
        if len(self.objectives) == 1:
            return objective_words(self.objectives[0])
        return guide_words(self.objectives)

    @cached_property
    def sign(self) -> int:
        """Sign that makes a loss of ``value``: 1 if less is better, -1 if more is better."""
        return self.objectives[0].sign

    @cached_property
    def in_percent(self) -> bool:
        """Say whether differences of ``value`` can be told in percent."""
        return all(MEASURES[o.measure].in_percent for o in guide(self.objectives))

    @cached_property
    def answer(self) -> Answer | None:
        """The study's answer; None without a result, and for the result of an older version."""
        kept = None if self.result is None else self.result.get("answer")
        return Answer.restored(kept) if kept else None

    @cached_property
    def seed_spread(self) -> float | None:
        """Largest range of ``value`` over retrainings that differ in their seed alone; None if there are not two."""
        groups: dict[str, list[float]] = {}
        for trial in self.finals:
            if is_feasible(trial) and "role" in trial.user_attrs:
                groups.setdefault(trial.user_attrs["role"], []).append(self.value(trial))
        return max((float(np.ptp(values)) for values in groups.values() if len(values) > 1), default=None)

    @cached_property
    def feasible(self) -> list[FrozenTrial]:
        """Trials of the search that ran their whole budget and violated no constraint."""
        return [t for t in self.trials if is_feasible(t)]

    @cached_property
    def ranked(self) -> list[FrozenTrial]:
        """Feasible trials, the best first; of equally good ones, the first.

        With several objectives the study's rule (``--choose``) says which is better.
        """
        if len(self.objectives) == 1:
            return sorted(self.feasible, key=lambda t: (self.sign * self.value(t), t.number))
        rule = choosing.rule(self.spec.choose, self.objectives, self._losses())
        return sorted(self.feasible, key=lambda t: (rule.loss(t.values), t.number))

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The best feasible trial, the first of ``ranked``; None if no trial is feasible."""
        return self.ranked[0] if self.ranked else None

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of trials of the search by outcome."""
        return Counter(ending(t) for t in self.trials)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources; without the data, those of the final result."""
        if self.data is not None:
            return self.data.signal.sources
        if self.result is None or not self.result["rows"]:
            return ()
        # Columns of objectives come after those of the sources and their mean.
        names = list(self.result["rows"][0]["values"])
        return tuple(names[: names.index("mean")])

    def value(self, trial: FrozenTrial) -> float:
        """Return the value of a complete trial: its objective, or the mean of the guiding ones if there are several."""
        if len(self.objectives) == 1:
            return float(trial.values[0])
        values = {o.key: v for o, v in zip(self.objectives, trial.values, strict=True)}
        return self.sign * guide_loss(self.objectives, values)

    def curve(self, trial: FrozenTrial) -> list[tuple[int, float]]:
        """Return the epochs that a trial has reported, with their values; values that are not finite are left out."""
        # With several objectives the storage holds the loss (choices.guide_loss).
        sign = 1 if len(self.objectives) == 1 else self.sign
        return [(e, sign * v) for e, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)]

    def front(self) -> list[FrozenTrial]:
        """Return the finished trials that no other one beats in all objectives, in the order of their values."""
        if not self.feasible:
            return []
        ranks = choosing.ranks(self._losses(), 1)
        kept = [trial for trial, rank in zip(self.feasible, ranks, strict=True) if rank == 0]
        return sorted(kept, key=lambda t: (t.values, t.number))

    def _losses(self) -> NDArray[np.float64]:
        return np.array([[o.sign * v for o, v in zip(self.objectives, t.values, strict=True)] for t in self.feasible])

    def last_value(self, trial: FrozenTrial) -> float | None:
        """Return the newest finite value that a trial reported; None if there is none."""
        curve = self.curve(trial)
        return curve[-1][1] if curve else None

    def value_so_far(self, trial: FrozenTrial) -> float | None:
        """Return the value of a complete trial, and the newest finite value of any other trial."""
        return self.value(trial) if trial.values and outcome(trial) != "pruned" else self.last_value(trial)

    def trial_folder(self, stage: str, number: int) -> str:
        """Return the path or URI of a trial's checkpoints; ``stage`` is ``"search"`` or ``"finals"``."""
        return trial_folder(self.checkpoints, stage, number)

    def history(self, stage: str, number: int) -> list[dict[str, Any]]:
        """Return the results of every epoch of a trial, oldest first; empty if the trial has no checkpoint."""
        newest = checkpoint.newest(self.trial_folder(stage, number))
        return list(newest.metadata.get("history", ())) if newest else []


def _started(study: optuna.Study) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if t.state is not TrialState.WAITING]

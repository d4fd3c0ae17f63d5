"""What a report is made of: a study's trials and result, read from its own stores."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from ..choices import MEASURES
from ..console.terminal import FAILED
from ..contracts import TaskData
from ..execution import checkpoint
from ..spec.study import StudySpec

OUTCOMES = {
    "complete": "ran its whole budget",
    "pruned": "stopped early",
    "collapsed": "collapsed",
    "failed": "failed",
    "unfinished": "not finished",
}
"""What became of a trial, as the report tells it -> the words for it."""


@dataclass(frozen=True)
class Objective:
    """What was optimised: its key without ``validation/``, e.g. ``fetal/relative_l2``, and its direction."""

    key: str
    direction: str

    @property
    def sign(self) -> int:
        """1 where less is better, -1 where more is."""
        return 1 if self.direction == "minimize" else -1

    @property
    def words(self) -> str:
        """The objective in words, e.g. ``fetal relative L2 error``."""
        source, _, metric = self.key.rpartition("/")
        return f"{source} {words(metric)}".strip()

    @property
    def axis(self) -> str:
        """The objective as an axis says it, with its unit."""
        return f"{self.words} ({unit(self.key)})"


def words(metric: str) -> str:
    """Return a measure in words."""
    if metric.startswith("relative_"):
        return f"relative {metric.removeprefix('relative_').replace('linf', 'L∞').replace('l', 'L')} error"
    return metric.replace("_", "-").upper() if len(metric) < 8 else metric.replace("_", " ")


def unit(key: str) -> str:
    """Return the unit of a measure; a ratio has none of its own."""
    metric = MEASURES.get(key.rpartition("/")[2])
    return (metric.unit if metric else "") or "ratio"


def number(value: float) -> str:
    """Return a number for a sentence, with four significant digits."""
    return f"{value:.4g}"


def plural(count: int, noun: str) -> str:
    """Return a count of things."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def outcome(trial: FrozenTrial) -> str:
    """Return what became of a trial: a key of ``OUTCOMES``."""
    tag = trial.user_attrs.get("outcome", {}).get("tag")
    if tag in FAILED or trial.state is TrialState.FAIL:
        return "failed"
    if not trial.state.is_finished():
        return "unfinished"
    return tag if tag in OUTCOMES else trial.state.name.lower()


@dataclass(frozen=True)
class Record:
    """A study as the report sees it.

    Attributes:
        spec: the study's description.
        objectives: in the order of a trial's values.
        search: the Optuna records of its trials, by number, those that wait left out.
        finals: those of the retrainings.
        folder: of the study's local files.
        checkpoints: path or URI below which trials have theirs, by stage.
        data: of the task; None where it cannot be had here.
        result: of the end of the study; None where it has not come to its end.
        registration: what became of the champion: ``sentence`` and ``commands``.
    """

    spec: StudySpec
    objectives: tuple[Objective, ...]
    search: Sequence[FrozenTrial]
    finals: Sequence[FrozenTrial]
    folder: Path
    checkpoints: str
    data: TaskData | None = None
    result: Mapping[str, Any] | None = None
    registration: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, spec: StudySpec, study: optuna.Study, finals: optuna.Study | None, folder: Path, data: TaskData | None
    ) -> Record:
        """Return the record of a study from its Optuna studies and its folder."""
        keys = study.user_attrs["fingerprint"]["objectives"]
        remote = "://" in spec.stores.storage_path
        trials = [
            [] if one is None else [t for t in one.get_trials(deepcopy=False) if t.state is not TrialState.WAITING]
            for one in (study, finals)
        ]
        return cls(
            spec=spec,
            objectives=tuple(Objective(k.removeprefix("validation/"), d) for k, d in keys.items()),
            search=trials[0],
            finals=trials[1],
            folder=folder,
            checkpoints=f"{spec.stores.storage_path}/{spec.name}/{study.user_attrs['uid']}" if remote else str(folder),
            data=data,
            result=_json(folder / "result.json"),
            registration=_json(folder / "registration.json") or {},
        )

    @cached_property
    def axis(self) -> str:
        """What an axis of ``value`` says."""
        return self.objectives[0].axis if len(self.objectives) == 1 else "mean objective (less is better)"

    @cached_property
    def words(self) -> str:
        """What ``value`` is, in a sentence."""
        return self.objectives[0].words if len(self.objectives) == 1 else "mean objective"

    @cached_property
    def sign(self) -> int:
        """1 where a lesser ``value`` is better, -1 where a greater one is."""
        return self.objectives[0].sign if len(self.objectives) == 1 else 1

    @cached_property
    def sound(self) -> list[FrozenTrial]:
        """Trials of the search that ran their whole budget and broke no constraint."""
        return [t for t in self.search if is_sound(t)]

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The best of them."""
        return min(self.sound, key=lambda t: (self.sign * self.value(t), t.number), default=None)

    @cached_property
    def counts(self) -> Counter[str]:
        """How many trials of the search had which outcome."""
        return Counter(outcome(t) for t in self.search)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, as far as they are known."""
        if self.data is not None:
            return self.data.signal.sources
        rows = self.result["rows"] if self.result else []
        return tuple(name for name in rows[0]["values"] if name != "mean") if rows else ()

    def value(self, trial: FrozenTrial) -> float:
        """Return the value of a complete trial: its objective, or the mean of several, all to be minimised."""
        if len(self.objectives) == 1:
            return float(trial.values[0])
        return float(np.mean([o.sign * v for o, v in zip(self.objectives, trial.values, strict=True)]))

    def last(self, trial: FrozenTrial) -> float | None:
        """Return the newest finite value that a trial reported."""
        finite = [v for _, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)]
        return finite[-1] if finite else None

    def reached(self, trial: FrozenTrial) -> float | None:
        """Return the value of a complete trial, or the newest one that any other trial reported."""
        return self.value(trial) if trial.values and outcome(trial) != "pruned" else self.last(trial)

    def trial_folder(self, stage: str, number: int) -> str:
        """Return the path or URI of a trial's checkpoints."""
        return f"{self.checkpoints}/{stage}/trial-{number:05d}"

    def history(self, stage: str, number: int) -> list[dict[str, Any]]:
        """Return every epoch's measures of a trial that has a checkpoint, oldest first; else nothing."""
        found = checkpoint.newest(self.trial_folder(stage, number))
        return list(found.metadata.get("history", ())) if found else []


def is_sound(trial: FrozenTrial) -> bool:
    """Whether a trial ran its whole budget and broke no constraint."""
    return trial.state is TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())


def name_of(trial: FrozenTrial) -> str:
    """Return what a trial is called in a sentence."""
    label = trial.user_attrs.get("label")
    return f"trial {trial.number}" + (f" ({label})" if label else "")


def _json(path: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found

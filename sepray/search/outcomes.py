"""Outcomes of trials: decided from a trial's last result, and read again of a trial that has ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..choices import FAILED
from ..fault import LOSSES_WITHOUT_PROGRESS, LOST

UNFINISHED = "unfinished"
"""Outcome of a trial that waits, runs, or was interrupted."""
_FAILURES = ("diverged", "error", "out_of_memory")


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        state: Optuna's state of the trial.
        values: values of the objectives, where the trial is COMPLETE; else None.
        reason: why it ended, in one line; empty for a trial that ran its whole budget.
        tag: ``complete``, ``pruned``, ``diverged``, ``collapsed``, ``error``, ``out_of_memory`` or ``lost``.
        constraint: more than 0 for a collapsed trial, which Optuna's samplers then avoid; less for another COMPLETE
            one; None for all others.
        refused: whether the error that ended the trial is one that the user can put right (``fault.is_bad_input``).
    """

    state: TrialState
    values: tuple[float, ...] | None
    reason: str
    tag: str
    constraint: float | None = None
    refused: bool = False


def decide(result: Mapping[str, Any] | None, error: bool, objectives: Sequence[str]) -> Outcome:
    """Return how a trial ended.

    Args:
        result: last result of the trial; None if there was none. Its ``outcome`` comes from the trainable: empty
            means that the trial did not end by itself, so the scheduler has stopped it.
        error: whether the trial is given up, because its worker was lost again and again without progress.
        objectives: keys of the objectives in a result.
    """
    if error:
        why = f"the worker was lost {LOSSES_WITHOUT_PROGRESS} times in a row without an epoch of progress"
        return Outcome(TrialState.FAIL, None, why, LOST)
    result = result or {}
    tag, reason = result.get("outcome") or "pruned", str(result.get("reason") or "")
    if tag in _FAILURES:
        refused = bool(result.get("refused"))
        return Outcome(TrialState.FAIL, None, reason or tag.replace("_", " "), tag, refused=refused)
    if tag not in ("complete", "collapsed", "pruned"):
        return Outcome(TrialState.FAIL, None, f"unknown outcome {tag!r}", "error")
    for key in objectives:
        value = result.get(key)
        if tag != "pruned" and value is None:
            return Outcome(TrialState.FAIL, None, f"the last result has no {key}", "error")
        if value is not None and not math.isfinite(value):
            at = f" at epoch {result['epoch']}" if "epoch" in result else ""
            return Outcome(TrialState.FAIL, None, reason or f"{key} is {value}{at}", "diverged")
    if tag == "pruned":
        at = f" at epoch {result['epoch']}" if "epoch" in result else ""
        return Outcome(TrialState.PRUNED, None, f"stopped by the scheduler{at}", tag)
    values = tuple(float(result[key]) for key in objectives)
    # Samplers that model constraints need a value for every complete trial, not for the collapsed ones alone.
    return Outcome(TrialState.COMPLETE, values, reason, tag, 1.0 if tag == "collapsed" else -1.0)


def outcome(trial: FrozenTrial) -> str:
    """Return how a stored trial ended.

    Returns:
        ``complete``, ``pruned`` (stopped early), ``collapsed``, one of ``choices.FAILED``, or ``unfinished``.
    """
    if not trial.state.is_finished():
        return UNFINISHED
    tag = trial.user_attrs.get("outcome", {}).get("tag")
    return str(tag) if tag else {TrialState.FAIL: "error"}.get(trial.state, trial.state.name.lower())


def replaced(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that another one of these trials repeats."""
    return {int(t.user_attrs["retry_of"]) for t in trials if "retry_of" in t.user_attrs}


def standing(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that no other one of these trials repeats."""
    trials = list(trials)
    others = replaced(trials)
    return [trial for trial in trials if trial.number not in others]


def has_failed(trial: FrozenTrial) -> bool:
    """Say whether a trial ended in an error, a lost worker, or a value that is not finite."""
    return outcome(trial) in FAILED


def reason(trial: FrozenTrial) -> str:
    """Return why a trial ended as it did, in one line; empty for one that ran its whole budget."""
    told = trial.user_attrs
    return str(told.get("reason") or told.get("outcome", {}).get("reason", ""))


def is_refused(trial: FrozenTrial) -> bool:
    """Say whether a trial ended in an error that the user can put right; trials of older versions do not tell."""
    return bool(trial.user_attrs.get("outcome", {}).get("refused"))


def is_feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial ran its whole budget and violated no constraint."""
    return trial.state is TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())

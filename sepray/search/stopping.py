"""Errors that stop a study with its trials unfinished; each says why in one line, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SeprayError
from ..fault import LOSSES_OF_THE_EXECUTOR, UNPREPARED, UNSAVED, CheckpointError, ExecutorError, NodeError, WorkerLoss

_STOPS = "So the study stops, and no trial is lost"
_NODE = f"{_STOPS}: give that node what it lacks, or take it out of the cluster, and the same command goes on"


def by_result(result: Mapping[str, Any]) -> SeprayError | None:
    """Return the error of a result that stops the study: checkpoints or a node fail; None for any other result."""
    reason = result.get("reason")
    if result.get("outcome") == UNSAVED:
        return CheckpointError(f"{reason}. {_STOPS}; the same command goes on once it works again")
    return NodeError(f"{reason}. {_NODE}") if result.get("outcome") == UNPREPARED else None


def by_loss(number: int, loss: WorkerLoss, count: int) -> SeprayError | None:
    """Return the error of a lost worker that stops the study; None if its trial goes on.

    Args:
        number: number of the trial.
        loss: why it was lost.
        count: how often in a row the executor has lost it without an epoch of progress.
    """
    if loss.ends_study:
        return NodeError(f"trial {number} was not begun: {loss.why}. {_NODE}")
    if count < LOSSES_OF_THE_EXECUTOR:
        return None
    return ExecutorError(
        f"trial {number} has lost its worker {count} times in a row without an epoch of progress: {loss.why}. "
        f"{_STOPS}; the same command goes on. Give trials more room before: a smaller --concurrency, smaller batches, "
        "nodes with more memory"
    )

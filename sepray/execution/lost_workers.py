"""Finds out why trials have lost their workers: Tune tells searchers nothing of it, so Ray is asked."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial

from .. import fault
from .unsaved import UnsavedCallback

_UNAVAILABLE = re.compile(r"The actor ([0-9a-f]+) is unavailable")
_LET_GO = "all references to the actor were removed"
"""Part of Ray's message where Tune has dropped an actor that did not answer, which is no cause of the loss."""


class WorkerLossWatch(UnsavedCallback):
    """Knows the trials of a Tune experiment, and the error with which each has ended."""

    def __init__(self) -> None:
        self._trials: list[Trial] = []

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Keep the trials, for ``of``."""
        self._trials = trials

    def of(self, trial_id: str) -> fault.WorkerLoss:
        """Return why a trial, by Tune's id, has lost its worker."""
        return fault.of_loss(next((_message(trial) for trial in self._trials if trial.trial_id == trial_id), ""))


def _message(trial: Trial) -> str:
    """Return the message of Ray's error of a trial's actor, from where Tune has written it; empty if there is none.

    Where an actor has not answered, Ray may know the cause by now.
    """
    try:
        message = Path(trial.error_file).read_text(encoding="utf-8")
    except (OSError, TypeError):  # TypeError: Tune has written no message
        return ""
    unanswering = _UNAVAILABLE.search(message)
    if unanswering and "SystemExit" not in message:
        with contextlib.suppress(Exception):  # Ray does not know the actor, or is another version
            cause = ray._private.state.actors(unanswering[1])["DeathCause"]
            known = str(cause.actor_died_error_context.error_message)
            return message if _LET_GO in known else known or message
    return message

"""A trial that Ray Tune has been given and that has not ended, and how often it may lose its worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import SeprayError
from ..fault import LOSSES_WITHOUT_PROGRESS, Whose, WorkerLoss
from . import stopping
from .ledger import AskedTrial


@dataclass
class LiveTrial:
    """A trial that Tune has been given and has not ended.

    A trial whose worker was lost is given to Tune again, under another id of Tune's and with the same ``LiveTrial``.
    """

    trial: AskedTrial
    last_epoch: int = 0  # last epoch that the listener has heard of
    losses: int = 0  # ends of the process in a row, without a new epoch in between
    losses_of_executor: int = 0  # losses of the worker by the executor in a row, without a new epoch in between
    last_loss: int = 0  # ``last_epoch`` at the last loss
    result: dict[str, Any] = field(default_factory=dict)  # last result since Tune was given the trial

    def count(self, loss: WorkerLoss) -> None:
        """Count a loss of the trial's worker; losses with an epoch of progress in between are forgotten."""
        if self.last_epoch > self.last_loss:
            self.losses = self.losses_of_executor = 0
        self.last_loss = self.last_epoch
        if loss.whose is Whose.EXECUTOR:
            self.losses_of_executor += 1
        else:
            self.losses += 1

    @property
    def is_given_up(self) -> bool:
        """Say whether the trial's process has ended so often that the trial fails."""
        return self.losses >= LOSSES_WITHOUT_PROGRESS

    def too_often(self, loss: WorkerLoss) -> SeprayError | None:
        """Return the error that stops the study if the worker was lost too often, or is sure to be lost again."""
        return stopping.by_loss(self.trial.number, loss, self.losses_of_executor)

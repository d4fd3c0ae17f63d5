"""Notices trials whose epoch does not end: the driver tells the user, and with a time limit a worker ends itself."""

from __future__ import annotations

import contextlib
import faulthandler
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.tune.experiment import Trial

from .unsaved import UnsavedCallback

_LEAST_SECONDS = 60.0
_FACTOR = 10.0
_UNKNOWN_SECONDS = 600.0  # before any epoch of the stage has ended
_COUNTED = 50  # last epochs that say what is usual
_POLL_SECONDS = 1.0


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process, a worker, where the context takes longer than ``seconds``; 0: never.

    The stacks of all threads go to the worker's standard error, which Ray keeps in its logs. A thread in C watches, so
    that code which never gives the interpreter back is ended too.
    """
    if not seconds:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@dataclass(frozen=True)
class Hang:
    """A trial that has reported nothing for much longer than an epoch usually takes.

    Attributes:
        number: number of the trial.
        seconds: seconds since the trial's last report, or since it was started.
        usual: median seconds of an epoch; None before one has ended.
        pid: process id of its worker; None if that is not known.
        node: address of the node on which its worker runs; empty if that is not known.
    """

    number: int
    seconds: float
    usual: float | None
    pid: int | None
    node: str


class HangWatch(UnsavedCallback):
    """Reports each epoch once that takes longer than 60 s and ten times as long as usual.

    Args:
        tell: called with the hang, in the driver's thread.
        clock: returns seconds.
    """

    def __init__(self, tell: Callable[[Hang], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._since: dict[str, float] = {}  # by Tune's id: time of the last report, or of the start
        self._told: set[str] = set()
        self._seconds: deque[float] = deque(maxlen=_COUNTED)
        self._polled = clock()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Begin to wait for a trial's first epoch."""
        self._heard(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Begin to wait for a trial's next epoch."""
        self._heard(trial)
        if "epoch_seconds" in result:
            self._seconds.append(float(result["epoch_seconds"]))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look for trials that have not reported for long."""
        now = self._clock()
        if now - self._polled < _POLL_SECONDS:
            return
        self._polled = now
        usual = statistics.median(self._seconds) if self._seconds else None
        longest = _UNKNOWN_SECONDS if usual is None else max(_LEAST_SECONDS, _FACTOR * usual)
        for trial in trials:
            if trial.status != Trial.RUNNING:
                self._since.pop(trial.trial_id, None)
                continue
            waited = now - self._since.setdefault(trial.trial_id, now)
            if waited > longest and trial.trial_id not in self._told:
                self._told.add(trial.trial_id)
                self._tell(Hang(int(trial.config["number"]), waited, usual, *_worker(trial)))

    def _heard(self, trial: Trial) -> None:
        self._since[trial.trial_id] = self._clock()
        self._told.discard(trial.trial_id)


def _worker(trial: Trial) -> tuple[int | None, str]:
    """Return process and node of a trial's worker, which is not asked: it may hang."""
    with contextlib.suppress(Exception):  # before the first result only Ray's own records know it
        actor = trial.temporary_state.ray_actor
        found = ray._private.state.actors(actor._actor_id.hex())
        return int(found["Pid"]), str(found["Address"]["IPAddress"])
    location = trial.temporary_state.location
    return location.pid, location.hostname or ""

"""One trial, as Ray Tune sees it: set up, train an epoch, save, restore, reset. Knows no MLflow and no Optuna.

Whatever goes wrong in a trial's own code is reported as a result with an ``outcome``, so that Ray retries nothing but
its own failures (a worker or node lost). What a node lacks for every trial (a GPU, a module) is reported too
(``fault.UNPREPARED``). Where the store of the checkpoints fails, the trial is not at fault (``sepray.fault``): a
checkpoint that cannot be written is left out. Only where the last one cannot be written either, or none can be read,
the result says so (``fault.UNSAVED``), and the trial has not ended.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import platform
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from ray import tune
from ray.util import get_node_ip_address

from .. import fault
from ..choices import Objective, guide_loss
from ..contracts import Augmentation, Separator, SeparatorConfig, Signal
from ..disk import links
from ..disk.files import umask
from ..errors import mask
from ..training.finite import NonFiniteLossError
from ..training.trainer import build
from . import checkpoint
from .checkpoint_writer import CheckpointWriter
from .conditions import conditions, set_deterministic
from .devices import is_out_of_memory
from .hanging import time_limit
from .items import HandedTensor, tensors, without_copy
from .members import Members
from .verdict import judge

_log = logging.getLogger(__name__)
_TUNES_LOG = logging.getLogger("ray.tune.trainable.trainable")
T = TypeVar("T")
_LEVELS = 4  # folders from that of all studies down to a trial's: name, id, stage, trial

MEMORY_RETRIES = 3
MEMORY_PAUSE_SECONDS = 10.0
"""Pause before the first retry of a trial that ran out of memory; the second retry waits twice as long, and so on."""
CHECKPOINT_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Pauses between attempts to write the last checkpoint of a trial, or to read its newest."""


@dataclass(frozen=True)
class TrialContext:
    """Values that all trials of a study share; Ray ships them to each worker once.

    Attributes:
        separator: configuration of the separator.
        signal: kind of signal that the separator is built for.
        objectives: values to optimise.
        max_epochs: budget of a trial.
        members: number of separators trained per trial, each from a seed of its own; a result is their mean.
        checkpoints: folder or URI that holds a folder for each trial.
        checkpoint_seconds: longest training, in seconds, that a crash may cost (and one epoch more).
        device: device in torch's words, such as ``"cpu"`` or ``"cuda"``.
        threads: number of torch's threads, the CPUs of a trial.
        augmentation: changes made to the training items.
        deterministic: whether torch may use only algorithms that give the same bits every time.
        epoch_timeout: seconds after which an epoch that has not ended ends its worker; 0: never.
        origin: digests of the code and of the data, by name; part of the conditions that each trial reports.
        shared: whether the group may read and write the checkpoints; otherwise nobody else may.
        evaluation_batch: items separated at once on the validation split.
    """

    separator: SeparatorConfig
    signal: Signal
    objectives: tuple[Objective, ...]
    max_epochs: int
    members: int
    checkpoints: str
    checkpoint_seconds: float
    device: str
    threads: int
    augmentation: Augmentation
    deterministic: bool
    epoch_timeout: float
    origin: Mapping[str, str]
    shared: bool
    evaluation_batch: int = 200


class SeparatorTrainable(tune.Trainable):
    """Trains the separator of one trial.

    The config has ``number``, ``seed``, ``hyperparameters``, ``folder`` (of checkpoints), and ``epochs`` where the
    trial has a budget of its own. A result has ``epoch`` (from 1), ``objective`` (``choices.guide_loss``), the metrics,
    ``epoch_seconds``, ``timestamp_ms`` (end of the epoch, Unix time), ``outcome`` and its ``reason``. The outcome is
    empty while the trial goes on, else ``complete``, ``diverged``, ``collapsed``, ``error``, ``out_of_memory``, or one
    of ``fault``. The first result after a restore has the trial's earlier ones as ``history``, and the first epoch of
    every start the ``conditions`` of the training, in a list. ``checkpoint_trouble``: why the last due one is missing.
    """

    _members: Members | None
    _train: Mapping[str, torch.Tensor]
    _validation: Mapping[str, torch.Tensor]
    _history: list[dict[str, Any]]
    _others: int  # epochs at the beginning of the history that another trial has trained
    _reported: bool
    _memory_failures: int
    _trouble: str

    def setup(
        self,
        config: dict[str, Any],
        context: TrialContext,
        train: Mapping[str, HandedTensor],
        validation: Mapping[str, HandedTensor],
        warm_starts: Mapping[int, tuple[np.ndarray, float]] | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Take the study's data; they go to the device at the first step, where errors can be reported."""
        os.umask(umask(context.shared))  # else a worker of a cluster has the umask of `ray start`
        _TUNES_LOG.setLevel(logging.ERROR)  # Tune would warn of a slow setup, with advice that does not fit
        torch.set_num_threads(context.threads)
        set_deterministic(context.deterministic)
        self._context = context
        # By seed: estimates of the warm start, and the seconds that they took.
        self._warm_starts = dict(warm_starts or {})
        self._weights = weights
        self._given = train, validation
        self._train, self._validation = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
        self._writer = CheckpointWriter(context.checkpoint_seconds)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this actor: the data and the process stay."""
        self._finish_writing()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch and score it on the validation split."""
        try:
            with time_limit(self._context.epoch_timeout):
                return self._advance()
        except NonFiniteLossError as error:
            return self._final_result("diverged", str(error))
        except Exception as error:
            reason = _first_line(error)
            if fault.of_training(error) is not fault.Whose.TRIAL:
                unprepared = isinstance(error, fault.NodeError)
                return self._final_result(fault.UNPREPARED if unprepared else fault.UNSAVED, str(error))
            if not is_out_of_memory(error):
                refused = {"reason": mask(fault.bad_input_line(error)), "refused": True}
                final = self._final_result("error", reason, traceback.format_exc())
                return final | (refused if fault.is_bad_input(error) else {})
        # Outside the handler the error and its frames, which hold tensors, are gone.
        return self._retry_with_more_memory(reason)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the trial for a scheduler that pauses or copies trials."""
        members = self._built()
        tensors, metadata = self._state(members)
        checkpoint.save(checkpoint_dir, members.epochs, tensors, metadata)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Restore the trial that a scheduler saved, unless this trial's own newest checkpoint is further.

        Raises:
            ValueError: the folder has no undamaged checkpoint.
        """
        saved = checkpoint.newest(checkpoint_dir)
        if saved is None:
            raise ValueError(f"no undamaged checkpoint in {checkpoint_dir}")
        members = self._built()
        own = saved.metadata["number"] == self.config["number"]
        if not own or saved.epoch > members.epochs:
            self._restore(members, saved)
        if not own:
            self._others = len(self._history)

    def cleanup(self) -> None:
        """Wait for a checkpoint that is being written."""
        self._finish_writing()
        self._writer.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self.config = config
        self._members = None
        self._history, self._others = [], 0
        self._reported = False
        self._memory_failures = 0
        self._trouble = ""
        self._writer.restart_interval()

    def _folder(self) -> str:
        """Return the folder where this trial's checkpoints are written and removed: one among the stage's.

        Raises:
            UsageError: the folder is a link, or lies behind one below the folder of all studies.
            ValueError: the config gives a name that no trial's folder has.
        """
        name = str(self.config["folder"])
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(f"{name[:80]!r} is no name of a trial's folder")
        folder = f"{self._context.checkpoints}/{name}"
        if "://" not in folder:
            links.refuse(Path(folder), links.ancestor(Path(folder), _LEVELS))
        return folder

    def _built(self) -> Members:
        """Return the members; the first call builds them, and goes on from this trial's newest undamaged checkpoint."""
        if self._members is not None:
            return self._members
        context, self._history, self._others = self._context, [], 0
        # AssertionError: this torch has no CUDA. OSError: there is no room for items that this node has to fetch.
        with _nodes_errors(RuntimeError, AssertionError, ValueError, OSError, ImportError):
            self._move_data()
        members = Members(
            context.separator,
            context.signal,
            seed=self.config["seed"],
            count=context.members,
            train={**self._train, **self._warm_start()},
            hyperparameters=self.config["hyperparameters"],
            device=context.device,
            augmentation=context.augmentation,
            weights=self._weights,
            build=_build_here,
        )
        belongs = checkpoint.of_trial(self.config["number"], self.config["seed"])
        saved = self._patiently("read", lambda: checkpoint.newest(self._folder(), belongs))
        if saved is not None:
            self._restore(members, saved)
        self._members = members
        return members

    def _move_data(self) -> None:
        """Move the study's data to the device, once for all trials of this actor."""
        if self._validation:
            return
        (train, validation), device = self._given, self._context.device
        self._conditions = conditions(self._context.threads, device) | dict(self._context.origin)
        self._train = tensors(train, device)
        # A copy: separate() is handed these items, and one that writes to its input must not end the worker.
        self._validation = tensors(validation, device, copied=True)

    def _advance(self) -> dict[str, Any]:
        members = self._built()
        # A worker was killed between its trial's last checkpoint and last report: report again, train no more.
        ended = bool(self._judge(members)[0])
        result = self._history.pop() if ended else self._epoch(members)
        # In a list, because Tune would flatten a dictionary.
        first: dict[str, Any] = {} if self._reported else {"conditions": [self._conditions]}
        if not self._reported and (earlier := self._history[self._others :]):
            first["history"] = earlier
        self._history.append(result)
        self._reported = True
        outcome, reason = self._judge(members)
        self._save(members, outcome)
        first |= {"checkpoint_trouble": self._trouble} if self._trouble else {}
        return result | first | {"outcome": outcome, "reason": reason, "done": bool(outcome)}

    def _epoch(self, members: Members) -> dict[str, Any]:
        started = time.monotonic()
        means = members.epoch(self._validation, self._context.evaluation_batch)
        own = self._warm_starts.get(self.config["seed"])
        means |= {"start_seconds": own[1]} if own is not None and members.epochs == 1 else {}
        return means | {
            "epoch": members.epochs,
            "objective": guide_loss(self._context.objectives, means),
            "epoch_seconds": time.monotonic() - started,
            "timestamp_ms": time.time_ns() // 1_000_000,
        }

    def _warm_start(self) -> dict[str, torch.Tensor]:
        """Return the estimates of the warm start of this trial's seed, as ``start``; nothing if there is none."""
        own = self._warm_starts.get(self.config["seed"])
        return {} if own is None else {"start": without_copy(own[0], self._context.device)}

    def _judge(self, members: Members) -> tuple[str, str]:
        budget = self.config.get("epochs") or self._context.max_epochs
        return judge(self._history, budget, self._context.signal.sources, members.failure)

    def _retry_with_more_memory(self, reason: str) -> dict[str, Any]:
        """Free the device's memory, wait for other trials to free theirs, and go on from the newest checkpoint."""
        self._members = None
        gc.collect()
        torch.cuda.empty_cache()
        self._memory_failures += 1
        if self._memory_failures > MEMORY_RETRIES:
            return self._final_result("out_of_memory", f"{reason} ({MEMORY_RETRIES} retries)")
        time.sleep(MEMORY_PAUSE_SECONDS * self._memory_failures)
        return self.step()

    def _final_result(self, outcome: str, reason: str, trace: str = "") -> dict[str, Any]:
        """Return the result of a trial that cannot train on: that of its last epoch, with its outcome."""
        self._finish_writing()  # the folder may be removed once the outcome is known
        last = dict(self._history[-1]) if self._history else {"epoch": 0, "objective": float("nan")}
        final = {"outcome": outcome, "reason": mask(reason), "traceback": mask(trace), "done": True}
        final |= {} if self._reported else {"history": self._history[self._others :]}
        return last | final

    def _state(self, members: Members) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors, values = members.state()
        own = {"number": self.config["number"], "seed": self.config["seed"]}
        return tensors, {**own, "members": values, "history": list(self._history), "others": self._others}

    def _restore(self, members: Members, saved: checkpoint.Checkpoint) -> None:
        members.load(saved, self.config["hyperparameters"])
        self._history, self._others = list(saved.metadata["history"]), saved.metadata.get("others", 0)

    def _save(self, members: Members, outcome: str) -> None:
        """Write a checkpoint in the background where one is due; the last one before the outcome is reported.

        A checkpoint that the store refuses is left out, except the last one of a trial that has run its whole budget.
        """
        if not outcome and not self._writer.is_due():
            return
        self._wait_for_writing()  # before the state is copied, so that memory holds one copy at a time
        state = self._state(members)
        self._writer.write(self._folder(), members.epochs, *state)
        if outcome:
            self._wait_for_writing()
        if outcome == "complete" and self._trouble:
            self._patiently("written", lambda: checkpoint.save(self._folder(), members.epochs, *state))
            self._trouble = ""

    def _wait_for_writing(self) -> None:
        """Wait for the checkpoint that is being written; remember why the store has refused it, if it has.

        Raises:
            Exception: the state of the trial cannot be put into a checkpoint.
        """
        error = self._writer.wait_for_error()
        if error is not None and fault.of_checkpoint(error) is fault.Whose.TRIAL:
            raise error
        self._trouble = "" if error is None else self._refusal("written", error)

    def _refusal(self, verb: str, error: BaseException) -> str:
        return mask(f"checkpoints in {self._context.checkpoints} cannot be {verb}: {_first_line(error)}")

    def _patiently(self, verb: str, work: Callable[[], T]) -> T:
        """Read or write a checkpoint, again and again where its store fails.

        Raises:
            CheckpointError: the store of the checkpoints has failed for about two minutes.
        """
        for pause in CHECKPOINT_PAUSES_SECONDS:
            try:
                return work()
            except OSError as error:
                _log.info("%s; it is tried again in %g s", self._refusal(verb, error), pause)
            time.sleep(pause)
        try:
            return work()
        except OSError as error:
            raise fault.CheckpointError(self._refusal(verb, error)) from error

    def _finish_writing(self) -> None:
        """Wait for the checkpoint of a trial that has ended; its failure must not become the next trial's.

        The driver removes the folder of a trial that was stopped early, perhaps while it is being written to.
        """
        if error := self._writer.wait_for_error():
            reason = _first_line(error)
            _log.info("the last checkpoint of trial %s was not written: %s", self.config["number"], reason)


def _build_here(config: SeparatorConfig, signal: Signal, seed: int) -> Separator:
    """Build a separator; the driver has built it too, so that a module that is not found is missing on this node."""
    with _nodes_errors(ModuleNotFoundError):
        return build(config, signal, seed)


@contextlib.contextmanager
def _nodes_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise errors of these kinds as the node's; too little memory is the trial's own.

    Raises:
        NodeError: with the node's name and address.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error) or not isinstance(error, kinds):
            raise
        node = f"{platform.node()} ({get_node_ip_address()})"
        raise fault.NodeError(f"node {node} cannot run trials: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message without secrets; the rest is in its traceback."""
    return mask(": ".join([type(error).__name__, *str(error).splitlines()[:1]]))

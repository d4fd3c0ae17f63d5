"""Decides, in one place, whose fault a failure is. Imports nothing but sepray's errors.

| whose | what | what follows |
| --- | --- | --- |
| the trial's own code | an exception, a value that is not finite, memory, an end of the process | the trial FAILs |
| a store | checkpoints, outbox, Optuna, MLflow or a disk fails | it is tried again, then the study stops |
| the executor | a node is lost, or Ray ends a worker (memory) | the trial goes on; without progress the study stops |
| the executor | a node cannot begin a trial: a module, its data or its GPU is missing | the study stops at once |
| one of these two | the process of a worker ends | the trial goes on; without progress it FAILs (``--retry-failed``) |
| the driver | anything else in the driver's process | the study stops |

Where a study stops, its unfinished trials stay as they are, and the same command goes on with them.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from .errors import SeprayError, one_line

UNSAVED = "unsaved"
"""Outcome in a result of a trial whose checkpoints cannot be written or read: the trial has not ended."""
UNPREPARED = "unprepared"
"""Outcome in a result of a trial whose node cannot train any: the trial has not ended, and the study has to stop."""
LOST = "lost"
"""Outcome of a trial whose worker was lost again and again without progress."""
LOSSES_WITHOUT_PROGRESS = 3
"""Losses of its worker in a row, without an epoch of progress, after which a trial FAILs."""

LOSSES_OF_THE_EXECUTOR = 10
"""Losses of a trial's worker by the executor, in a row and without an epoch of progress, after which a study stops."""

# Frames of the module that writes checkpoints, in tracebacks of versions that took its errors for the trial's.
_CHECKPOINTS = re.compile(r'File "[^"]*sepray/execution/(checkpoint|checkpoint_writer|file_systems)\.py"')
_SYSTEM_ERROR = re.compile(r"^(OSError|\w+Error): \[Errno -?\d+\]")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class CheckpointError(SeprayError, RuntimeError):
    """The store of the checkpoints cannot be read or written; the message says which and why, in one line."""


class ExecutorError(SeprayError, RuntimeError):
    """Ray loses the worker of a trial again and again; the message says why and what to do, in one line."""


class NodeError(ExecutorError):
    """A node cannot run trials, whichever they are; the message names it and says why, in one line."""


class Whose(StrEnum):
    """The party whose fault an error is."""

    TRIAL = "the trial's own code"
    STORE = "a store"
    EXECUTOR = "the executor"
    DRIVER = "the driver"


class WorkerLoss(NamedTuple):
    """The reason why a trial has lost its worker.

    Attributes:
        whose: the trial's where its own code may have ended the process, else the executor's.
        why: the reason, a clause for a message.
        ends_study: whether every other worker on that node would be lost in the same way.
    """

    whose: Whose
    why: str
    ends_study: bool = False


_PROCESS_ENDED = WorkerLoss(Whose.TRIAL, "its process has ended")
_LOSSES = (
    ("SystemExit", _PROCESS_ENDED),  # its own code has ended it: Ray calls such an actor unavailable
    ("node has died", WorkerLoss(Whose.EXECUTOR, "its node has died")),
    ("node running low on memory", WorkerLoss(Whose.EXECUTOR, "its node has run out of memory, and Ray has ended it")),
    ("killed by `ray.kill`", WorkerLoss(Whose.EXECUTOR, "Ray has ended it")),
    ("temporarily unavailable", WorkerLoss(Whose.EXECUTOR, "its node does not answer")),
)
"""Part of a message of Ray's, which is all that Ray keeps of the cause -> the loss."""

_NOT_BEGUN = ("in its creation task", "failed to import on the worker", "set up runtime environment", "runtime_env")
_COLOUR = re.compile(r"\x1b\[\d*m")
_NODE = re.compile(r"\bip=([\w.:]+)")
_CAUSE = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*(?:Error|Exception|Exit)\b.*)")
_MAY_PASS = re.compile(
    r"(?:OSError|BlockingIOError|ConnectionError|Connection\w+Error|TimeoutError|MemoryError|OutOfMemoryError|"
    r"OutOfDiskError|ObjectStoreFullError)\b"
)
"""Kinds of errors with which a worker fails to begin today and begins tomorrow: of stores, networks and memory."""


def of_loss(message: str) -> WorkerLoss:
    """Return why a trial has lost its worker.

    Args:
        message: of Ray's error of the worker's actor (``ActorDiedError``, ``ActorUnavailableError``,
            ``OutOfMemoryError``, ``RuntimeEnvSetupError``); empty if there is none.
    """
    if any(part in message for part in _NOT_BEGUN):
        return _of_beginning(_COLOUR.sub("", message))
    return next((loss for part, loss in _LOSSES if part in message), _PROCESS_ENDED)


def _of_beginning(message: str) -> WorkerLoss:
    """Return the loss of a worker that could not begin, from Ray's message: a sentence, and a traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    causes = [found[1] for line in lines if (found := _CAUSE.match(line))]
    cause, node = causes[-1] if causes else lines[-1], _NODE.search(message)
    why = f"{f'node {node[1]}' if node else 'a node'} cannot begin it: {cause}"
    return WorkerLoss(Whose.EXECUTOR, why, ends_study=not _MAY_PASS.match(cause))


def of_training(error: BaseException) -> Whose:
    """Return whose fault an error is that ended a step of a trial in its worker."""
    if isinstance(error, NodeError):
        return Whose.EXECUTOR
    return Whose.STORE if isinstance(error, CheckpointError) else Whose.TRIAL


def of_checkpoint(error: BaseException) -> Whose:
    """Return whose fault an error is that was raised while a checkpoint was written or read.

    What the operating system or an object store refuses is the store's; what cannot be put into a checkpoint is the
    trial's own.
    """
    return Whose.STORE if isinstance(error, OSError) else Whose.TRIAL


def of_outcome(outcome: Mapping[str, Any], traceback: str = "") -> Whose | None:
    """Return whose fault it is that a trial failed.

    Args:
        outcome: the trial's attribute ``outcome``, with ``tag`` and ``reason``.
        traceback: its attribute ``traceback``: older versions took an error of the checkpoints' store for the trial's.

    Returns:
        Whose; None if the trial did not fail.
    """
    tag, reason = outcome.get("tag"), str(outcome.get("reason") or "")
    if tag == LOST:
        return Whose.EXECUTOR
    if tag == "error" and _CHECKPOINTS.search(traceback) and _SYSTEM_ERROR.match(reason):
        return Whose.STORE
    return Whose.TRIAL if tag in ("diverged", "error", "out_of_memory") else None


def of_environment(outcome: Mapping[str, Any], traceback: str = "") -> bool:
    """Say whether a trial failed by its environment, so that it is worth another try; arguments as of ``of_outcome``.

    A process that the trial's own code ends cannot be told from one that the machine ends, and counts too.
    """
    return of_outcome(outcome, traceback) in (Whose.STORE, Whose.EXECUTOR)


def is_bad_input(error: BaseException) -> bool:
    """Say whether the user can put an error right.

    That is every ``SeprayError``, every error of the operating system that names a file, and a full disk, of which the
    operating system names no file.
    """
    if isinstance(error, SeprayError):
        return True
    return isinstance(error, OSError) and (error.filename is not None or is_disk_full(error))


def is_disk_full(error: BaseException) -> bool:
    """Say whether the operating system has refused a write because a disk, or this user's share of it, is full."""
    return isinstance(error, OSError) and not isinstance(error, SeprayError) and error.errno in _DISK_FULL


def bad_input_line(error: BaseException) -> str:
    """Return the line that is shown of an error that the user can put right (``is_bad_input``).

    An error of the operating system is told by its file: ``weights.pt: No such file or directory``.
    """
    if isinstance(error, OSError) and not isinstance(error, SeprayError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return one_line(error)

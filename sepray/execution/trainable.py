"""One trial, as Ray Tune sees it: set up, advance an epoch, save, restore, reset. Knows no MLflow and no Optuna.

Whatever goes wrong in a trial's own code is reported as a result with an ``outcome``, so that Ray's own
failures (a worker or node lost) are all that it retries.
"""

from __future__ import annotations

import gc
import logging
import time
import traceback
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ray import tune

from ..choices import Objective
from ..contracts import Augmentation, SeparatorConfig, Signal, estimate
from ..scoring import metrics
from ..training.trainer import NonFiniteLossError, Trainer, build
from . import checkpoint

_log = logging.getLogger(__name__)

COLLAPSE_ENERGY = 1e-4
"""A source whose estimate holds less than this share of the reference's energy counts as collapsed (-40 dB)."""
COLLAPSE_PATIENCE = 5
"""Epochs in a row after which a collapsed source, or a separator's own failure, ends the trial."""
MEMORY_RETRIES = 3
MEMORY_PAUSE_SECONDS = 10.0
"""Before the first retry of a trial that ran out of memory; as much longer before each later one."""


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a study share; Ray ships it to each worker once.

    Attributes:
        separator: configuration of the separator.
        signal: what it is built for.
        objectives: values to optimise.
        max_epochs: budget of a trial.
        members: separators trained per trial, each from a seed of its own; a result is their mean.
        checkpoints: folder or URI that holds a folder a trial.
        checkpoint_seconds: at most this much training is lost in a crash (and one epoch).
        device: ``"cpu"`` or ``"cuda"``.
        threads: of torch, the trial's CPUs.
        augmentation: of the training items.
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
    evaluation_batch: int = 200


class SeparatorTrainable(tune.Trainable):
    """Trains the separator of one trial.

    The config has ``number``, ``seed``, ``hyperparameters`` and ``folder`` (of checkpoints). A result has ``epoch``
    (1-based), ``objective`` (the mean of the objectives, to be minimised), the metrics, ``timestamp_ms`` and
    ``outcome``: empty while the trial goes on, else ``complete``, ``diverged``, ``collapsed``, ``error`` or
    ``out_of_memory`` with a ``reason``. The first result after a restore carries the earlier ones as ``history``.
    """

    _members: list[Trainer]
    _history: list[dict[str, Any]]
    _reported: bool
    _memory_failures: int

    def setup(
        self,
        config: dict[str, Any],
        context: TrialContext,
        train: Mapping[str, np.ndarray],
        validation: Mapping[str, np.ndarray],
    ) -> None:
        """Take the study's data; the separator is built at the first step, where errors can be reported."""
        torch.set_num_threads(context.threads)
        self._context = context
        self._train = {name: _shared(array, context.device) for name, array in train.items()}
        # A copy: separate() is handed these items, and one that writes to its input must not end the worker.
        self._validation = {name: torch.tensor(array, device=context.device) for name, array in validation.items()}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._written: Future[str] | None = None
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this actor: the data and the process stay."""
        self._leave()
        self._start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch and score it on the validation split."""
        try:
            return self._advance()
        except NonFiniteLossError as error:
            return self._final("diverged", str(error))
        except Exception as error:
            reason = _said(error)
            if not _is_out_of_memory(error):
                return self._final("error", reason, traceback.format_exc())
        # Only here are the error and its frames gone, which hold tensors.
        return self._out_of_memory(reason)

    def _out_of_memory(self, reason: str) -> dict[str, Any]:
        """Give the device's memory back, wait for other trials to end theirs, and go on from the newest checkpoint."""
        self._members = []
        gc.collect()
        torch.cuda.empty_cache()
        self._memory_failures += 1
        if self._memory_failures > MEMORY_RETRIES:
            return self._final("out_of_memory", f"{reason} ({MEMORY_RETRIES} retries)")
        time.sleep(MEMORY_PAUSE_SECONDS * self._memory_failures)
        return self.step()

    def _advance(self) -> dict[str, Any]:
        self._build()
        # Killed between its last checkpoint and its last report: report again, train no more.
        ended = bool(self._judge()[0])
        result = self._history.pop() if ended else self._epoch()
        earlier = {} if self._reported or not self._history else {"history": list(self._history)}
        self._history.append(result)
        self._reported = True
        outcome, reason = self._judge()
        self._save(last=bool(outcome))
        return result | earlier | {"outcome": outcome, "reason": reason, "done": bool(outcome)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save for a scheduler that pauses or copies trials."""
        self._build()
        tensors, metadata = self._state()
        checkpoint.save(checkpoint_dir, self._epochs(), tensors, metadata)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Restore what a scheduler saved, unless this trial's own newest checkpoint is further."""
        found = checkpoint.newest(checkpoint_dir)
        if found is None:
            raise ValueError(f"no sound checkpoint in {checkpoint_dir}")
        self._build()
        own = found.metadata["number"] == self.config["number"]
        if not own or found.epoch > self._epochs():
            self._restore(found)
        if not own:
            self._reported = True  # what the other trial reported is not this one's history

    def cleanup(self) -> None:
        """Wait for a checkpoint that is being written."""
        self._leave()
        self._writer.shutdown()

    def _start(self, config: dict[str, Any]) -> None:
        self.config = config
        self._members = []
        self._history = []
        self._reported = False
        self._memory_failures = 0
        self._saved_at = time.monotonic()

    def _folder(self) -> str:
        return f"{self._context.checkpoints}/{self.config['folder']}"

    def _build(self) -> None:
        """Build the members, and go on from this trial's newest sound checkpoint if there is one."""
        if self._members:
            return
        context, self._history = self._context, []
        seeds = np.random.SeedSequence(self.config["seed"]).generate_state(context.members)
        for seed in map(int, seeds):
            trainer = Trainer(
                build(context.separator, context.signal, seed),
                self._train,
                self.config["hyperparameters"],
                seed=seed,
                batch_size=context.separator.batch_size,
                betas=context.separator.betas,
                device=context.device,
                augment=context.augmentation,
            )
            self._members.append(trainer)
        found = checkpoint.newest(self._folder())
        if found is not None:
            self._restore(found)

    def _epochs(self) -> int:
        return self._members[0].epochs

    def _epoch(self) -> dict[str, Any]:
        started = time.monotonic()
        collected = []
        for trainer in self._members:
            parts = {f"train/{name}": value for name, value in trainer.epoch().items()}
            collected.append(parts | self._validate(trainer))
        result: dict[str, Any] = {k: float(np.mean([c[k] for c in collected])) for k in collected[0]}
        values = [result[o.key] * (1 if o.direction == "minimize" else -1) for o in self._context.objectives]
        return result | {
            "epoch": self._epochs(),
            "objective": float(np.mean(values)),
            "epoch_seconds": time.monotonic() - started,
            "timestamp_ms": time.time_ns() // 1_000_000,
        }

    def _validate(self, trainer: Trainer) -> dict[str, float]:
        mixture, sources = self._validation["mixture"], self._validation["sources"]
        size = self._context.evaluation_batch
        batches = zip(mixture.split(size), sources.split(size), strict=True)
        estimates = torch.cat([estimate(trainer.separator, *batch) for batch in batches])
        signal = self._context.signal
        found = metrics.summary(metrics.score(estimates, sources, signal), signal.sources, signal.heart_sources)
        return {f"validation/{name}": value for name, value in found.items()}

    def _judge(self) -> tuple[str, str]:
        """Outcome and reason of the trial after its last epoch; empty while it goes on."""
        if not self._history:
            return "", ""
        result = self._history[-1]
        bad = [k for k, v in result.items() if isinstance(v, float) and not np.isfinite(v)]
        if bad:
            return "diverged", f"{bad[0]} is {result[bad[0]]} at epoch {result['epoch']}"
        recent = [self._signs(earlier) for earlier in self._history[-COLLAPSE_PATIENCE:]]
        for name, sign in recent[-1].items():
            if len(recent) == COLLAPSE_PATIENCE and all(name in signs for signs in recent):
                return "collapsed", f"{sign} ({COLLAPSE_PATIENCE} epochs in a row, at epoch {result['epoch']})"
        return ("complete", "") if result["epoch"] >= self._context.max_epochs else ("", "")

    def _signs(self, result: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong after an epoch, for the reader, by what it is about: a source, or the method."""
        energies = {s: result[f"validation/{s}/energy_ratio"] for s in self._context.signal.sources}
        signs = {s: f"the estimate of {s} has collapsed" for s, energy in energies.items() if energy < COLLAPSE_ENERGY}
        own = self._members[0].separator.failure(result)
        return signs | ({"": own} if own else {})

    def _final(self, outcome: str, reason: str, trace: str = "") -> dict[str, Any]:
        if self._written is not None:
            wait([self._written])  # the folder may go once the outcome is known
        last = dict(self._history[-1]) if self._history else {"epoch": 0, "objective": float("nan")}
        final = {"outcome": outcome, "reason": reason, "traceback": trace, "done": True}
        if not self._reported:
            final["history"] = list(self._history)
        return last | final

    def _state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        tensors: dict[str, torch.Tensor] = {}
        states = []
        for index, trainer in enumerate(self._members):
            named, state = trainer.state()
            tensors |= {f"{index}/{name}": tensor.detach().clone() for name, tensor in named.items()}
            states.append(state)
        return tensors, {
            "number": self.config["number"],
            "members": states,
            "history": list(self._history),
        }

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        for index, (trainer, state) in enumerate(zip(self._members, found.metadata["members"], strict=True)):
            prefix = f"{index}/"
            named = {k.removeprefix(prefix): v for k, v in found.tensors.items() if k.startswith(prefix)}
            trainer.load_state(named, state)
            # Population based training copies the weights of another trial, not its settings.
            trainer.set_hyperparameters(self.config["hyperparameters"])
        self._history = list(found.metadata["history"])

    def _save(self, last: bool) -> None:
        """Write a checkpoint off the training path, now and then; the last one before its outcome is reported."""
        due = time.monotonic() - self._saved_at >= self._context.checkpoint_seconds
        busy = self._written is not None and not self._written.done()
        if not last and (busy or not due):
            return
        self._settle()
        self._saved_at = time.monotonic()
        self._written = self._writer.submit(checkpoint.save, self._folder(), self._epochs(), *self._state())
        if last:
            self._settle()

    def _settle(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()  # raises what went wrong, once

    def _leave(self) -> None:
        """Wait for the checkpoint of a trial that has ended; what went wrong with it must not be the next trial's.

        The driver clears the folder of a trial that was stopped early, perhaps while it is being written to.
        """
        written, self._written = self._written, None
        if written is not None and (error := written.exception()):
            _log.info("the last checkpoint of trial %s was not written: %s", self.config["number"], _said(error))


def _said(error: BaseException) -> str:
    """Return what an error says, in one line; the rest is in its traceback."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _shared(array: np.ndarray, device: str) -> torch.Tensor:
    # Arrays of the object store are shared by the node's workers and read-only; nobody writes to what is learned from.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array).to(device)

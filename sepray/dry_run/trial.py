"""Trains a few steps of one trial, as a worker does, and says what they took; also a script that does so.

Each figure comes from the study's own code: ``Members`` builds the separators, ``Trainer`` trains them, ``score``
validates them, ``checkpoint.save`` writes them. Of an epoch only the first steps are trained; what surrounds them
(outer iterations, methods without gradients) runs whole.

Trials of one thread on a CPU are timed by their CPU time, which other programs on the machine hardly change; how much
longer the measurement took is measured too. Trials of several threads, and those on a GPU, are timed by the clock.

As a script it reads a pickled ``Job`` from standard input and writes its figures as JSON to standard output, or
``{"error": traceback}``. A process of its own has the memory, the threads and the allocator of a worker.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from ..contracts import Phase
from ..disk.mapping import FileSlice
from ..execution import checkpoint
from ..execution.devices import is_out_of_memory
from ..execution.items import HandedTensor, tensors
from ..execution.members import Members, score
from ..execution.trainable import TrialContext
from ..fault import bad_input_line, is_bad_input
from ..training.finite import NonFiniteLossError
from ..training.trainer import Trainer

_STEPS_PER_EPOCH = 3
_FIRST_EPOCH_SECONDS = 120.0
"""No second epoch is measured where the first, without its steps, takes longer than this."""
Timer = Callable[[], float]


@dataclass(frozen=True)
class Job:
    """Job of a process: the trial that it measures, and for how long.

    Attributes:
        context: context of the trials.
        folder: folder with the views of the data as ``train-NAME.npy`` and ``validation-NAME.npy``; checkpoints are
            written there.
        settings: hyperparameters that differ from the separator's defaults.
        seed: random seed.
        epochs: number of epochs that are measured at most.
        seconds: seconds for which epochs are measured, and then validation for as long.
        slices: file slices of large tensors of the views, by names of the same form (``train-NAME``).
    """

    context: TrialContext
    folder: str
    settings: Mapping[str, float]
    seed: int
    epochs: int
    seconds: float
    slices: Mapping[str, FileSlice] = field(default_factory=dict)


class _Stopwatch:
    """Lets a trainer train only the first steps of each epoch, and times them (a ``StepWatch``)."""

    def __init__(self, trainer: Trainer, clock: Timer, end: float) -> None:
        self.steps: list[float] = []
        self.phases: dict[str, list[float]] = {phase.name: [] for phase in trainer.phases}
        self.outside: list[float] = []  # seconds of each epoch without those of its steps
        self._trainer, self._clock, self._end = trainer, clock, end
        self._step_started = self._update_started = 0.0
        trainer.watch = self

    def epoch(self) -> dict[str, float]:
        """Train an epoch with few steps; return the parts of its losses."""
        before, started = len(self.steps), self._clock()
        parts = self._trainer.epoch()
        self.outside.append(self._clock() - started - sum(self.steps[before:]))
        return parts

    def begins(self, step: int) -> bool:
        """Begin a step, unless the epoch has had its few steps or the time is over; the first is always trained."""
        if step >= _STEPS_PER_EPOCH or (step and self._clock() >= self._end):
            return False
        for seconds in self.phases.values():
            seconds.append(0.0)
        self._step_started = self._clock()
        return True

    def updates(self, phase: Phase) -> None:
        """Begin an update of a phase."""
        self._update_started = self._clock()

    def updated(self, phase: Phase) -> None:
        """Add the seconds of an update to those of its phase in this step."""
        self.phases[phase.name][-1] += self._clock() - self._update_started

    def ends(self) -> None:
        """Store the seconds that the step took."""
        self.steps.append(self._clock() - self._step_started)


def steps_of(items: int, batch_size: int) -> int:
    """Return the number of steps of an epoch over so many items."""
    return items // min(items, batch_size)


def measure(
    context: TrialContext,
    train: Mapping[str, Tensor],
    validation: Mapping[str, Tensor],
    settings: Mapping[str, float],
    *,
    seed: int,
    epochs: int,
    seconds: float,
    folder: str,
    clock: Timer = time.perf_counter,
) -> dict[str, Any]:
    """Return the time and memory that a trial takes, the values of ``Measurement`` by name.

    Args:
        context: context of the trials.
        train: training view, on the trial's device.
        validation: ``mixture`` and ``sources`` of the validation split, on the trial's device.
        settings: hyperparameters that differ from the separator's defaults.
        seed: random seed.
        epochs: number of epochs that are measured at most.
        seconds: seconds for which epochs are measured, two of them at least, and then validation for as long.
        folder: folder that a checkpoint is written to.
        clock: returns seconds.
    """
    first_setup, setup = _build_seconds(context, train, settings, seed, clock), clock()
    members = _build(context, train, settings, seed)
    started = clock()
    setup = started - setup
    watches = [_Stopwatch(trainer, clock, started + seconds) for trainer in members.trainers]
    result, problem = _train(watches, min(epochs, context.max_epochs), clock, started + seconds)
    validated, measures = _validate(members, context, validation, seconds, clock)
    result |= {f"validation/{name}": value for name, value in measures.items()}
    result |= {"epoch": context.max_epochs, "objective": 0.1, "epoch_seconds": 0.1, "timestamp_ms": 10**12}
    tensors, values = members.state()
    saving = clock()
    history = [result] * context.max_epochs  # the history in the last checkpoint has this length
    name = checkpoint.save(folder, 1, tensors, {"number": 0, "members": values, "history": history})
    separator, trainer = members.trainers[0].separator, members.trainers[0]
    step = _middle(second for watch in watches for second in watch.steps)
    first_steps = (watch.steps[0] - step for watch in watches[:1] if watch.steps)
    return {
        # What only the first trial of a worker takes: libraries that are loaded when they are used, plans of FFTs ...
        "worker_start": max(0.0, first_setup - setup) + max(0.0, *first_steps, 0.0),
        "setup": setup,
        "epochs": [sum(outside) for outside in zip(*(watch.outside for watch in watches), strict=True)],
        "step": context.members * step,
        "phases": [
            (phase.active, context.members * _middle(s for watch in watches for s in watch.phases[phase.name]))
            for phase in trainer.phases
        ],
        "steps": steps_of(trainer.items, trainer.batch_size) if trainer.phases else 0,
        "validation": validated,
        "saving": clock() - saving,
        "checkpoint_bytes": (Path(folder) / name).stat().st_size,
        "weights_bytes": sum(t.numel() * t.element_size() for t in separator.state_dict().values()),
        "parameters": sum(p.numel() for p in separator.parameters()),
        "problem": problem,
    }


def _build(context: TrialContext, train: Mapping[str, Tensor], settings: Mapping[str, float], seed: int) -> Members:
    """Return the separators of a trial, ready to be trained."""
    return Members(
        context.separator,
        context.signal,
        seed=seed,
        count=context.members,
        train=train,
        hyperparameters=settings,
        device=context.device,
        augmentation=context.augmentation,
    )


def _build_seconds(
    context: TrialContext, train: Mapping[str, Tensor], settings: Mapping[str, float], seed: int, clock: Timer
) -> float:
    """Return how long it takes to build the separators of a trial, which are thrown away."""
    started = clock()
    _build(context, train, settings, seed)
    return clock() - started


def _train(watches: list[_Stopwatch], epochs: int, clock: Timer, end: float) -> tuple[dict[str, float], str]:
    """Train epochs of few steps until ``end``; return the parts of the last losses, and why training ended early."""
    parts: dict[str, float] = {}
    started = clock()
    for epoch in range(epochs):
        if (epoch > 1 and clock() >= end) or (epoch == 1 and clock() - started > _FIRST_EPOCH_SECONDS):
            break
        try:
            for watch in watches:
                parts = watch.epoch()
        except NonFiniteLossError as error:
            return {}, str(error)
    return {f"train/{name}": value for name, value in parts.items()}, ""


def _validate(
    members: Members, context: TrialContext, validation: Mapping[str, Tensor], seconds: float, clock: Timer
) -> tuple[float, dict[str, float]]:
    """Return the seconds of validating all members on the whole split, and the measures.

    A first pass over two items warms up, and says how many items can be scored in the time that there is.
    """
    items = len(validation["mixture"])

    def score_first(count: int) -> tuple[float, dict[str, float]]:
        part = {name: tensor[:count] for name, tensor in validation.items()}
        started = clock()
        measures = score(members.trainers[0].separator.eval(), context.signal, part, context.evaluation_batch)
        return clock() - started, measures

    first, measures = score_first(2)
    affordable = int(2 * seconds / first) if first else items
    count = max(2, min(items, context.evaluation_batch, affordable))
    second, measures = score_first(count)
    return context.members * second * items / count, measures


def _middle(values: Iterable[float]) -> float:
    """Return the median without the first value, which warms up; 0 without values."""
    seconds = list(values)
    return statistics.median(seconds[1:] or seconds or [0.0])


def memory(device: str) -> dict[str, int]:
    """Return the largest memory of this process so far, and the part of it that processes can share, in bytes."""
    now = psutil.Process().memory_info()
    shared = getattr(now, "shared", 0)  # Linux alone says
    peak = now.rss
    status = Path("/proc/self/status")
    if status.exists():
        lines = (line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        peak = max([peak, *(1024 * int(words[1]) for words in lines)])
    gpu = (torch.cuda.max_memory_reserved(), torch.cuda.mem_get_info()[1]) if device == "cuda" else (0, 0)
    return {
        "private_bytes": peak - shared, "shared_bytes": shared, "gpu_bytes": gpu[0], "gpu_machine_bytes": gpu[1],
    }  # fmt: skip


def run(job: Job) -> dict[str, Any]:
    """Measure what a job asks for, with the data as a worker gets them."""
    context = job.context
    torch.set_num_threads(context.threads)
    given: dict[str, HandedTensor] = {
        path.stem: np.load(path, mmap_mode="r") for path in Path(job.folder).glob("*.npy")
    }
    views: dict[str, dict[str, HandedTensor]] = {"train": {}, "validation": {}}
    for stem, values in sorted({**given, **job.slices}.items()):
        part, _, name = stem.partition("-")
        views[part][name] = values
    train = tensors(views["train"], context.device)
    validation = tensors(views["validation"], context.device, copied=True)

    started = time.perf_counter(), time.process_time()
    found = measure(
        context,
        train,
        validation,
        job.settings,
        seed=job.seed,
        epochs=job.epochs,
        seconds=job.seconds,
        folder=str(Path(job.folder) / str(os.getpid())),
        clock=_clock(context),
    )
    passed, used = time.perf_counter() - started[0], time.process_time() - started[1]
    return found | memory(context.device) | {"slowdown": passed / used if is_timed_by_cpu(context) else 1.0}


def is_timed_by_cpu(context: TrialContext) -> bool:
    """Say whether trials are timed by the CPU time of their process, which says how long they take undisturbed."""
    return context.device == "cpu" and context.threads == 1


def _clock(context: TrialContext) -> Timer:
    if is_timed_by_cpu(context):
        return time.process_time

    def clock() -> float:
        if context.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def main() -> None:
    """Run the script."""
    passed, used = time.time() - psutil.Process().create_time(), time.process_time()  # the imports are done
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a separator prints is no answer
    try:
        job: Job = pickle.load(sys.stdin.buffer)
        answer = run(job)
        answer["worker_start"] += used if is_timed_by_cpu(job.context) else passed
    except SystemExit as end:
        status = 0 if end.code is None else end.code
        ended = f"{traceback.format_exc()}the code ended the process with status {status}"
        answer = {"error": ended, "out_of_memory": False}
    except Exception as error:
        answer = {"error": traceback.format_exc(), "out_of_memory": is_out_of_memory(error)}
        answer |= {"refused": bad_input_line(error)} if is_bad_input(error) else {}
    json.dump(answer, answers)
    answers.close()


if __name__ == "__main__":
    main()

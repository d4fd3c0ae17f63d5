"""Measures a trial in processes like a study's workers: first one alone, then as many at once as the study runs."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import processor
from ..disk import temporary
from ..disk.mapping import FileSlice
from ..execution import cluster
from ..execution.trainable import TrialContext
from . import trial

_SECONDS = 6.0
"""Seconds for which epochs are measured; then validation is measured for as long."""


class TrialError(Exception):
    """The code of the trial raised an error, or its process was killed.

    The message is the traceback of the error, one line where the user can put the error right, or the sentence that the
    process was killed.

    Attributes:
        bug: whether the error is a bug, and no lack of memory.
        refused: whether the user can put the error right (``fault.is_bad_input``).
    """

    def __init__(self, message: str, bug: bool, refused: bool = False) -> None:
        super().__init__(message)
        self.bug, self.refused = bug, refused


@dataclass(frozen=True)
class PhaseTime:
    """Time that one phase takes in a training step.

    Attributes:
        active: hyperparameter that skips the phase where it is 0; None for a phase that is never skipped.
        seconds: seconds of all updates of the phase in one step.
    """

    active: str | None
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """Time and memory that a trial takes. Times are in seconds, for all separators of the trial together.

    They are CPU seconds where ``by_cpu`` says so (``trial.is_timed_by_cpu``): those of a machine with nothing else to
    do. Where more trials run at once than there are CPUs, they are longer by as much.

    Attributes:
        at_once: number of trials that were measured at the same time.
        worker_start: seconds of the start of a worker: its imports, and the work that only its first trial does.
        setup: seconds of building the separators and preparing them.
        epochs: seconds of each of the first epochs without its steps and without validation: the outer iterations, or
            the whole training of a method without steps.
        step: median of the seconds of a step with all its phases.
        phases: phases of a step, each with the median of its seconds.
        steps: number of steps in an epoch; 0 for a method without steps.
        validation: seconds of scoring on the validation split.
        saving: seconds of writing a checkpoint.
        checkpoint_bytes: size of a trial's last checkpoint.
        weights_bytes: size of a separator's weights and buffers.
        parameters: number of a separator's weights, critics among them.
        private_bytes: largest memory of a trial's process, without what processes share.
        shared_bytes: memory that the processes of all trials share: libraries, the training view.
        gpu_bytes: largest memory of a trial on the GPU, without CUDA's own.
        gpu_machine_bytes: memory of the GPU; 0 where there is no GPU.
        problem: why training ended too early; empty where it did not.
        by_cpu: whether times are CPU time.
        slowdown: how many times as long as its CPU time the measurement took, because of other programs or a slow disk;
            1 where times are not CPU time.
    """

    at_once: int
    worker_start: float
    setup: float
    epochs: tuple[float, ...]
    step: float
    phases: tuple[PhaseTime, ...]
    steps: int
    validation: float
    saving: float
    checkpoint_bytes: int
    weights_bytes: int
    parameters: int
    private_bytes: int
    shared_bytes: int
    gpu_bytes: int
    gpu_machine_bytes: int
    problem: str
    by_cpu: bool = True
    slowdown: float = 1.0

    def step_seconds(self, active: Mapping[str, float]) -> float:
        """Return the seconds of a step, the mean over trials that skip some phases and trials that do not.

        Args:
            active: hyperparameter that activates phases -> share of the trials in which it does so. A hyperparameter
                that is not among the keys activates its phases in all trials.
        """
        skipped = sum(p.seconds * (1 - active.get(p.active, 1.0)) for p in self.phases if p.active)
        return max(0.0, self.step - skipped)

    def epoch_seconds(self, active: Mapping[str, float]) -> float:
        """Return the seconds of an epoch after the first one.

        Args:
            active: share of the trials in which each phase is active, as ``step_seconds`` takes it.
        """
        return self.outside(len(self.epochs)) + self.steps * self.step_seconds(active) + self.validation

    def trial_seconds(self, epochs: float, active: Mapping[str, float]) -> float:
        """Return the seconds of a whole trial.

        An epoch that was not measured counts as the mean of the measured epochs after the first one.

        Args:
            epochs: number of epochs of the trial.
            active: share of the trials in which each phase is active, as ``step_seconds`` takes it.
        """
        measured = self.epochs[: int(epochs)]
        outside = sum(measured) + (epochs - len(measured)) * self.outside(len(self.epochs))
        inside = epochs * (self.steps * self.step_seconds(active) + self.validation)
        return self.setup + outside + inside + self.saving

    def shared(self, trials_per_cpu: float) -> Measurement:
        """Return the measurement of trials that share CPUs: longer times, and a slowdown by other programs alone.

        Args:
            trials_per_cpu: number of trials on a CPU; where it is more than one, times are as many times longer.
        """
        factor = max(1.0, trials_per_cpu)
        times: dict[str, Any] = {name: factor * getattr(self, name) for name in _TIMES}
        times["epochs"] = tuple(factor * seconds for seconds in self.epochs)
        times["phases"] = tuple(replace(phase, seconds=factor * phase.seconds) for phase in self.phases)
        own = factor if self.at_once > 1 else 1.0  # measured alone, a trial shares its CPU with no other
        return replace(self, **times, slowdown=max(1.0, self.slowdown / own))

    def outside(self, epoch: int) -> float:
        """Return the seconds of an epoch without its steps and without validation; the first epoch is number 0."""
        if epoch < len(self.epochs):
            return self.epochs[epoch]
        later = self.epochs[1:] or self.epochs
        return statistics.fmean(later) if later else 0.0


def measure_trial(
    parameters: Mapping[str, Any],
    settings: Mapping[str, float],
    seed: int,
    at_once: int,
    memory_bytes: int,
) -> Measurement:
    """Measure the time and memory of a trial in separate processes.

    Times are measured with as many trials at once as the study runs, because trials share the machine's caches and
    memory bandwidth.

    Args:
        parameters: what every trial is given (``stage.trial_parameters``).
        settings: hyperparameters that differ from the separator's defaults.
        seed: random seed.
        at_once: number of trials that the study runs at once on this machine.
        memory_bytes: free memory; where it does not suffice for all these trials, only one is measured.

    Raises:
        TrialError: the code of the trial raised an error, or its process was killed.
    """
    slices: dict[str, FileSlice] = {}
    with temporary.folder("sepray-dry-run-") as folder:
        for part in ("train", "validation"):
            for name, given in parameters[part].items():
                if isinstance(given, FileSlice):
                    slices[f"{part}-{name}"] = given
                else:
                    np.save(Path(folder, f"{part}-{name}.npy"), given)
        context: TrialContext = parameters["context"]

        def measured(count: int, epochs: int) -> list[dict[str, Any]]:
            return _ask(trial.Job(context, folder, settings, seed, epochs, _SECONDS, slices), count)

        count = at_once
        if at_once > 1 and context.device == "cpu":
            [alone] = measured(1, 1)  # for its memory
            fits = at_once * alone["private_bytes"] + alone["shared_bytes"] <= memory_bytes
            count = at_once if fits else 1
        elif context.device != "cpu":
            count = 1
        found = _joined(measured(count, context.max_epochs))
        if not trial.is_timed_by_cpu(context):
            return replace(found, by_cpu=False)
        return found.shared(at_once / processor.cpus())


def _ask(job: trial.Job, count: int) -> list[dict[str, Any]]:
    """Run ``count`` processes at the same time and return their answers.

    They have the number of threads and the settings of the memory allocator that a study's workers have.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(job.context.threads))
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = {**os.environ, **cluster._ALLOCATOR_SETTINGS, **threads, "PYTHONPATH": path}
    content = pickle.dumps(job)
    command = [sys.executable, "-P", "-m", trial.__name__]
    pipe = subprocess.PIPE
    running: list[subprocess.Popen[bytes]] = []
    try:
        while len(running) < count:
            running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment))
        for process in running:
            _send(process, content)
        return [_answer(process) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def _send(process: subprocess.Popen[bytes], content: bytes) -> None:
    """Write the whole standard input of a process; a process that has ended says so where its answer is read."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(content)
    with contextlib.suppress(BrokenPipeError):  # what fits into the buffer is written here
        process.stdin.close()
    process.stdin = None


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    output, errors = process.communicate()
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        if process.returncode < 0:
            what = f"its process was killed by signal {-process.returncode}"
            what += ", perhaps because the machine's memory does not suffice" if process.returncode == -9 else ""
            raise TrialError(what, bug=False) from None
        printed = errors.decode(errors="replace").strip()
        ended = f"the code ended the process with status {process.returncode}"  # os._exit(), or a library that does so
        raise TrialError("\n".join(filter(None, (printed, ended))), bug=True) from None
    if "error" in answer:
        refused = str(answer.get("refused", ""))
        raise TrialError(refused or str(answer["error"]), not (refused or answer["out_of_memory"]), bool(refused))
    return answer


def _joined(answers: Sequence[Mapping[str, Any]]) -> Measurement:
    """Combine what several processes measured at the same time: the median of each time, the largest of each size."""

    def middle(name: str) -> float:
        return float(statistics.median(answer[name] for answer in answers))

    shortest = min(len(answer["epochs"]) for answer in answers)
    first = answers[0]
    phases = [
        PhaseTime(active, statistics.median(answer["phases"][k][1] for answer in answers))
        for k, (active, _) in enumerate(first["phases"])
    ]
    values: dict[str, Any] = {f.name: middle(f.name) for f in fields(Measurement) if f.name in _MIDDLE}
    values |= {f.name: max(answer[f.name] for answer in answers) for f in fields(Measurement) if f.name in _SIZES}
    epochs = tuple(statistics.median(answer["epochs"][k] for answer in answers) for k in range(shortest))
    problem = next((answer["problem"] for answer in answers if answer["problem"]), "")
    return Measurement(at_once=len(answers), epochs=epochs, phases=tuple(phases), problem=problem, **values)


_TIMES = ("worker_start", "setup", "step", "validation", "saving")
_MIDDLE = (*_TIMES, "slowdown")
_SIZES = (
    "steps", "checkpoint_bytes", "weights_bytes", "parameters", "private_bytes", "shared_bytes", "gpu_bytes",
    "gpu_machine_bytes",
)  # fmt: skip


def with_zero_estimates(train: Mapping[str, np.ndarray], sources: int) -> dict[str, np.ndarray]:
    """Add zeros to the training view in the place of the estimates that training starts from."""
    mixture = train["mixture"]
    shape = (mixture.shape[0], sources, *mixture.shape[1:])
    return {**train, "start": torch.zeros(shape).numpy()}

"""The measurement of a trial: sums by hand, and processes that measure it."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.dry_run import measurement, trial
from sepray.dry_run.measurement import Measurement, PhaseTime, TrialError, measure_trial, with_zero_estimates
from sepray.execution import cluster

from .test_trial import context

MEASURED = Measurement(
    at_once=2,
    worker_start=3.0,
    setup=2.0,
    epochs=(10.0, 1.0, 4.0),
    step=0.5,
    phases=(PhaseTime(None, 0.2), PhaseTime("adversarial", 0.125)),
    steps=8,
    validation=0.75,
    saving=0.25,
    checkpoint_bytes=4000,
    weights_bytes=1000,
    parameters=240,
    private_bytes=300,
    shared_bytes=200,
    gpu_bytes=0,
    gpu_machine_bytes=0,
    problem="",
)
ANSWER = {
    "worker_start": 3.0, "setup": 2.0, "epochs": [10.0, 1.0, 4.0], "step": 0.5,
    "phases": [[None, 0.2], ["adversarial", 0.125]],
    "steps": 8, "validation": 0.75, "saving": 0.25, "checkpoint_bytes": 4000, "weights_bytes": 1000, "parameters": 240,
    "private_bytes": 300, "shared_bytes": 200, "gpu_bytes": 0, "gpu_machine_bytes": 0, "problem": "", "slowdown": 1.0,
}  # fmt: skip


def test_step_is_shorter_where_a_phase_is_skipped():
    assert MEASURED.step_seconds({}) == 0.5
    assert MEASURED.step_seconds({"adversarial": 1.0}) == 0.5
    assert MEASURED.step_seconds({"adversarial": 0.0}) == 0.375
    assert MEASURED.step_seconds({"adversarial": 0.5}) == 0.4375
    assert MEASURED.step_seconds({"other": 0.0}) == 0.5
    noisy = replace(MEASURED, phases=(PhaseTime("adversarial", 0.7),))
    assert noisy.step_seconds({"adversarial": 0.0}) == 0.0


def test_later_epoch_has_steps_validation_and_the_mean_of_what_is_around_them():
    assert MEASURED.epoch_seconds({}) == 2.5 + 8 * 0.5 + 0.75
    assert MEASURED.epoch_seconds({"adversarial": 0.0}) == 2.5 + 8 * 0.375 + 0.75
    assert replace(MEASURED, epochs=(10.0,)).epoch_seconds({}) == 10 + 8 * 0.5 + 0.75
    assert replace(MEASURED, epochs=()).epoch_seconds({}) == 8 * 0.5 + 0.75
    assert [MEASURED.outside(epoch) for epoch in (0, 2, 3)] == [10.0, 4.0, 2.5]


@pytest.mark.parametrize(("epochs", "outside"), [(1, 10), (2, 11), (3, 15), (5, 15 + 2 * 2.5)])
def test_trial_is_built_trained_and_saved(epochs, outside):
    assert MEASURED.trial_seconds(epochs, {}) == 2 + outside + epochs * (8 * 0.5 + 0.75) + 0.25
    less = MEASURED.trial_seconds(epochs, {"adversarial": 0.0})
    assert less == 2 + outside + epochs * (8 * 0.375 + 0.75) + 0.25


class Processes:
    """Stand for the processes: keep what they are asked, and answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, float]] = []
        self.jobs: list[trial.Job] = []
        self.files: dict[str, np.ndarray] = {}

    def __call__(self, job, count):
        self.asked.append((count, job.epochs, job.seconds))
        self.jobs.append(job)
        self.files = {path.name: np.load(path) for path in Path(job.folder).iterdir()}
        return [ANSWER] * count


@pytest.fixture
def processes(monkeypatch) -> Processes:
    fake = Processes()
    monkeypatch.setattr(measurement, "_ask", fake)
    monkeypatch.setattr(measurement.processor, "cpus", lambda: 4)
    return fake


def parameters(of=None, items=3):
    mixture = torch.arange(items * 128.0).reshape(items, 1, 128).numpy()
    views = {"mixture": mixture, "sources": np.stack([mixture, mixture], axis=1)}
    return {"context": of or context(max_epochs=6), "train": views, "validation": {"mixture": mixture - 1}}


def test_one_trial_at_once_is_measured_once(processes):
    assert measure_trial(parameters(), {"rate": 1.0}, 5, 1, 0) == replace(MEASURED, at_once=1)
    seconds = measurement._SECONDS
    assert processes.asked == [(1, 6, seconds)]
    [job] = processes.jobs
    assert (job.context, job.settings, job.seed) == (context(max_epochs=6), {"rate": 1.0}, 5)
    given = parameters()
    assert processes.files.keys() == {"train-mixture.npy", "train-sources.npy", "validation-mixture.npy"}
    np.testing.assert_array_equal(processes.files["train-sources.npy"], given["train"]["sources"])
    np.testing.assert_array_equal(processes.files["validation-mixture.npy"], given["validation"]["mixture"])
    assert not Path(job.folder).exists()


def test_several_at_once_are_measured_together_where_their_memory_fits(processes):
    need = 4 * 300 + 200
    seconds = measurement._SECONDS
    assert measure_trial(parameters(), {}, 0, 4, need).at_once == 4
    assert processes.asked == [(1, 1, seconds), (4, 6, seconds)]
    processes.asked.clear()
    assert measure_trial(parameters(), {}, 0, 4, need - 1).at_once == 1
    assert processes.asked == [(1, 1, seconds), (1, 6, seconds)]


def test_trials_that_share_a_cpu_take_as_many_times_as_long(processes):
    found = measure_trial(parameters(), {}, 0, 6, 10**9)
    assert (found.worker_start, found.setup, found.step, found.validation, found.saving) == (
        4.5,
        3.0,
        0.75,
        1.125,
        0.375,
    )
    assert found.epochs == (15.0, 1.5, 6.0)
    assert [phase.seconds for phase in found.phases] == pytest.approx([0.3, 0.1875])
    assert (found.checkpoint_bytes, found.steps, found.at_once) == (4000, 8, 6)


def test_slowdown_is_by_other_programs_alone(processes):
    assert replace(MEASURED, slowdown=3.0).shared(0.5).slowdown == 3.0
    assert replace(MEASURED, slowdown=3.0).shared(1.5).slowdown == 2.0  # of 3 trials on 2 CPUs
    assert replace(MEASURED, slowdown=1.25).shared(1.5).slowdown == 1.0
    assert replace(MEASURED, slowdown=3.0, at_once=1).shared(1.5).slowdown == 3.0  # it had a CPU of its own


@pytest.mark.parametrize(("changes", "by_cpu"), [({}, True), ({"threads": 2}, False), ({"device": "cuda"}, False)])
def test_trials_of_one_thread_are_timed_by_the_cpu(processes, changes, by_cpu):
    found = measure_trial(parameters(context(max_epochs=6, **changes)), {}, 0, 6, 10**9)
    assert found.by_cpu is by_cpu
    assert found.step == (0.75 if by_cpu else 0.5)


def test_on_a_gpu_one_is_measured_alone(processes):
    assert measure_trial(parameters(context(device="cuda", max_epochs=6)), {}, 0, 4, 10**9).at_once == 1
    assert processes.asked == [(1, 6, measurement._SECONDS)]


def test_times_of_several_are_their_median_and_sizes_their_largest():
    other = ANSWER | {
        "worker_start": 5.0, "setup": 4.0, "epochs": [20.0, 3.0], "step": 1.5, "validation": 1.25, "saving": 1.25,
        "phases": [[None, 0.4], ["adversarial", 0.375]], "checkpoint_bytes": 4100,
        "private_bytes": 280, "shared_bytes": 240, "gpu_bytes": 7, "gpu_machine_bytes": 9, "problem": "not finite",
        "slowdown": 2.0,
    }  # fmt: skip
    assert measurement._joined([ANSWER, other]) == Measurement(
        at_once=2,
        worker_start=4.0,
        setup=3.0,
        epochs=(15.0, 2.0),
        step=1.0,
        phases=(PhaseTime(None, pytest.approx(0.3)), PhaseTime("adversarial", 0.25)),
        steps=8,
        validation=1.0,
        saving=0.75,
        checkpoint_bytes=4100,
        weights_bytes=1000,
        parameters=240,
        private_bytes=300,
        shared_bytes=240,
        gpu_bytes=7,
        gpu_machine_bytes=9,
        problem="not finite",
        slowdown=1.5,
    )


def test_start_is_zeros_of_the_shape_of_estimates():
    train = {"mixture": np.ones((5, 1, 16), np.float32), "observed": np.ones((5, 1, 16), np.float32)}
    found = with_zero_estimates(train, 3)
    assert found.keys() == {"mixture", "observed", "start"}
    np.testing.assert_array_equal(found["start"], np.zeros((5, 3, 1, 16), np.float32))
    assert found["start"].dtype == np.float32


STUB = '''
"""Stands for the script: answers, or does not, as the settings of the job say."""
import json, os, sys
settings = json.load(sys.stdin)
names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
if "signal" in settings:
    os.kill(os.getpid(), settings["signal"])
if "words" in settings:
    sys.exit(settings["words"])
print(json.dumps({"found": {n: os.environ[n] for n in names}, "path": sys.path, **settings}))
'''


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A script in the place of the one that measures, found by its name on the path of this process."""
    (tmp_path / "stub_trial.py").write_text(STUB)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial, "__name__", "stub_trial")

    def ask(count=1, **settings):
        job = trial.Job(context(threads=3), "", settings, 0, 1, 1.0)
        return measurement._ask(job, count)

    # No pickle of the job, whose modules take seconds to import.
    monkeypatch.setattr(measurement.pickle, "dumps", lambda job: json.dumps(job.settings).encode())
    return ask


def test_processes_have_the_path_the_threads_and_the_allocator_of_workers(stub, tmp_path):
    first, second = stub(count=2, answer=7)
    assert (first["answer"], second["answer"]) == (7, 7)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "3")
    trim = {"MALLOC_TRIM_THRESHOLD_": cluster._ALLOCATOR_SETTINGS["MALLOC_TRIM_THRESHOLD_"]}
    assert first["found"] == threads | trim
    assert str(tmp_path) in first["path"]


@pytest.mark.parametrize(
    ("settings", "message", "bug"),
    [
        ({"error": "Traceback: x", "out_of_memory": False}, "Traceback: x", True),
        ({"error": "MemoryError", "out_of_memory": True}, "MemoryError", False),
        ({"error": "Traceback: x", "out_of_memory": False, "refused": "no such width"}, "no such width", False),
        ({"words": "cannot begin"}, "cannot begin\nthe code ended the process with status 1", True),
        ({"words": 0}, "the code ended the process with status 0", True),
        ({"words": 5}, "the code ended the process with status 5", True),
        ({"signal": 9}, "its process was killed by signal 9, perhaps because the machine's memory does not", False),
        ({"signal": 11}, "its process was killed by signal 11", False),
    ],
)
def test_trial_that_fails_is_an_error(stub, settings, message, bug):
    with pytest.raises(TrialError) as caught:
        stub(**settings)
    assert str(caught.value).startswith(message)
    assert ("perhaps" in str(caught.value)) == (settings == {"signal": 9})
    assert caught.value.bug is bug


@pytest.mark.parametrize("size", [1, 10_000_000])  # bytes: a pipe takes the one, and not the other
def test_process_that_ends_before_it_reads_its_job_tells_its_own_end(size):
    process = subprocess.Popen(["sh", "-c", "echo no memory >&2; exit 3"], stdin=-1, stdout=-1, stderr=-1)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    measurement._send(process, bytes(size))
    with pytest.raises(TrialError, match=r"^no memory\nthe code ended the process with status 3$"):
        measurement._answer(process)


def test_processes_end_with_an_interruption(stub, monkeypatch):
    running = []

    def interrupted(process):
        running.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(measurement, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stub(count=2, words=0)
    assert running[0].returncode is not None


def test_real_process_measures_a_real_separator():
    from sepray.separators import constant_mask

    given = parameters(context(constant_mask.Config(), max_epochs=2))
    given["validation"] = {name: array + 1 for name, array in given["train"].items()}
    found = measure_trial(given, {}, 0, 1, 0)
    assert (found.at_once, found.steps, found.step, found.phases, found.parameters) == (1, 0, 0.0, (), 0)
    assert len(found.epochs) == 2
    assert found.checkpoint_bytes > found.weights_bytes == 0
    assert found.epoch_seconds({}) > 0
    assert found.worker_start > 0

"""Synthetic ECG: heart rates, failed draws, and worker processes."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import signalz

from sepray import processor
from sepray.data import synthetic_ecg
from sepray.data.synthetic_ecg import RecordingSpec, synthesise, synthesise_all

from .beats import mean_bpm

SHORT = [RecordingSpec(5, (0, 0, index), (80.0, 90.0), 1.0, 128, 3.0) for index in range(5)]


@pytest.mark.parametrize(("bpm", "sample_rate"), [(30, 64), (60, 250), (240, 100)])
def test_other_rates(bpm: float, sample_rate: int) -> None:
    recording = synthesise(RecordingSpec(0, (0,), (bpm, bpm), 0.5, sample_rate, 6.0))
    assert recording.shape == (6 * sample_rate,)
    assert mean_bpm(recording, sample_rate) == pytest.approx(bpm, rel=0.02)


@pytest.mark.parametrize("processes", [2, 3])
def test_same_recordings_by_any_number_of_processes(processes: int) -> None:
    alone, together = synthesise_all(SHORT, 1), synthesise_all(SHORT, processes)
    assert len(alone) == len(together) == 5
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(alone[0], alone[1])


def test_numpy_global_generator_is_left_as_it_was() -> None:
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.uniform(size=3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first = synthesise(SHORT[0])
    assert np.array_equal(np.random.uniform(size=3), expected)  # noqa: NPY002
    assert np.array_equal(synthesise(SHORT[0]), first)


def test_failed_draws_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, rates = signalz.ecgsyn, []

    def fail_twice(**arguments: object) -> object:
        rates.append(arguments["hrmean"])
        if len(rates) < 3:
            raise IndexError
        return real(**arguments)

    straight = synthesise(SHORT[0])
    monkeypatch.setattr(signalz, "ecgsyn", fail_twice)
    third = synthesise(SHORT[0])
    assert len(rates) == 3
    assert len(set(rates)) == 1  # the heart rate is kept: failures must not choose among them
    assert third.shape == straight.shape
    assert not np.array_equal(third, straight)
    monkeypatch.setattr(signalz, "ecgsyn", lambda **_: (np.zeros(3), None))
    with pytest.raises(RuntimeError, match="no recording in 100 attempts"):
        synthesise(SHORT[0])


def test_dead_worker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="ended early, with status 1"):
        synthesise_all(SHORT, 2)


def test_worker_needs_no_torch() -> None:
    program = "import sys, runpy; runpy.run_path(sys.argv[1]); print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-P", "-c", program, synthetic_ecg.__file__], capture_output=True, text=True
    )
    assert result.stdout.strip() == "False"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"),
    [
        (io.StringIO, 2.0, "ECG recordings: 3 of 3, 8 s\n"),
        (Terminal, 2.0, "".join(f"\r\x1b[2KECG recordings: {k} of 3, {4 + 2 * (k - 1)} s" for k in (1, 2, 3)) + "\n"),
        (Terminal, 0.25, ""),  # not for work of a second: 0.5, 0.75 and 1 s
    ],
)
def test_progress_is_shown_where_it_takes_more_than_a_second(stream, seconds, shown, monkeypatch) -> None:
    class Clock:
        now = 7.0 - seconds

        def monotonic(self) -> float:
            self.now += seconds
            return self.now

    monkeypatch.setattr(synthetic_ecg, "time", Clock())
    monkeypatch.setattr(sys, "stderr", stream())
    progress = synthetic_ecg._Progress(3)
    synthetic_ecg.time.now += seconds  # the first one takes twice as long
    recordings = [np.full(2, k, np.float32) for k in range(3)]
    assert [progress.count(one) is one for one in recordings] == [True] * 3
    assert sys.stderr.getvalue() == shown


@pytest.mark.parametrize(
    ("rate", "seconds", "made", "generated"),
    # Generated: at 256 Hz or more, a power of two of seconds (4 at least) that has another second before the first.
    [
        (128, 3.0, 256, 4),
        (128, 3.5, 256, 8),
        (100, 1.0, 300, 4),
        (255, 7.0, 510, 8),
        (256, 1.0, 256, 4),
        (64, 8.0, 256, 16),
    ],
)
def test_generator_is_asked_for_the_true_rate_and_its_start_is_cut(
    monkeypatch: pytest.MonkeyPatch, rate: int, seconds: float, made: int, generated: int
) -> None:
    given = {}

    def ecgsyn(**arguments: object) -> tuple[np.ndarray, None]:
        given.update(arguments)
        return np.arange(generated * made), None

    monkeypatch.setattr(signalz, "ecgsyn", ecgsyn)
    monkeypatch.setattr(synthetic_ecg, "ode45_step", lambda *_: 0.64)  # its clock; 2/3 in signalz 0.8
    spec = RecordingSpec(0, (), (64.0, 64.0), 0.8, rate, seconds)
    samples = synthetic_ecg._ecgsyn(64.0, spec)
    assert samples.tolist() == [made + k * (made // rate) for k in range(spec.samples)]
    assert (given["sfecg"], given["sfint"], given["n"]) == (made, made, round(0.75 * generated * 100 / 60))
    assert (given["hrmean"], given["hrstd"]) == pytest.approx((100.0, 1.25))
    # The roots of 0.64: square 0.8, fourth 0.8944.
    fourth = 0.8**0.5
    assert given["ti"] == pytest.approx([-70 * fourth, -15 * 0.8, 0, 15 * 0.8, 100 * fourth])
    assert given["bi"] == pytest.approx([0.2, 0.08, 0.08, 0.08, 0.32])


def test_clock_of_signalz_is_measured_on_its_own_step() -> None:
    assert float(synthetic_ecg.ode45_step(lambda _x, _t: 1.0, 0.0, 0.0, 1.0)) == pytest.approx(2 / 3)


class Worker:
    """Stands in for a process that makes recordings of zeros; ``started`` holds all of them."""

    started: list["Worker"]

    def __init__(self, command: list[str], stdin: int, stdout: int, env: dict[str, str]) -> None:
        assert command == [sys.executable, "-P", synthetic_ecg.__file__]
        assert stdin == stdout == subprocess.PIPE
        self.env, self.ended, self.asked = env, [], b""
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(bytes(4 * 384 * 100))
        self.stdin.close = lambda: setattr(self, "asked", self.stdin.getvalue())  # type: ignore[method-assign]
        Worker.started.append(self)

    def kill(self) -> None:
        self.ended.append("killed")

    def wait(self) -> int:
        self.ended.append("waited for")
        return 0


@pytest.mark.parametrize(
    ("cpus", "specs", "processes", "workers"),
    [
        (4, 7, None, 0),
        (4, 15, None, 0),
        (4, 16, None, 2),
        (2, 100, None, 2),
        (1, 100, None, 0),
        (9, 3, 5, 3),
        (9, 1, 5, 0),
    ],
)
def test_as_many_processes_as_there_are_cpus_and_work_for(
    monkeypatch: pytest.MonkeyPatch, cpus: int, specs: int, processes: int | None, workers: int
) -> None:
    Worker.started = []
    monkeypatch.setattr(processor, "cpus", lambda: cpus)
    monkeypatch.setattr(synthetic_ecg, "synthesise", lambda spec: np.full(384, 1, np.float32))
    monkeypatch.setattr(subprocess, "Popen", Worker)
    wanted = [SHORT[0]._replace(key=(number,)) for number in range(specs)]
    made = synthesise_all(wanted, processes)
    assert [(len(one), float(one[0])) for one in made] == [(384, 0.0 if workers else 1.0)] * specs
    assert len(Worker.started) == workers
    for number, worker in enumerate(Worker.started):
        assert [fields[1] for fields in json.loads(worker.asked)] == [[n] for n in range(specs)][number::workers]
        assert {worker.env[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"1"}
        assert "PATH" in worker.env
        assert worker.ended == ["killed", "waited for"]
        assert worker.stdout.closed


def test_recording_too_short_is_drawn_again_and_the_highest_peak_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([np.zeros(383), np.array([1.0] * 300 + [5.0] * 83 + [3.0])])
    monkeypatch.setattr(synthetic_ecg, "_ecgsyn", lambda bpm, spec: next(drawn))
    made = synthesise(SHORT[0])
    assert made.dtype == np.float32
    assert made.tolist() == [0.0] * 300 + [1.0] * 83 + [0.5]


def test_samples_are_steps_of_a_converter() -> None:
    steps = synthesise(SHORT[0]).astype(np.float64) * 2**14
    assert np.array_equal(steps, np.round(steps))
    assert not np.array_equal(steps / 2, np.round(steps / 2))


def test_heart_rate_is_drawn_by_the_seed_and_the_key_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        synthetic_ecg,
        "_ecgsyn",
        lambda bpm, spec: drawn.append((bpm, np.random.uniform())) or np.arange(384.0),  # noqa: NPY002
    )
    for spec in (SHORT[0], SHORT[0], SHORT[1], SHORT[0]._replace(seed=6)):
        synthesise(spec)
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == len({bpm for bpm, _ in drawn}) == len({draw for _, draw in drawn}) == 3
    expected = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(0, 0, 0))).uniform(80.0, 90.0)
    assert drawn[0][0] == expected
    seeds = np.random.SeedSequence(5, spawn_key=(0, 0, 0, 0)).generate_state(4)
    assert drawn[0][1] == np.random.RandomState(seeds).uniform()


def test_program_writes_recordings_one_after_the_other_and_ignores_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    handled, written = [], io.BytesIO()
    flushed = []
    monkeypatch.setattr(written, "flush", lambda: flushed.append(len(written.getvalue())))
    monkeypatch.setattr(synthetic_ecg.signal, "signal", lambda *given: handled.append(given))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(SHORT[:2])))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=written))
    monkeypatch.setattr(synthetic_ecg, "synthesise", lambda spec: np.full(3, 10 * spec.key[2] + len(spec), np.float32))
    synthetic_ecg._work()
    assert np.frombuffer(written.getvalue(), np.float32).tolist() == [6, 6, 6, 16, 16, 16]
    assert flushed == [12, 24]
    names = synthetic_ecg.signal
    assert handled == [(names.SIGINT, names.SIG_IGN), (names.SIGPIPE, names.SIG_DFL)]

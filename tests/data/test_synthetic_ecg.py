"""Synthetic ECG: heart rates, failed draws, and worker processes."""

import io
import subprocess
import sys

import numpy as np
import pytest
import signalz

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
        (Terminal, 2.0, "".join(f"\rECG recordings: {k} of 3, {4 + 2 * (k - 1)} s" for k in (1, 2, 3)) + "\n"),
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

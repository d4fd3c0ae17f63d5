"""ECG recordings from ``signalz.ecgsyn``: seeded, at the heart rate asked for, in parallel.

This file is also the program of the worker processes. There it imports nothing from sepray and no torch, so a worker
starts in a third of a second. (Workers of ``multiprocessing`` would import the user's whole study script first.)

What ``signalz`` 0.8 does, and what is done about it here:

- It draws from numpy's global generator: the generator is seeded for each recording, and restored afterwards.
- Some draws end in an IndexError (a beat that ends with the last sample): the next seed is tried.
- Its Runge-Kutta step is a sixth of the plain sum of four slopes, where the middle two should count twice, so the
  heart beats at 2/3 of the rate asked for. The factor is measured on the step itself (so that a repaired version needs
  no change here) and divided out of the rates. ``signalz`` derives the angles and widths of the waves from the rate:
  it is given values from which they come out as for the true rate.
- It integrates a power of two of seconds: it is asked for as many beats as fill the next power, and the rest is cut.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import signalz
from numpy.typing import NDArray
from signalz.misc import ode45_step

VERSION = 1
"""Version of the recordings; part of the key of cached ones."""

_ATTEMPTS = 100
_SETTLING = 1.0  # seconds cut from the start, where the integrator is not yet on its cycle
_LEAST_RATE = 256  # Hz; at a lower rate the integrator damps its cycle, and signalz' annotation of peaks fails
_RESOLUTION = 2.0**-14  # of the R peak, as a 15-bit converter: hides last-bit differences between CPUs
_ANGLES = np.array([-70.0, -15.0, 0.0, 15.0, 100.0])  # of P, Q, R, S, T in degrees at 60 beats a minute: signalz' own
_WIDTHS = np.array([0.25, 0.1, 0.1, 0.1, 0.4])  # in radians, at 60 beats a minute: signalz' own


class RecordingSpec(NamedTuple):
    """A recording to make.

    Attributes:
        seed: random seed of the whole data set.
        key: numbers of this recording; no other with the same seed has them.
        bpm: lowest and highest mean heart rate, drawn uniformly, in beats a minute.
        bpm_std: standard deviation of the heart rate within the recording, in beats a minute.
        sample_rate: sampling rate in Hz.
        seconds: length in seconds.
    """

    seed: int
    key: tuple[int, ...]
    bpm: tuple[float, float]
    bpm_std: float
    sample_rate: int
    seconds: float

    @property
    def samples(self) -> int:
        """Length in samples."""
        return round(self.seconds * self.sample_rate)


def synthesise(spec: RecordingSpec) -> NDArray[np.float32]:
    """Return one recording ``[time]``: its isoelectric line (the median) is 0 and its highest R peak is 1.

    Raises:
        RuntimeError: ``signalz`` failed for every one of many seeds.
    """
    bpm = np.random.default_rng(_seeds(spec)).uniform(*spec.bpm)
    state = np.random.get_state()  # noqa: NPY002 - signalz draws from the global generator
    try:
        for attempt in range(_ATTEMPTS):
            np.random.seed(_seeds(spec, attempt).generate_state(4))  # noqa: NPY002
            try:
                ecg = _ecgsyn(float(bpm), spec)
            except IndexError:
                continue
            if len(ecg) == spec.samples:
                ecg -= np.median(ecg)
                steps: NDArray[np.float64] = np.round(ecg / ecg.max() / _RESOLUTION)
                return (steps * _RESOLUTION).astype(np.float32)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    raise RuntimeError(f"signalz.ecgsyn made no recording in {_ATTEMPTS} attempts at {bpm:.1f} bpm: {spec}")


def synthesise_all(specs: Sequence[RecordingSpec], processes: int | None = None) -> list[NDArray[np.float32]]:
    """Return all recordings ``[time]``, the same whatever the number of processes.

    By default there is a process for each CPU, but at most one for every 8 recordings.

    Raises:
        RuntimeError: a worker process died.
    """
    if processes is None:
        from .. import processor  # here, because workers run this file alone

        processes = min(processor.cpus(), max(1, len(specs) // 8))
    processes = min(processes, len(specs))
    progress = _Progress(len(specs))
    if processes <= 1:
        return [progress.count(synthesise(spec)) for spec in specs]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    workers = [
        # -P: otherwise this folder comes first on the path, and its modules hide others of their names.
        subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads},
        )
        for _ in range(processes)
    ]
    try:
        for number, worker in enumerate(workers):
            assert worker.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed when nothing can be read from it
                worker.stdin.write(json.dumps(specs[number::processes]).encode())
                worker.stdin.close()
        return [progress.count(_receive(workers[index % processes], spec.samples)) for index, spec in enumerate(specs)]
    finally:
        for worker in workers:
            worker.kill()
            assert worker.stdout is not None
            worker.stdout.close()
            worker.wait()


def _seeds(spec: RecordingSpec, *attempt: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(spec.seed, spawn_key=(*spec.key, *attempt))


def _ecgsyn(bpm: float, spec: RecordingSpec) -> NDArray[np.float64]:
    """Return a recording by ``signalz``, from numpy's global generator, of as many samples as specified (or fewer)."""
    clock = float(ode45_step(lambda _x, _t: 1.0, 0.0, 0.0, 1.0))  # advance of its clock in one second: 2/3, not 1
    stretch = np.array([clock**0.25, clock**0.5, 1.0, clock**0.5, clock**0.25])
    decimation = math.ceil(_LEAST_RATE / spec.sample_rate)
    rate = spec.sample_rate * decimation
    seconds = max(4, 2 ** math.ceil(math.log2(spec.seconds + _SETTLING)))
    ecg, _ = signalz.ecgsyn(
        sfecg=rate,
        sfint=rate,
        n=round(0.75 * seconds * bpm / clock / 60),  # beats in 3/4 of the time: safely rounded up to all of it
        hrmean=bpm / clock,
        hrstd=spec.bpm_std / clock,
        ti=_ANGLES * stretch,
        bi=_WIDTHS * clock**0.5,
    )
    return np.asarray(ecg[int(_SETTLING * rate) :: decimation][: spec.samples], dtype=np.float64)


def _receive(worker: subprocess.Popen[bytes], samples: int) -> NDArray[np.float32]:
    assert worker.stdout is not None
    content = worker.stdout.read(4 * samples)
    if len(content) != 4 * samples:
        raise RuntimeError(f"a process that makes ECG recordings ended early, with status {worker.wait()}")
    return np.frombuffer(content, dtype=np.float32)


class _Progress:
    """Shows on stderr how many recordings are made, if they take longer than a second."""

    def __init__(self, total: int) -> None:
        self.done, self.total, self.start, self.shown = 0, total, time.monotonic(), False

    def count(self, recording: NDArray[np.float32]) -> NDArray[np.float32]:
        self.done += 1
        seconds = time.monotonic() - self.start
        last = self.done == self.total
        if seconds > 1 and (sys.stderr.isatty() or last):
            again = "\r\x1b[2K" if sys.stderr.isatty() else ""  # in the place of the line before
            text = f"{again}ECG recordings: {self.done} of {self.total}, {seconds:.0f} s"
            print(text, end="\n" if last else "", file=sys.stderr, flush=True)
        return recording


def _work() -> None:
    """Read a JSON list of specifications from stdin; write the recordings' samples to stdout, one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends its workers
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a parent that is gone ends them without a traceback
    for fields in json.load(sys.stdin):
        sys.stdout.buffer.write(synthesise(RecordingSpec(*fields)).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work()

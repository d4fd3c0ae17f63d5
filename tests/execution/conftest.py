"""Trials without Ray, and a clock that they can be given."""

import os
import time

import pytest

from sepray.execution import checkpoint_writer, trainable

from .bench import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch):
    # Without a Tune run, Ray would make folders in the user's home.
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    before = os.umask(0o022)
    os.umask(before)
    made = Bench(tmp_path)
    yield made
    for trial in made.opened:
        trial.stop()
    os.umask(before)  # a worker sets its own, which what runs afterwards in this process would have


class Clock:
    """Stands still unless it is set; nobody waits for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.sleep = self.slept.append
        self.time_ns = time.time_ns

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    stands = Clock()
    for module in (trainable, checkpoint_writer):
        monkeypatch.setattr(module, "time", stands)
    return stands

"""A small study that is driven without Ray and MLflow: trials are simulated, and the tracker keeps what it is told."""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import FloatDistribution
from rich.console import Console

from sepray.console import terminal
from sepray.contracts import Signal, Split, TaskData
from sepray.driver import stores as stores_module
from sepray.driver.prepared import PreparedStudy, prepare
from sepray.driver.stores import StudyStores
from sepray.execution import checkpoint, cluster
from sepray.separators import cass
from sepray.spec.study import StudySpec
from sepray.tasks import ecg

from ..simulation import Controller, SimulatedTrial
from .endings import ended, registry, study, tested

__all__ = ["ended", "registry", "study", "tested"]  # fixtures

SIGNAL = Signal(("low", "high"), 1, (128,), 64.0)


def split(seed: int, items: int = 4) -> Split:
    sources = torch.randn(items, 2, 1, 128, generator=torch.Generator().manual_seed(seed))
    return Split(sources.sum(1), sources)


DATA = TaskData(SIGNAL, split(0), split(1, 3), split(2, 5), "ab" * 32)


@dataclass
class FakeTracker:
    """Stands in for the tracker: keeps the name and the arguments of every call."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    waiting: int = 0
    refused: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def close(self, timeout: float = 0.0) -> int:
        self.calls.append(("close", (), {"timeout": timeout}))
        return self.waiting

    def named(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Return the arguments of every call of this name."""
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


@pytest.fixture
def tracker(monkeypatch) -> FakeTracker:
    """The tracker of every study that is opened."""
    fake = FakeTracker()

    def opened(outbox: Path, study: str, **settings: Any) -> FakeTracker:
        fake.calls.append(("Tracker", (outbox, study), settings))
        return fake

    monkeypatch.setattr(stores_module, "Tracker", opened)
    return fake


@pytest.fixture
def spec(tmp_path: Path) -> StudySpec:
    return StudySpec(
        name="small",
        separator=cass.DEBUG,
        task=ecg.DEBUG,
        space={"beta": FloatDistribution(0.0, 1.0), "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0)},
        reference_points={"published": {"beta": 0.5, "cross.{i}_to_{j}": 0.25}},
        controls={"plain": {"adversarial": 0}},
        trials=4,
        max_epochs=3,
        finalists=1,
        final_seeds=2,
        scheduler="none",
        sampler="random",
        storage=f"sqlite:///{tmp_path}/optuna.db",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        storage_path=str(tmp_path / "results"),
        cache=tmp_path / "cache",
    )


@pytest.fixture
def screen(monkeypatch) -> io.StringIO:
    """Return the text that the terminal shows."""
    console = Console(file=io.StringIO(), width=140, highlight=False)
    for module in _modules_with_a_console():
        monkeypatch.setattr(module, "console", console)
    return console.file


def _modules_with_a_console() -> list[Any]:
    from sepray.driver import (
        announcement,
        closing,
        continuing,
        driver,
        events,
        final_scores,
        finish,
        stage,
        stores,
        study_report,
    )

    own = [announcement, closing, continuing, driver, events, final_scores, finish, stage, stores, study_report]
    return [terminal, *own]


@pytest.fixture
def prepared(spec: StudySpec) -> PreparedStudy:
    return prepare(spec, DATA)


@pytest.fixture
def stores_of(tracker: FakeTracker):
    """Opens the stores of a study; they are closed in the end."""
    opened: list[StudyStores] = []

    def open_stores(prepared: PreparedStudy) -> StudyStores:
        opened.append(StudyStores(prepared))
        return opened[-1]

    yield open_stores
    for stores in opened:
        stores.close()


@pytest.fixture
def stores(prepared: PreparedStudy, tracker: FakeTracker):
    opened = StudyStores(prepared)
    yield opened
    opened.close()


class Simulation:
    """An executor of trials without Ray: each reports epochs whose objective is a function of its settings.

    Attributes:
        runs: what ``run_trials`` was called with, a dictionary a call.
        endings: outcome of a trial by its number, reported at its second epoch; all others are complete in the end.
        losses: stage, number and epoch of trials whose worker is lost once in the place of that epoch's result.
        kill_after: number of epochs after which the driver dies, if any.
        after_epoch: called with stage, number and epoch after each epoch of a trial.
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.endings: dict[int, dict[str, Any]] = {}
        self.losses: set[tuple[str, int, int]] = set()
        self.trained: list[tuple[str, int, int]] = []
        self.kill_after: int | None = None
        self.connections: list[Any] = []
        self.after_epoch: Callable[[str, int, int], None] = lambda stage, number, epoch: None

    def connect(self, *arguments: Any) -> int:
        """Stand in for the connection to Ray."""
        self.connections.append(arguments[:5])  # without what says sentences
        return 2

    def __call__(
        self, trainable: type, parameters: Mapping[str, Any], *, searcher: Any, scheduler: Any, **settings: Any
    ):
        self.runs.append({"trainable": trainable, "parameters": parameters, "scheduler": scheduler, **settings})
        context = parameters["context"]
        keys = [objective.key for objective in context.objectives]

        def report(trial: SimulatedTrial) -> dict[str, Any] | None:
            number, epoch = trial.config["number"], trial.epoch + 1
            here = (context.checkpoints.rpartition("/")[2], number, epoch)
            if here in self.losses:
                self.losses.remove(here)
                return None
            self.trained.append(here)
            self.after_epoch(*self.trained[-1])
            value = trial.config["hyperparameters"].get("beta", 0.0) + 1 / epoch + trial.config["seed"] % 7 / 1000
            result = {"epoch": epoch, "objective": value, "timestamp_ms": 1000 * epoch, "train/mse": 2 * value}
            budget = trial.config.get("epochs") or context.max_epochs
            result |= dict.fromkeys(keys, value) | {"outcome": "complete" if epoch == budget else ""}
            if epoch == 1:
                result["conditions"] = [dict(context.origin)]
            if epoch == 2 and number in self.endings and context.checkpoints.endswith("/search"):
                result |= self.endings[number]
            if result["outcome"] == "complete":
                _save_weights(f"{context.checkpoints}/{trial.config['folder']}", epoch)
            return result

        Controller(
            searcher, report, scheduler, slots=settings["slots"], kill_after=self.kill_after, name=settings["name"]
        ).run()


@functools.cache
def _weights() -> Mapping[str, torch.Tensor]:
    return cass.DEBUG.build(SIGNAL).state_dict()


def trained_weights(folder: str) -> dict[str, torch.Tensor]:
    """Return what a checkpoint in the folder of a simulated trial holds: other weights for each trial."""
    factor = 1 + zlib.crc32(folder.rpartition("/")[2].encode()) % 97 / 100
    return {
        f"0/separator.{name}": tensor * factor if tensor.is_floating_point() else tensor
        for name, tensor in _weights().items()
    }


def _save_weights(folder: str, epoch: int) -> None:
    tensors = trained_weights(folder)
    checkpoint.save(folder, epoch, tensors, {"members": [], "history": []})


@pytest.fixture
def simulation(monkeypatch) -> Simulation:
    """Runs all trials in the place of Ray, two at a time."""
    simulated = Simulation()
    monkeypatch.setattr(cluster, "run_trials", simulated)
    monkeypatch.setattr(cluster, "connect", simulated.connect)
    for leave in ("disconnect", "end"):
        monkeypatch.setattr(cluster, leave, lambda leave=leave: simulated.connections.append(leave))
    return simulated

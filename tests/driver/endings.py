"""A study that comes to its end: trials with weights of their own, and an MLflow that keeps what it is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal, Split, TaskData
from sepray.driver.finish import Finish
from sepray.driver.finished_trials import Finished
from sepray.driver.retrainings import Retraining
from sepray.errors import UnreachableError
from sepray.execution import checkpoint, weights
from sepray.separators import cass
from sepray.spec.study import StudySpec
from sepray.tasks import ecg
from sepray.tracking import load_check, models
from sepray.training.trainer import build

SIGNAL = Signal(("low", "high"), 1, (128,), 64.0)
TEST_ITEMS = 7


def split(seed: int, items: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    phase, gain = torch.rand(2, items, 2, 1, 1, generator=generator)
    rate = torch.tensor([0.2, 1.5]).reshape(1, 2, 1, 1)
    sources = (0.5 + gain) * torch.sin(rate * torch.arange(128) + 2 * math.pi * phase)
    return Split(sources.sum(1), sources)


DATA = TaskData(SIGNAL, split(0, 4), split(1, 8), split(2, TEST_ITEMS), "ab" * 32)
SPEC = StudySpec(
    name="sweep",
    separator=cass.DEBUG,
    task=ecg.DEBUG,
    space={},
    reference_points={"CASS": {"beta": 0.1}},
    controls={"plain autoencoder": {"adversarial": 0}},
)
ROLE, CONTROL = "trial 1", "plain autoencoder at the settings of trial 1"
PLAN = [Retraining(f"{role} seed {k}", role, {"beta": 0.2}, k) for role in (ROLE, "trial 0", CONTROL) for k in (1, 2)]


class Tracker:
    """Keeps what the study's run is told."""

    uri = "http://user:secret@tracker:5000"
    study = "sweep-1"

    def experiment_id(self):
        return "3"

    def __init__(self) -> None:
        self.told: list[tuple] = []
        self.flush = lambda timeout: 3  # records that still wait

    def study_finished(self, metrics, tags, note=""):
        self.told.append((dict(metrics), dict(tags), note))


class Registry:
    """A stand-in for MLflow's: the versions, which of them is champion, and what that separates."""

    def __init__(self) -> None:
        self.champion: str | None = None
        self.registered: list[tuple[str, str, str]] = []
        self.predict = lambda mixture: np.zeros((len(mixture), 2, 1, 128), np.float32)
        self.reachable = True
        self.described: list[str] = []

    def incumbent(self, name, uri=None):
        if not self.reachable:
            raise UnreachableError("MLflow at http://tracker:5000 does not answer")
        return self.champion

    def register(self, tracker, label, folder, name, *, tags, description, scored):
        assert (folder / "MLmodel").is_file()
        self.incumbent(name)
        self.tags, self.description, self.scored = tags, description, scored
        self.described.append(description)
        self.registered.append((label, str(folder), name))
        return "7"

    def set_champion(self, name, version, uri, description):
        assert uri == Tracker.uri
        self.described.append(description)
        self.champion = version

    def has_files(self, name, version, uri):
        return True

    def describe(self, model, uri=None):
        return {"data_fingerprint": DATA.fingerprint}

    def load(self, model, uri=None):
        assert model == f"models:/cass-ecg/{self.champion}"
        return self


@pytest.fixture
def registry(monkeypatch):
    stands = Registry()
    for name in ("incumbent", "register", "set_champion", "has_files", "load", "describe"):
        monkeypatch.setattr(models, name, getattr(stands, name))
    monkeypatch.setattr(models, "as_function", lambda loaded: lambda x: torch.from_numpy(loaded.predict(x.numpy())))
    monkeypatch.setattr(load_check, "require_working", lambda *_: None)  # a process of its own, for seconds
    return stands


@pytest.fixture
def tested(monkeypatch):
    """Count how often a separator was given the test split's mixtures."""
    calls = []
    separate = cass.Cass.separate

    def counted(self, mixture):
        if len(mixture) == TEST_ITEMS:
            calls.append(self)
        return separate(self, mixture)

    monkeypatch.setattr(cass.Cass, "separate", counted)
    return calls


def trained(folder, number, value, role=None, label=None) -> Finished:
    """A trial with weights of its own, drawn from its number."""
    place = str(folder / f"{'finals' if role else 'search'}-{number}")
    weights = build(cass.DEBUG, SIGNAL, seed=number + (100 if role else 0)).state_dict()
    checkpoint.save(place, 3, {f"0/separator.{name}": tensor for name, tensor in weights.items()}, {"members": []})
    attributes = {"role": role, "seed": 1 + number % 2} if role else {}
    return Finished(number, label, {"beta": 0.2}, value, place, attributes)


class Study:
    """The trials that a study has when it comes to its end."""

    def __init__(self, folder) -> None:
        self.folder, self.tracker = folder, Tracker()
        self.searched = [trained(folder, 1, 0.3), trained(folder, 0, 0.9, label="CASS")]
        self.finals = [
            trained(folder, 0, 0.30, ROLE),
            trained(folder, 1, 0.40, ROLE),
            trained(folder, 2, 0.10, "trial 0"),
            trained(folder, 3, 0.80, "trial 0"),
            trained(folder, 4, 0.70, CONTROL),
            trained(folder, 5, 0.60, CONTROL),
        ]

    def finish(self, spec=SPEC, **ranges) -> int:
        return Finish(spec, DATA, self.folder, self.tracker, **ranges).run(self.searched, self.finals, PLAN)

    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def scores(trial: Finished, of: Split = DATA.test) -> np.ndarray:
    """The relative L2 error of a trial's separator, worked out anew, ``[item, source]``."""
    separator = weights.load_separator(cass.DEBUG, SIGNAL, trial.folder)
    error = separator.separate(of.mixture) - of.sources
    return (error.flatten(2).norm(dim=-1) / of.sources.flatten(2).norm(dim=-1)).numpy()


@pytest.fixture
def ended(study, registry, screen):
    """A study with a result and a package already; what is left is the registry."""
    study.finish()
    registry.registered.clear()
    study.tracker.told.clear()
    screen.truncate(0)
    return study


def damage(trial: Finished) -> None:
    for path in Path(trial.folder).iterdir():
        path.write_bytes(path.read_bytes()[:100])

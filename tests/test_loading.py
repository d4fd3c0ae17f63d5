"""A task's data and a separator are checked right after they are made; what their own code raises is not touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sepray import registry
from sepray.contracts import SPLITS, Oracle, Separator, Signal, Split, TaskData
from sepray.errors import UsageError
from sepray.loading import build_separator, load_task, refuse_unfit
from sepray.tasks import ecg_varied

DATA = TaskData(
    Signal(("low", "high"), 1, (4,), 128.0),
    *(Split(torch.ones(2, 1, 4), torch.ones(2, 2, 1, 4)) for _ in SPLITS),
    "abc",
)


@dataclass(frozen=True)
class Config:
    made: Any

    def load(self, cache: Path) -> TaskData:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made  # type: ignore[no-any-return]

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        return {}


Config.__module__ = "my_task"


@pytest.mark.parametrize("name", registry.names("sepray.tasks"))
def test_every_task_keeps_the_contract(name: str, tmp_path: Path) -> None:
    config = registry.find("sepray.tasks", name).DEBUG
    assert load_task(config, tmp_path).fingerprint == config.load(tmp_path).fingerprint


@pytest.mark.parametrize("hidden", ["https://h/x?sig=***", ("a", "***")])
def test_a_configuration_of_a_record_that_had_a_secret_is_refused(hidden: Any) -> None:
    with pytest.raises(UsageError, match="made had a secret, which studies and models do not keep: give it in"):
        load_task(Config(hidden), Path())


def test_data_come_back_as_they_are_and_breaches_name_the_task() -> None:
    assert load_task(Config(DATA), Path()) is DATA
    doubled = replace(DATA.train, sources=DATA.train.sources.double())
    with pytest.raises(UsageError) as refusal:
        load_task(Config(replace(DATA, train=doubled)), Path())
    wanted = "float32 [item, source, channel, time], is float64 [2, 2, 1, 4]"
    assert str(refusal.value) == f"my_task: train.sources must be {wanted}"


def test_breaches_of_a_variant_name_it_in_full(monkeypatch) -> None:
    monkeypatch.setattr(ecg_varied.Config, "load", lambda config, cache: None)
    with pytest.raises(UsageError, match=r"^ecg:varied: "):
        load_task(ecg_varied.Config(), Path())


def test_what_load_raises_is_not_touched() -> None:
    error = ValueError("a bug of the task's own")
    with pytest.raises(ValueError, match="bug") as raised:
        load_task(Config(error), Path())
    assert raised.value is error


def test_the_cache_is_handed_on(tmp_path: Path) -> None:
    seen = []

    class Remembering(Config):
        def load(self, cache: Path) -> TaskData:
            seen.append(cache)
            return DATA

    load_task(Remembering(None), tmp_path)
    assert seen == [tmp_path]


class Complete(Separator):
    learns = False

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return mixture


class WithoutHyperparameters(Separator):
    def separate(self, mixture):
        return mixture


class WithoutSeparate(Separator):
    def hyperparameters(self):
        return {}


class WithoutTruth(Oracle):
    def hyperparameters(self):
        return {}


def built(kind: object) -> object:
    """A configuration whose ``build`` returns what ``kind`` gives for a signal, of a module ``my_separator``."""
    members = {"build": lambda self, signal: kind(signal), "batch_size": 4, "betas": (0.9, 0.999)}
    config = dataclass(frozen=True)(type("Config", (), members))
    config.__module__ = "my_separator"
    return config()


LOADED = Signal(("a", "b"), 1, (8,), 8.0)


def test_separator_that_is_one_is_returned():
    assert isinstance(build_separator(built(Complete), LOADED), Complete)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (lambda signal: 3, "Config.build must return a sepray.contracts.Separator, returns int"),
        (lambda signal: None, "Config.build must return a sepray.contracts.Separator, returns NoneType"),
        (
            lambda signal: torch.nn.Linear(2, 2),
            "Config.build must return a sepray.contracts.Separator, returns torch.nn.modules.linear.Linear",
        ),
        (WithoutHyperparameters, "WithoutHyperparameters must define hyperparameters()"),
        (WithoutSeparate, "WithoutSeparate must define separate()"),
        (WithoutTruth, "WithoutTruth must define separate_given()"),
    ],
)
def test_what_is_no_separator_is_refused_in_one_line(kind, line):
    with pytest.raises(UsageError) as refusal:
        build_separator(built(kind), LOADED)
    assert str(refusal.value) == f"my_separator: {line}"


def test_error_that_build_raises_passes_through():
    with pytest.raises(RuntimeError, match="size"):
        build_separator(built(lambda signal: torch.ones(2) + torch.ones(3)), LOADED)


def test_config_of_a_task_that_is_no_dataclass_is_refused(tmp_path):
    config = type("Config", (), {"load": lambda self, cache: DATA})
    config.__module__ = "my_task"
    with pytest.raises(
        UsageError, match=r"^my_task\.Config must be a dataclass: put @dataclass\(frozen=True\) above it$"
    ):
        load_task(config(), tmp_path)


def test_config_without_its_method_is_refused(tmp_path):
    config = type("Config", (), {})
    config.__module__ = "mine"
    with pytest.raises(UsageError, match=r"^mine: Config must have a method build\(signal\) that returns a Separator$"):
        build_separator(config(), LOADED)
    with pytest.raises(UsageError, match=r"^mine: Config must have a method load\(cache\) that returns a TaskData$"):
        load_task(config(), tmp_path)


def test_a_separator_that_does_not_take_components_is_refused_without_data() -> None:
    task = replace(ecg_varied.DEBUG, channels=3, one_component=True)
    nmf, cass = (registry.config("sepray.separators", f"{name}:debug") for name in ("nmf", "cass"))
    with pytest.raises(UsageError, match=r"^nmf gives each source all 3 channels .* leave out --task\.one-component$"):
        refuse_unfit(nmf, task)
    refuse_unfit(cass, task)
    refuse_unfit(nmf, Config(None))  # which says nothing before it is loaded

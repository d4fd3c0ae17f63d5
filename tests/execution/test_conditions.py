"""The record of the machine and the versions that a trial is trained with."""

import os

import numpy
import pytest
import torch

import sepray
from sepray import processor
from sepray.execution.conditions import conditions, differences, set_deterministic


def test_conditions_name_the_machine_and_the_versions():
    found = conditions(3, "cpu")
    assert found == {
        "processor": processor.name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": "3",
        "device": "cpu",
        "python": found["python"],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "sepray": sepray.__version__,
    }
    assert all(isinstance(value, str) and value for value in found.values())


def test_differences_are_those_of_what_was_recorded():
    then = {"torch": "2.9.0", "threads": "1", "gone": "x"}
    assert differences(then, {"torch": "2.11.0", "threads": "1", "new": "y"}) == [
        "torch: 2.9.0 -> 2.11.0",
        "gone: x -> unknown",
    ]


def test_graphics_card_has_its_name_and_says_which_algorithms_it_may_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    alone = conditions(1, "cpu")
    for deterministic, algorithms in ((True, "deterministic"), (False, "any")):
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda on=deterministic: on)
        assert conditions(1, "cuda") == {**alone, "device": "a card", "cuda": "12.8", "algorithms": algorithms}


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_deterministic_algorithms_are_asked_for_everywhere(monkeypatch, own):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    set_deterministic(False)
    assert (asked, torch.backends.cudnn.deterministic) == ([False], False)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    if own:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", own)
    set_deterministic(True)
    assert (asked, torch.backends.cudnn.deterministic) == ([False, True], True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (own or ":4096:8")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")

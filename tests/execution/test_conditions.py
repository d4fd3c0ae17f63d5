"""What is recorded of the machine and the versions that a trial is trained with."""

import numpy
import torch

import sepray
from sepray import processor
from sepray.execution.conditions import conditions, differences


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

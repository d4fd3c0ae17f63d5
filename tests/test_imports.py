"""Modules that a process has imported at each of its stages: one process for all, because an import takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys

stages = []

def reached():
    stages.append([*{name.split(".")[0] for name in sys.modules} | ({"torch._dynamo"} & set(sys.modules))])

import torch
import sepray.execution.checkpoint_writer, sepray.execution.weights
from sepray.execution.members import Members
reached()

from sepray.contracts import Signal
from sepray.execution.trainable import SeparatorTrainable
from sepray.separators import cass
from sepray.training.augmentation import PLAIN
items = torch.randn(4, 2, 1, 504)
view = {"mixture": items.sum(1), "sources": items}
trial = Members(
    cass.DEBUG, Signal(("a", "b"), 1, (504,), 128.0), seed=0, count=1, train=view, hyperparameters={}, device="cpu",
    augmentation=PLAIN,
)
trial.epoch(view, 4)
reached()

import sepray.study, sepray.driver.finish
reached()
print(json.dumps(stages))
"""
UNNEEDED = {
    "mlflow", "optuna", "sqlalchemy", "torch._dynamo", "sympy", "triton", "torchmetrics", "scipy", "sklearn",
    "matplotlib", "museval", "torchvision", "tyro",
}  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> list[set[str]]:
    """Modules after members and weights, after a trial in a worker, and after all that a study begins with."""
    command, root = [sys.executable, "-c", PROGRAM], Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=root)
    return [set(stage) for stage in json.loads(done.stdout)]


def test_members_and_weights_need_no_ray(stages):
    assert "torch" in stages[0]
    assert "ray" not in stages[0]


def test_worker_imports_nothing_that_a_trial_does_not_need(stages):
    """Each of these takes memory in every worker and time at its start; rich and pandas are Ray Tune's."""
    assert "ray" in stages[1]
    assert not UNNEEDED & stages[1]


def test_a_study_starts_without_what_only_the_report_needs(stages):
    assert "optuna" in stages[2]
    assert not {"matplotlib", "sklearn", "plotly"} & stages[2]

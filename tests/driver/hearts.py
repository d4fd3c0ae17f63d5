"""A small task with a heart rate in one of its sources, and separators with weights, without training."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from sepray.contracts import Signal, Split, TaskData
from sepray.execution import checkpoint
from sepray.separators import cass
from sepray.spec.study import StudySpec
from sepray.tasks import ppg

SIGNAL = Signal(("heart", "breath"), 1, (512,), 32.0, heart_sources=("heart",))


def split(bpm: list[float]) -> Split:
    """Items of a heart at these rates in beats a minute, and breath at a fifth of them."""
    time = torch.arange(512) / 32.0
    rate = torch.tensor(bpm)[:, None] / 60
    heart = torch.exp(8 * (torch.cos(2 * math.pi * rate * time) - 1))
    breath = 2 * torch.sin(2 * math.pi * rate * time / 5)
    sources = torch.stack([heart, breath], 1)[:, :, None]
    return Split(sources.sum(1), sources)


HEARTS = TaskData(
    SIGNAL, split([70, 80]), split([66, 70, 75, 80, 90, 100, 110, 120]), split([60, 72, 84, 96, 108]), "ef" * 32
)
SPEC = StudySpec(
    name="hearts",
    separator=cass.DEBUG,
    task=ppg.DEBUG,
    space={},
    reference_points={"CASS": {"beta": 0.1}},
    controls={"plain": {"adversarial": 0}},
    objective=("heart_rate_error",),
)


def save_weights(folder: Path, seed: int) -> str:
    """Save a checkpoint with the initial weights of a seed; return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = cass.DEBUG.build(SIGNAL).state_dict()
    tensors = {f"0/separator.{name}": tensor for name, tensor in weights.items()}
    checkpoint.save(str(folder), 1, tensors, {"members": []})
    return str(folder)

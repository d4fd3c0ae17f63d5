"""Describes what the bits of a training depend on beside its settings: machine, versions, code and data."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from .. import __version__, processor


def conditions(threads: int, device: str) -> dict[str, str]:
    """Return the conditions of a training in this process, as texts by name.

    Two trainings with the same settings, seed, code and data are equal to the bit where these are equal too. Where they
    differ, rounding may differ: other instructions, another number of threads, another version of a library.

    Args:
        threads: number of threads that torch may use.
        device: device in torch's words, such as ``"cpu"`` or ``"cuda"``.
    """
    found = {
        "processor": processor.name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(threads),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "sepray": __version__,
    }
    if device != "cuda":
        return found
    algorithms = "deterministic" if torch.are_deterministic_algorithms_enabled() else "any"
    return found | {"cuda": str(torch.version.cuda), "algorithms": algorithms}


def set_deterministic(on: bool) -> None:
    """Let torch use only algorithms that give the same bits every time, or also others (the default).

    On a CPU, all algorithms that sepray uses do so anyhow. On a GPU without this, sums are added in another order every
    time, so that two runs of one training differ in the last bits, and later in more. Epochs are slower with it.
    """
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first call
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.deterministic = on


@contextlib.contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Let torch use only algorithms that give the same bits every time until the block ends, if ``on``."""
    if not on:
        yield
        return
    enabled, of_cudnn = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    set_deterministic(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=only_warns)
        torch.backends.cudnn.deterministic = of_cudnn


def differences(stored: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return a line ``name: stored -> present`` for each condition that was stored and is another now."""
    return [
        f"{name}: {value} -> {present.get(name, 'unknown')}"
        for name, value in stored.items()
        if present.get(name) != value
    ]

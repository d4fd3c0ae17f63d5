"""Refuses devices that this process cannot compute on, and knows errors of too little memory."""

from __future__ import annotations

import torch

from ..errors import UsageError


def require_here(device: str, what: str) -> None:
    """Refuse to train a trial in this process, unless it can compute on the device of the study's trials.

    Args:
        device: a device in torch's words, such as ``"cuda"``.
        what: what trains the trial here, such as "a dry run".

    Raises:
        UsageError: this machine, or this build of torch, has no such device.
    """
    if not is_here(device):
        raise UsageError(
            f"{what} trains a trial in this process, and there is no {device} here; run it on a machine that trials "
            "run on"
        )


def is_here(device: str) -> bool:
    """Say whether this process can compute on a device, also where others have taken all its memory.

    Args:
        device: a device in torch's words, such as ``"cuda"``.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # no driver, no GPU, no support in this build, or no such name
        return is_out_of_memory(error)
    return True


def is_out_of_memory(error: Exception) -> bool:
    """Say whether an error means that the device or the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)

"""Weights of trained separators, read from the checkpoints of trials. Imports no Ray."""

from __future__ import annotations

from torch import Tensor

from ..contracts import Separator, SeparatorConfig, Signal
from . import checkpoint


def state_of_member(found: checkpoint.Checkpoint, member: int = 0) -> dict[str, Tensor]:
    """Return the separator's own weights and buffers from a trial's checkpoint."""
    prefix = f"{member}/separator."
    return {k.removeprefix(prefix): v for k, v in found.tensors.items() if k.startswith(prefix)}


def load_separator(config: SeparatorConfig, signal: Signal, folder: str) -> Separator:
    """Return the separator with the weights of the newest checkpoint in ``folder``.

    Raises:
        FileNotFoundError: there is no sound checkpoint.
    """
    found = checkpoint.newest(folder)
    if found is None:
        raise FileNotFoundError(f"no sound checkpoint in {folder}")
    separator = config.build(signal)
    separator.load_state_dict(state_of_member(found))
    return separator.eval()

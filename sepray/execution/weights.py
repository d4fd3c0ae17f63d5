"""Weights of trained separators, read from the checkpoints of trials. Imports no Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ..contracts import Separator, SeparatorConfig, Signal
from . import checkpoint


def state_of_member(saved: checkpoint.Checkpoint, member: int = 0) -> dict[str, Tensor]:
    """Return weights and buffers of one member's separator from a trial's checkpoint, named as in its state dict."""
    prefix = f"{member}/separator."
    return {name.removeprefix(prefix): t for name, t in saved.tensors.items() if name.startswith(prefix)}


def load_separator(
    config: SeparatorConfig,
    signal: Signal,
    folder: str,
    belongs: Callable[[Mapping[str, Any]], bool] = lambda metadata: True,
) -> Separator:
    """Return the separator of a trial's first member, with the weights of the newest checkpoint in ``folder``.

    Args:
        config: configuration of the separator.
        signal: kind of signal that it is built for.
        folder: folder or URI of the trial's checkpoints.
        belongs: says by the metadata whether a checkpoint is the trial's, as in ``checkpoint.newest``.

    Raises:
        FileNotFoundError: there is no undamaged checkpoint.
        RuntimeError: the weights are of another configuration.
    """
    saved = checkpoint.newest(folder, belongs)
    if saved is None:
        raise FileNotFoundError(f"no undamaged checkpoint in {folder}")
    separator = config.build(signal)
    separator.load_state_dict(state_of_member(saved))
    return separator.eval()

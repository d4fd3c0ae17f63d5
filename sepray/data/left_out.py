"""Notes on recordings and pictures that were left out: kept in the cache beside the data, and listed on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..plain_text import in_one_line


def to_tensor(reasons: Sequence[str]) -> Tensor:
    """Return the reasons, one for each recording, as a tensor ``[byte]`` of uint8, which ``cache.cached`` keeps."""
    return torch.from_numpy(np.frombuffer(json.dumps(list(reasons)).encode(), dtype=np.uint8).copy())


def from_tensor(tensor: Tensor) -> list[str]:
    """Return the reasons in a tensor ``[byte]`` of ``to_tensor``."""
    reasons: list[str] = json.loads(tensor.numpy().tobytes())
    return reasons


def report(reasons: Sequence[str], folder: Path, total: int, kind: str) -> None:
    """List on stderr the files that were left out of a folder, if there are any.

    Args:
        reasons: one line for each recording (or picture) that was left out.
        folder: folder of the recordings.
        total: number of recordings in the folder.
        kind: what the recordings are called, in the plural.
    """
    if reasons:
        lines = [f"{folder}: left out {len(reasons)} of {total} {kind}", *reasons]
        print("\n  ".join(map(in_one_line, lines)), file=sys.stderr)

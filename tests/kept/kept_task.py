"""Square waves, a slow and a fast one, of exact values: the same data and fingerprint on every machine."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from sepray.contracts import Signal, Split, TaskData


@dataclass(frozen=True)
class Config:
    """The data."""

    items: int = 24
    """Items of each split."""
    seed: int = 0
    """Number of the first item."""

    def load(self, cache: Path) -> TaskData:
        """Return the data."""
        train, validation, test = (self._split(self.seed + first) for first in (0, 100, 200))
        digest = hashlib.sha256(b"".join(split.sources.numpy().tobytes() for split in (train, validation, test)))
        return TaskData(Signal(("slow", "fast"), 1, (64,), 100.0), train, validation, test, digest.hexdigest())

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return the numbers of the items."""
        numbers = zip(("train", "validation", "test"), (0, 100, 200), strict=True)
        return {name: tuple(str(self.seed + first + i) for i in range(self.items)) for name, first in numbers}

    def _split(self, first: int) -> Split:
        time = torch.arange(64)
        number = torch.arange(first, first + self.items).reshape(-1, 1)
        slow = ((time + 5 * number) // 16 % 2).float() - 0.5
        fast = ((time + 3 * number) // 3 % 2).float() / 2 - 0.25
        sources = torch.stack([slow, fast], 1)[:, :, None]
        return Split(sources.sum(1), sources)

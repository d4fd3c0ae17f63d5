"""Two sines, a slow one and a fast one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from sepray.contracts import Signal, Split, TaskData


@dataclass(frozen=True)
class Config:
    """Size of the data."""

    items: int = 16
    """Mixtures of each split."""

    def load(self, cache: Path) -> TaskData:
        """Return the splits."""
        generator = torch.Generator().manual_seed(0)
        train, validation, test = (self.split(generator) for _ in range(3))
        content = b"".join(split.sources.numpy().tobytes() for split in (train, validation, test))
        signal = Signal(sources=("slow", "fast"), channels=1, shape=(256,), sample_rate=100.0)
        return TaskData(signal, train, validation, test, hashlib.sha256(content).hexdigest())

    def split(self, generator: torch.Generator) -> Split:
        """Return ``items`` mixtures with phases of their own."""
        phase = 6.28 * torch.rand(self.items, 2, 1, 1, generator=generator)
        rate = torch.tensor([0.2, 1.5]).reshape(1, 2, 1, 1)
        sources = torch.sin(rate * torch.arange(256) + phase)  # [item, source, channel, time]
        return Split(sources.sum(1), sources)

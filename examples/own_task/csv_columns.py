"""A task of your own: recordings in CSV files that have a column for each source. Their sum is the mixture.

The files are divided among the splits, so that no recording is in two of them, and items are random crops.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sepray.contracts import SPLITS, Signal, Split, TaskData
from sepray.errors import UsageError


@dataclass(frozen=True)
class Config:
    """Needs a folder of CSV files with a column for each source: ``folder``."""

    folder: str = "recordings"
    """Folder of the CSV files. The names in their first lines are those of the sources."""
    sample_rate: float = 100.0
    """Sample rate of the files in Hz."""
    item_samples: int = 256
    """Length of a mixture in samples."""
    items: int = 64
    """Number of mixtures in each split."""
    seed: int = 0
    """Random seed of the crops."""

    def load(self, cache: Path) -> TaskData:
        """Return the data. They are read in a moment, so that nothing is kept in ``cache``.

        Raises:
            UsageError: the folder holds too few files, or a file is too short or has other sources than the first.
        """
        names, splits = self._files()
        data = {split: self._crops(files, names, SPLITS.index(split)) for split, files in splits.items()}
        content = b"".join(data[split].sources.numpy().tobytes() for split in SPLITS)
        signal = Signal(names, channels=1, shape=(self.item_samples,), sample_rate=self.sample_rate)
        fingerprint = hashlib.sha256(repr(signal).encode() + content).hexdigest()
        return TaskData(signal, data["train"], data["validation"], data["test"], fingerprint)

    def recordings(self, cache: Path) -> dict[str, tuple[str, ...]]:
        """Return the files of each split."""
        return {split: tuple(file.name for file in files) for split, files in self._files()[1].items()}

    def _files(self) -> tuple[tuple[str, ...], dict[str, list[Path]]]:
        """Return the names of the sources, and the files of each split: the first three fifths, a fifth, a fifth."""
        files = sorted(Path(self.folder).expanduser().glob("*.csv"))
        if len(files) < 5:
            raise UsageError(f"--task.folder {self.folder} has {len(files)} CSV files, and 5 are needed")
        with files[0].open() as file:
            names = tuple(file.readline().strip().split(","))
        train, validation = len(files) * 3 // 5, len(files) * 4 // 5
        return names, {"train": files[:train], "validation": files[train:validation], "test": files[validation:]}

    def _crops(self, files: list[Path], names: tuple[str, ...], split: int) -> Split:
        random = np.random.default_rng((self.seed, split))
        recordings = [self._read(file, names) for file in files]
        units = []
        sources = np.empty((self.items, len(names), 1, self.item_samples), np.float32)
        for item in sources:
            number = random.integers(len(recordings))
            recording = recordings[number]
            units.append((files[number].name,))
            start = random.integers(len(recording) - self.item_samples + 1)
            item[:, 0] = recording[start : start + self.item_samples].T
        return Split(torch.from_numpy(sources.sum(1)), torch.from_numpy(sources), units=tuple(units))

    def _read(self, file: Path, names: tuple[str, ...]) -> np.ndarray:
        """Return a recording, ``[time, source]``."""
        recording = np.genfromtxt(file, delimiter=",", names=True)
        if recording.dtype.names != names or len(recording) < self.item_samples:
            raise UsageError(f"{file} must have the columns {', '.join(names)} and {self.item_samples} rows or more")
        return np.stack([recording[name] for name in names], axis=1)

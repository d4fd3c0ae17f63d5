"""Two packaged models of a user's separator whose estimates are known: shares of the mixture."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from sepray.contracts import Signal
from sepray.identity import plain
from sepray.tasks import ecg
from sepray.tracking import load_check
from sepray.tracking.packaging import package_model

SEPARATOR = '''
"""Shares of the mixture: of a low-pass, and what is left."""
from dataclasses import dataclass
import torch
from sepray.contracts import Separator


@dataclass(frozen=True)
class Config:
    share: float = 0.5
    batch_size: int = 20
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return Shares(signal, self)


class Shares(Separator):
    """Source 0 is `share` of the mixture, source 1 the rest."""

    def __init__(self, signal, config):
        super().__init__(signal)
        self.register_buffer("share", torch.tensor(config.share))

    def hyperparameters(self):
        return {}

    def separate(self, mixture):
        return torch.stack([self.share * mixture, (1 - self.share) * mixture], dim=1)
'''


TASK = replace(ecg.DEBUG, train=7, validation=5, test=6)
"""Task of the models: its splits differ in the number of items."""
SIGNAL = Signal(("maternal", "fetal"), 1, (96,), 128.0)


@dataclass(frozen=True)
class Models:
    """Folders of two packaged models of the separator above, shares 0.5 and 0.9, for 128 Hz."""

    half: str
    most: str


def package(folder: Path, share: float, signal: Signal = SIGNAL, **metadata: object) -> str:
    """Package the separator; its module must be importable. Return the folder."""
    config = importlib.import_module("cli_shares").Config(share)
    described = {
        "study": "shares",
        "metric": "relative_l2",
        "sources": list(signal.sources),
        "sample_rate": signal.sample_rate,
        "task": "sepray.tasks.ecg",
        "task_config": plain(TASK),
        "n_fft": 16,
        "hop": 8,
    }
    example = np.zeros((1, signal.channels, *signal.shape), np.float32)
    package_model(folder, separator=config.build(signal), config=config, example=example, metadata=described | metadata)
    return str(folder)


@contextmanager
def separator_in(folder: Path) -> Iterator[None]:
    """Write the separator's module into a folder from which it can be imported meanwhile."""
    (folder / "cli_shares.py").write_text(SEPARATOR)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@contextmanager
def two_models(folder: Path) -> Iterator[Models]:
    """Package both models into a folder, without the clean process that tries them, which takes seconds."""
    with separator_in(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(load_check, "require_working", lambda *_: None)
            packaged = Models(package(folder / "half", 0.5), package(folder / "most", 0.9))
        yield packaged

"""A user's own separator, in a package of the user's own, with every way to import; and what it must return."""

import numpy as np
import torch

from sepray.contracts import Signal
from sepray.tracking.packaging import package_model

SEPARATOR = """
from dataclasses import dataclass, field

import scipy.signal
import torch
import sepray.contracts
from sepray.contracts import (
    Signal,
    Separator as Base,
)

import mine.gains
from . import offsets
from .offsets import OFFSET


@dataclass(frozen=True)
class Inner:
    gains: tuple[float, ...] = (0.25, 0.5)


@dataclass(frozen=True)
class Config:
    inner: Inner = field(default_factory=Inner)
    batch_size: int = 2
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> "Scaled":
        assert isinstance(self.inner, Inner) and isinstance(self.inner.gains, tuple)
        return Scaled(signal, self)


class Scaled(Base):
    def __init__(self, signal, config):
        super().__init__(signal)
        assert isinstance(self, sepray.contracts.Separator)
        self.gain = torch.nn.Parameter(torch.rand(len(config.inner.gains)))

    def separate(self, mixture):
        scale = mine.gains.double(self.gain)[None, :, None, None]
        return mixture[:, None] * scale + OFFSET + offsets.OFFSET
"""
FILES = {
    "__init__.py": "",
    "gains.py": "def double(x):\n    return 2 * x\n",
    "offsets.py": "OFFSET = 0.5\n",
    "separator.py": SEPARATOR,
}
SIGNAL = Signal(("maternal", "fetal"), 1, (8,), 128.0)
MIXTURES = np.random.default_rng(0).standard_normal((3, 1, 8)).astype(np.float32)
EXPECTED = np.stack([MIXTURES * 0.5 + 1.0, MIXTURES + 1.0], axis=1)


def write(folder, files):
    """Write files by their names below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def built(config):
    """The separator of a configuration with the gains 0.25 and 0.5, and the configuration."""
    separator = config.build(SIGNAL)
    with torch.no_grad():
        separator.gain.copy_(torch.tensor([0.25, 0.5]))
    return separator, config


def package(folder, separator, **metadata):
    """Package what ``built`` returns."""
    model, config = separator
    return package_model(folder, separator=model, config=config, example=MIXTURES[:1], metadata=metadata)

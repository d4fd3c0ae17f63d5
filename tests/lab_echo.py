"""A package of somebody else's that gives sepray a separator of several files, a task, and a search space."""

import subprocess
import sys
from pathlib import Path

FILES = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "lab-echo"
version = "1.5"

[project.entry-points."sepray.separators"]
echo = "lab_echo.separator"

[project.entry-points."sepray.tasks"]
hall = "lab_echo.rooms"

[tool.setuptools]
packages = ["lab_echo", "lab_echo.rooms"]
package-data = { lab_echo = ["data/*.json", "py.typed"] }
""",
    "lab_echo/__init__.py": "LOADED = True\n",
    "lab_echo/py.typed": "",
    "lab_echo/data/gains.json": '{"wide": 3.0}\n',
    "lab_echo/shapes.py": "from lab_echo import LOADED\n\nassert LOADED\nSHIFT = 0.5\n",
    "lab_echo/tables.py": """
import json
from importlib.resources import files
from pathlib import Path

GAIN = json.loads((Path(__file__).parent / "data" / "gains.json").read_text())["wide"]
assert json.loads((files(__package__) / "data" / "gains.json").read_text())["wide"] == GAIN
""",
    "lab_echo/base.py": '''
from sepray import contracts


class Base(contracts.Separator):
    """What all separators of the laboratory share."""

    supervision = contracts.Supervision.UNPAIRED_SOURCES
''',
    "lab_echo/separator.py": '''
"""An echo:
gain times the mixture, for every source.

A second paragraph.
"""

from dataclasses import dataclass, replace

import torch
from optuna.distributions import FloatDistribution

import lab_echo.tables
from lab_echo.base import Base

from . import shapes

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
PAPER = {"of the paper": {"learning_rate": 0.01}}


@dataclass(frozen=True)
class Config:
    """Separator of the laboratory."""

    gain: float = 1.0
    batch_size: int = 4
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal):
        return Echo(signal, self)


WIDE = Config(gain=lab_echo.tables.GAIN)
WIDE_DEBUG = replace(WIDE, batch_size=2)


class Echo(Base):
    def __init__(self, signal, config):
        super().__init__(signal)
        self.gain = torch.nn.Parameter(torch.tensor(config.gain))

    def hyperparameters(self):
        return {"learning_rate": 0.01}

    def separate(self, mixture):
        from .shapes import SHIFT

        return (mixture * self.gain + SHIFT)[:, None].repeat(1, len(self.signal.sources), 1, 1)
''',
    "lab_echo/rooms/__init__.py": '"""Rooms."""\n\nfrom .config import SMALL, Config\n',
    "lab_echo/rooms/config.py": '''
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Needs no files.

    Second paragraph.
    """

    items: int = 4


SMALL = Config(2)
NO_CONFIG = 7
''',
}


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files by their names below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def install(source: Path, site: Path) -> None:
    """Build the wheel of a project and install it into a folder."""
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr


def announce(site: Path, name: str, version: str, entries: str) -> None:
    """Let an installed package without modules announce entry points."""
    write(
        site / f"{name.replace('-', '_')}-{version}.dist-info",
        {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "entry_points.txt": entries},
    )

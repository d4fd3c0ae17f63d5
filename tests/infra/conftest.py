"""The files of infra/, read once, and the programs that check them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


def program(name: str) -> str:
    """Return the path of a program of this environment or of the system; skip the test where there is none."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is missing: {_HOW[name]}")
    return found


_HOW = {
    "hadolint": "pip install --require-hashes -r requirements/test.txt",
    "check-jsonschema": "pip install --require-hashes -r requirements/test.txt",
    "shellcheck": "pip install --require-hashes -r requirements/test.txt",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
    "systemd-analyze": "it comes with systemd",
    "nginx": "apt-get install nginx-light",
    "openssl": "apt-get install openssl",
    "sbatch": "apt-get install slurm-wlm munge",
}


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def environment(path: Path) -> dict[str, str]:
    """Return the variables of an environment file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def secret_files() -> set[str]:
    """Return the variables that with-secrets.sh sets from files."""
    loop = re.search(r"for name in (.*?); do", (INFRA / "with-secrets.sh").read_text(), re.DOTALL)
    assert loop
    return {f"{name}_FILE" for name in loop[1].replace("\\", "").split()}

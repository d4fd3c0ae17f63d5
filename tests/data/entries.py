"""Entries of a cache for the tests of it: what is built, planned, read and forged."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sepray.data.cache import Plan, content_hash


def build() -> dict[str, Tensor]:
    return {"ramp": torch.arange(6.0).reshape(2, 3).T, "count": torch.tensor(7)}


def refuse() -> dict[str, Tensor]:
    raise AssertionError("built although it is in the cache")


def entry_of(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def count_up(out: Mapping[str, NDArray[np.float32]]) -> None:
    out["ramp"][:] = np.arange(6).reshape(2, 3)
    out["one"][:] = 1


def planned() -> Plan:
    return Plan({"ramp": (2, 3), "one": (5,)}, count_up, {"names": ["a", "b"]})


def not_planned() -> Plan:
    raise AssertionError("made although it is in the cache")


def reseal(path: Path, change) -> None:
    """Rewrite an entry with other values, or other facts, and digests that fit them."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sepray"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    header["content"] = content_hash(tensors)
    path.unlink()
    save_file(tensors, path, {"sepray": json.dumps(header)})
    path.chmod(0o664)

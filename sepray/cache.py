"""A folder of tensors that are slow to make, and the digest of their content. Imports nothing from sepray.

One entry is one safetensors file, named by a hash of everything that its content depends on, with the digest of the
content in its header. It is written under a temporary name, synced and renamed: a reader sees all of it or none, and
processes that build the same entry at once replace each other's file by an equal one.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


def cached(
    folder: Path, name: str, key: Mapping[str, object], build: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the tensors kept in ``folder`` under ``name`` and ``key``; build and keep them where there are none.

    Args:
        folder: made where it does not exist. Any number of processes may use it at once.
        name: begins the file's name, for people who look into the folder.
        key: everything that the content depends on (configuration, versions), JSON types only.
        build: makes the tensors; called only where there is no sound file.

    Raises:
        OSError: the folder cannot be written to (before anything is built).
    """
    description = json.dumps(key, sort_keys=True)
    path = folder / f"{name}-{hashlib.sha256(description.encode()).hexdigest()[:16]}.safetensors"
    found = _read(path, description)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{path.name}.{uuid.uuid4().hex}"
    try:
        with partial.open("xb") as file:
            tensors = {tensor_name: tensor.contiguous() for tensor_name, tensor in build().items()}
            header = json.dumps({"key": description, "content": content_hash(tensors)})
            file.write(safetensors.torch.save(tensors, {"sepray": header}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(folder)
    return tensors


def content_hash(tensors: Mapping[str, Tensor], facts: Mapping[str, object] | None = None) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of CPU tensors, and of ``facts`` (JSON types)."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path, description: str) -> dict[str, Tensor] | None:
    """Return the content of a sound file; None where there is no file, or one that is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("sepray", "{}"))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError):
        header, tensors = {}, {}
    if header.get("key") == description and header.get("content") == content_hash(tensors):
        return tensors
    print(f"{path} is damaged: building it again", file=sys.stderr)
    return None


def _sync(folder: Path) -> None:
    """Make a rename last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

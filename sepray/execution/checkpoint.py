"""Checkpoints that can be trusted after a crash. Imports nothing from sepray.

A checkpoint is one safetensors file, ``epoch-000012-<digest>.safetensors``, its metadata JSON in the header. The
digest in the name is of the content, so a torn or damaged file is recognised and the one before it is used. On a
local or shared file system it is written beside, synced and renamed; an object store publishes a whole object or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from pyarrow import fs
from torch import Tensor

_NAME = re.compile(r"epoch-(\d{6,})-([0-9a-f]{16})\.safetensors$")


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after an epoch: named tensors (on the CPU) and JSON metadata."""

    epoch: int
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def save(folder: str, epoch: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], keep: int = 2) -> str:
    """Write a checkpoint into ``folder`` (a path or a URI) and remove all but the newest ``keep``; return its name."""
    content = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"json": json.dumps(dict(metadata))},
    )
    name = f"epoch-{epoch:06d}-{_digest(content)}.safetensors"
    filesystem, path = _open(folder)
    if isinstance(filesystem, fs.LocalFileSystem):
        _publish(path, name, content)
    else:
        with filesystem.open_output_stream(f"{path}/{name}") as stream:
            stream.write(content)
    for _, old in _listing(filesystem, path)[keep:]:
        if old != name:
            filesystem.delete_file(f"{path}/{old}")
    return name


def newest(folder: str) -> Checkpoint | None:
    """Return the newest sound checkpoint in ``folder``; None where there is none."""
    filesystem, path = _open(folder)
    for epoch, name in _listing(filesystem, path):
        with filesystem.open_input_stream(f"{path}/{name}") as stream:
            content = stream.read()
        match = _NAME.search(name)
        if match and _digest(content) == match.group(2):
            return Checkpoint(epoch, safetensors.torch.load(content), _metadata(content))
    return None


def remove(folder: str) -> None:
    """Delete ``folder`` with all its checkpoints, if it is there."""
    filesystem, path = _open(folder)
    if filesystem.get_file_info(path).type is not fs.FileType.NotFound:
        filesystem.delete_dir(path)


def _open(folder: str) -> tuple[fs.FileSystem, str]:
    if "://" in folder:
        filesystem, path = fs.FileSystem.from_uri(folder)
        return filesystem, path.rstrip("/")
    return fs.LocalFileSystem(), os.path.abspath(folder)


def _listing(filesystem: fs.FileSystem, path: str) -> list[tuple[int, str]]:
    """Checkpoints by name, newest first."""
    found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    matches = ((_NAME.match(info.base_name), info) for info in found)
    by_age = sorted(((int(m.group(1)), info.mtime_ns or 0, info.base_name) for m, info in matches if m), reverse=True)
    return [(epoch, name) for epoch, _, name in by_age]


def _publish(path: str, name: str, content: bytes) -> None:
    os.makedirs(path, exist_ok=True)
    temporary = os.path.join(path, f".{name}.{os.getpid()}")
    with open(temporary, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, os.path.join(path, name))
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _metadata(content: bytes) -> dict[str, Any]:
    # safetensors: eight bytes hold the length of the JSON header that follows.
    (length,) = struct.unpack("<Q", content[:8])
    metadata: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["json"])
    return metadata

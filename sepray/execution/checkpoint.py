"""Checkpoints that can be trusted after a crash. Imports no Ray.

A checkpoint is one safetensors file, ``epoch-000012-<digest>.safetensors``, with its metadata as JSON in the header.
The digest in the name is of the content, so a torn or damaged file is recognised and the one before it is used. On a
local or shared file system the file is written whole or not at all (``files.replace_file``); an object store publishes
a whole object or none.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from pyarrow import fs
from torch import Tensor

from ..disk.file_systems import open_location
from ..disk.files import open_regular, replace_file
from ..shapes import fits

_NAME = re.compile(r"epoch-(\d{6,})-([0-9a-f]{16})\.safetensors$")


_METADATA: dict[str, Any] = {
    "number": int,
    "seed": int | None,
    "members": list[Mapping[str, Any]],
    "history": list[Mapping[str, Any]],
    "others": int,
    "identity": str,
    "seconds": float,
}
"""Names and types of the metadata that trials and warm starts read; metadata may have further names."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors and values that were saved after an epoch.

    Attributes:
        epoch: number of epochs trained.
        tensors: tensors by name, on the CPU.
        metadata: plain values.
    """

    epoch: int
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def save(folder: str, epoch: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], keep: int = 2) -> str:
    """Write a checkpoint into ``folder`` (a path or a URI) and remove all but the newest ``keep``.

    Returns:
        name of the new file, which is kept even where it is not among the newest.
    """
    content = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"json": json.dumps(dict(metadata))},
    )
    name = f"epoch-{epoch:06d}-{_digest(content)}.safetensors"
    filesystem, path = open_location(folder)
    if isinstance(filesystem, fs.LocalFileSystem):
        replace_file(Path(path, name), content)
    else:
        with filesystem.open_output_stream(f"{path}/{name}") as stream:
            stream.write(content)
    for _, old in _newest_first(filesystem, path)[keep:]:
        if old != name:
            filesystem.delete_file(f"{path}/{old}")
    return name


def newest(folder: str, belongs: Callable[[Mapping[str, Any]], bool] = lambda metadata: True) -> Checkpoint | None:
    """Return the newest undamaged checkpoint in ``folder``; None if there is none.

    Args:
        folder: a path or a URI.
        belongs: says by the metadata whether a checkpoint is one of those that are looked for; others are passed over.

    Raises:
        OSError: the folder cannot be read, or a file of an object store. A local file that cannot be read is damaged.
    """
    filesystem, path = open_location(folder)
    for epoch, name in _newest_first(filesystem, path):
        try:
            content = _read(filesystem, f"{path}/{name}")
        except (OSError, MemoryError):
            if not isinstance(filesystem, fs.LocalFileSystem):
                raise
            continue
        match = _NAME.search(name)
        metadata = _metadata(content) if match and _digest(content) == match.group(2) else None
        if metadata is not None and belongs(metadata):
            try:
                return Checkpoint(epoch, safetensors.torch.load(content), metadata)
            except safetensors.SafetensorError:  # the digest is no secret: others may have written the file
                continue
    return None


def of_trial(number: int, seed: int | None) -> Callable[[Mapping[str, Any]], bool]:
    """Return the function that says whether metadata are of a trial: its number, and where it has one its seed."""
    own = {"number": number, "seed": seed}
    return lambda metadata: all(metadata.get(name, value) == value for name, value in own.items() if value is not None)


def tensor_bytes(folder: str) -> int:
    """Return how many bytes the tensors of all checkpoints in ``folder`` have. Of each file only the header is read."""
    filesystem, path = open_location(folder)
    total = 0
    for _, name in _newest_first(filesystem, path):
        with filesystem.open_input_file(f"{path}/{name}") as stream:
            total += max(0, stream.size() - 8 - int.from_bytes(stream.read(8), "little"))
    return total


def keep_metadata(folder: str, without: Collection[str] = ()) -> None:
    """Replace the checkpoints in ``folder`` by one that has the metadata of the newest, and no tensors.

    Nothing is changed where all of them are damaged. The new one is written before the old ones are deleted, so after a
    crash old ones may be left.

    Args:
        folder: a path or a URI.
        without: names of the metadata that are left out.
    """
    saved = newest(folder)
    if saved is None:
        return
    metadata = {name: value for name, value in saved.metadata.items() if name not in without}
    filesystem, path = open_location(folder)
    old = [name for _, name in _newest_first(filesystem, path)]
    new = save(folder, saved.epoch, {}, metadata, keep=len(old) + 1)
    for name in old:
        if name != new:
            filesystem.delete_file(f"{path}/{name}")


def _newest_first(filesystem: fs.FileSystem, path: str) -> list[tuple[int, str]]:
    """Return epoch and file name of all checkpoints in a folder, the newest first; of one epoch, the last written."""
    files = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    matches = [(_NAME.match(file.base_name), file) for file in files]
    found = ((m, file) for m, file in matches if m and file.type is fs.FileType.File)  # no pipe, no device
    ages = sorted(((int(m.group(1)), file.mtime_ns or 0, file.base_name) for m, file in found), reverse=True)
    return [(epoch, name) for epoch, _, name in ages]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read(filesystem: fs.FileSystem, path: str) -> bytes:
    if isinstance(filesystem, fs.LocalFileSystem):
        with open_regular(Path(path)) as file:
            return file.read()
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())


def _metadata(content: bytes) -> dict[str, Any] | None:
    """Return the metadata of a checkpoint; None if they are not as sepray writes them."""
    # In safetensors the first eight bytes hold the length of the JSON header that follows.
    length = int.from_bytes(content[:8], "little")
    try:
        metadata: Any = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["json"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = isinstance(metadata, dict) and all(
        fits(metadata[name], kind) for name, kind in _METADATA.items() if name in metadata
    )
    return metadata if known else None

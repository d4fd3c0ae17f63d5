"""Keeps tensors that are slow to make in a folder, with digests of their content.

One entry is one safetensors file (``cache_entry``), named by a hash of everything that its content depends on. It is
written under a temporary name, synced and renamed: a reader sees all of it or none. ``cached`` builds an entry in
memory; processes that build the same one at once replace each other's file by an equal one. ``mapped`` builds one on
the disk, which may be larger than memory: one process builds and others wait for it; if it dies, the next one builds.
The tensors of an existing entry are mapped from the file: a page is read when it is used.

Where the cache is at a URI, ``folder`` is this machine's own for it (``disk.shared_copies``). An entry that is missing
in the folder is fetched from the URI, or made and copied there (``shared_entries``).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
from torch import Tensor

from ..disk import shared_copies
from ..disk.files import replace_file
from ..errors import UsageError
from . import cache_entry, shared_entries
from .cache_entry import Entry as Entry
from .cache_entry import Plan as Plan
from .digests import content_hash as content_hash
from .digests import file_digest as file_digest
from .digests import file_digests as file_digests
from .digests import item_digests as item_digests
from .digests import require_tensor
from .parallel import in_parallel

VERIFIED = 1 << 30
"""Size in bytes up to which an entry is checked whole each time it is opened, which takes a second.

A larger entry is checked whole only when this user first opens it, or when its file has changed."""


class Kept(NamedTuple):
    """An entry whose file is open only while a tensor is read, so that many entries do not use up file descriptors.

    Attributes:
        path: its file.
        description: the key that it was made for.
    """

    path: Path
    description: str

    def tensor(self, name: str) -> Tensor:
        """Return the entry's tensor of a name, mapped from the file.

        Raises:
            UsageError: somebody has replaced or removed the file meanwhile.
        """
        entry = cache_entry.read(self.path, self.description, verified=0)
        if entry is None:
            raise UsageError(f"{self.path} has been changed while it was in use: start again")
        return entry.tensors[name]


def cached(
    folder: Path, name: str, key: Mapping[str, object], build: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the tensors kept in ``folder`` under ``name`` and ``key``; build and keep them if there are none.

    Args:
        folder: made if it does not exist. Any number of processes may use it at once.
        name: beginning of the file's name, for people who look into the folder.
        key: everything that the content depends on (configuration, versions), JSON types only.
        build: makes the tensors; called only if there is no sound file.

    Raises:
        OSError: the folder cannot be written to (before anything is built).
        UsageError: ``build`` made something other than tensors, such as arrays of numpy.
    """
    description = json.dumps(key, sort_keys=True)
    path = _path(folder, name, description)
    entry = cache_entry.read(path, description)
    if entry is not None:
        shared_entries.offer(path)
        return entry.tensors
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()  # an error here comes before the work
    if shared_copies.of(path) is not None:
        with cache_entry.locked(_lock(path)):
            entry = cache_entry.read(path, description) or shared_entries.fetched(path, description)
        if entry is not None:
            return entry.tensors
    built = build()
    for tensor_name, tensor in built.items():
        require_tensor(tensor_name, tensor)
    tensors = {tensor_name: tensor.contiguous() for tensor_name, tensor in built.items()}
    header = {"key": description, "content": content_hash(tensors)}
    replace_file(path, safetensors.torch.save(tensors, {"sepray": json.dumps(header)}), mode=cache_entry.MODE)
    cache_entry.remember(header)
    shared_entries.offer(path, made=True)
    return tensors


def mapped(
    folder: Path,
    name: str,
    key: Mapping[str, object],
    plan: Callable[[], Plan],
    verified: int = VERIFIED,
    shared: bool = True,
) -> Entry:
    """Return the entry kept in ``folder`` under ``name`` and ``key``; make it on the disk if there is none.

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        key: as for ``cached``.
        plan: says how to make it; called only if there is no sound file, by one process at a time.
        verified: size in bytes up to which the content is checked each time (see ``VERIFIED``).
        shared: whether machines share the entry, where the cache is at a URI.

    Raises:
        OSError: the folder cannot be written to, or the disk cannot hold the entry (before anything is filled).
    """
    description = json.dumps(key, sort_keys=True)
    path = _path(folder, name, description)
    entry, made = cache_entry.read(path, description, verified), False
    if entry is None:
        folder.mkdir(parents=True, exist_ok=True)
        with cache_entry.locked(_lock(path)):
            entry = cache_entry.read(path, description, verified)  # another process may just have made it
            if entry is None and shared:
                entry = shared_entries.fetched(path, description)
            if entry is None:
                cache_entry.write(path, description, plan())
                entry, made = cache_entry.read(path, description, verified=0), True
    if entry is None:
        raise OSError(f"{path} was written, but cannot be read")
    if shared:
        shared_entries.offer(path, made)
    return entry


def kept_files(
    folder: Path,
    name: str,
    files: Sequence[Path],
    key: Mapping[str, object],
    read: Callable[[Path], Plan],
    label: str,
) -> tuple[dict[Path, Kept], dict[Path, str]]:
    """Make an entry from each file, under the digest of its content, in parallel and with a progress bar.

    These entries are not shared, even where the cache is at a URI: whoever has the files decodes them faster than
    copies arrive. What tasks make from them is shared.

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        files: any number.
        key: what the entries depend on beside the files' content.
        read: says how to make a file's entry; refuses a file by a UsageError. Called in threads.
        label: label of the progress bar, which is shown if this takes more than a second.

    Returns:
        the entries, and the reasons why files were refused.
    """

    def keep(file: Path) -> Kept | str:
        full = {**key, "file": file_digest(folder, file)}
        try:
            mapped(folder, name, full, lambda: read(file), verified=0, shared=False)
        except UsageError as error:
            return str(error)
        description = json.dumps(full, sort_keys=True)
        return Kept(_path(folder, name, description), description)

    results = dict(zip(files, in_parallel(keep, files, label), strict=True))
    kept = {file: result for file, result in results.items() if isinstance(result, Kept)}
    return kept, {file: result for file, result in results.items() if isinstance(result, str)}


def _path(folder: Path, name: str, description: str) -> Path:
    return folder / f"{name}-{hashlib.sha256(description.encode()).hexdigest()[:16]}.safetensors"


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")

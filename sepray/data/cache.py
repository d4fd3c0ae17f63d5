"""A folder that keeps tensors that are slow to make, and digests of their content.

One entry is one safetensors file, named by a hash of everything that its content depends on, with the digest of the
content in its header. It is written under a temporary name, synced and renamed: a reader sees all of it or none.
``cached`` builds an entry in memory; processes that build the same one at once replace each other's file by an equal
one. ``mapped`` builds one on the disk, which may be larger than memory: one process builds and others wait for it; if
it dies, the next one builds. The tensors of an existing entry are mapped from the file: a page is read when it is used.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UsageError
from ..files import replace_file, sync_folder
from ..plain_text import shown
from ..separator_checks import type_name
from .parallel import in_parallel

VERIFIED = 1 << 30
"""Bytes up to which a mapped entry's content is checked when it is opened (a second); of larger ones only the size."""

_SETTLED = 2_000_000_000  # ns: a file that changed later than this could change again under the same time stamp


class Plan(NamedTuple):
    """A cache entry that does not exist yet: space for its tensors is made on the disk, then they are filled in there.

    Attributes:
        shapes: shape of each tensor (float32), by name.
        fill: function that writes the values of all tensors; its argument is the arrays on the disk, by name.
        facts: anything else that is kept beside the tensors, JSON types.
        labels: names of tensors that say of items where they come from; the digest of the content is without them.
    """

    shapes: Mapping[str, tuple[int, ...]]
    fill: Callable[[Mapping[str, NDArray[np.float32]]], None]
    facts: Mapping[str, Any] = {}
    labels: tuple[str, ...] = ()


class Entry(NamedTuple):
    """The content of an entry.

    Attributes:
        tensors: tensors by name.
        content: digest of the tensors (``content_hash``) without labels.
        facts: the facts of the plan that it was made by.
    """

    tensors: dict[str, Tensor]
    content: str
    facts: dict[str, Any]


class Kept(NamedTuple):
    """An entry whose file is open only while a tensor is read, so that many entries do not use up file descriptors."""

    path: Path

    def tensor(self, name: str) -> Tensor:
        """Return one of its tensors, mapped from the file."""
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


def cached(
    folder: Path, name: str, key: Mapping[str, object], build: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the tensors kept in ``folder`` under ``name`` and ``key``; build and keep them if there are none.

    Args:
        folder: made if it does not exist. Any number of processes may use it at once.
        name: begins the file's name, for people who look into the folder.
        key: everything that the content depends on (configuration, versions), JSON types only.
        build: makes the tensors; called only if there is no sound file.

    Raises:
        OSError: the folder cannot be written to (before anything is built).
        UsageError: ``build`` made something else than tensors, such as arrays of numpy.
    """
    description = json.dumps(key, sort_keys=True)
    path = _path(folder, name, description)
    entry = _read_entry(path, description)
    if entry is not None:
        return entry.tensors
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()  # an error here comes before the work
    built = build()
    for tensor_name, tensor in built.items():
        _require_tensor(tensor_name, tensor)
    tensors = {tensor_name: tensor.contiguous() for tensor_name, tensor in built.items()}
    header = json.dumps({"key": description, "content": content_hash(tensors)})
    replace_file(path, safetensors.torch.save(tensors, {"sepray": header}))
    return tensors


def mapped(
    folder: Path, name: str, key: Mapping[str, object], plan: Callable[[], Plan], verified: int = VERIFIED
) -> Entry:
    """Return the entry kept in ``folder`` under ``name`` and ``key``; make it on the disk if there is none.

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        key: as for ``cached``.
        plan: says how to make it; called only if there is no sound file, by one process at a time.
        verified: size in bytes up to which the digest of the content is checked.

    Raises:
        OSError: the folder cannot be written to, or the disk cannot hold the entry (before anything is filled).
    """
    description = json.dumps(key, sort_keys=True)
    path = _path(folder, name, description)
    entry = _read_entry(path, description, verified)
    if entry is not None:
        return entry
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{path.name}.lock"):
        entry = _read_entry(path, description, verified)  # another process may just have made it
        if entry is None:
            with _partial(path) as (partial, file):
                _write_entry(file, partial, description, plan())
                partial.replace(path)
            sync_folder(folder)
            entry = _read_entry(path, description, verified=0)
    if entry is None:
        raise OSError(f"{path} was written, but cannot be read")
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

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        files: any number.
        key: what the entries depend on beside the files' content.
        read: says how to make a file's entry; a UsageError refuses the file. Called in threads.
        label: label of the progress bar, which is shown if this takes more than a second.

    Returns:
        the entries, and the reasons why files were refused.
    """

    def keep(file: Path) -> Kept | str:
        full = {**key, "file": file_digest(folder, file)}
        try:
            mapped(folder, name, full, lambda: read(file), verified=0)
        except UsageError as error:
            return str(error)
        return Kept(_path(folder, name, json.dumps(full, sort_keys=True)))

    results = dict(zip(files, in_parallel(keep, files, label), strict=True))
    kept = {file: result for file, result in results.items() if isinstance(result, Kept)}
    return kept, {file: result for file, result in results.items() if isinstance(result, str)}


def file_digests(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Return the digest of each file's content (``file_digest``), in parallel."""
    digests = in_parallel(lambda file: file_digest(folder, file), files, "reading files")
    return dict(zip(files, digests, strict=True))


def file_digest(folder: Path, file: Path) -> str:
    """Return the SHA-256 of a file's content, remembered in ``folder`` until its size or time stamp changes."""
    stat = file.stat()
    known = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    note = folder / "digests" / hashlib.sha256(known.encode(errors="surrogateescape")).hexdigest()[:32]
    try:
        digest = note.read_text()
    except FileNotFoundError:
        digest = ""
    if len(digest) == 64:
        return digest
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if time.time_ns() - stat.st_mtime_ns > _SETTLED:
        replace_file(note, digest, durable=False)  # a lost one is made again, and thousands are written at once
    return digest


def content_hash(tensors: Mapping[str, Tensor], facts: Mapping[str, object] | None = None) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of CPU tensors, and of ``facts`` (JSON types).

    Raises:
        UsageError: one of them is no tensor, such as an array of numpy.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        _require_tensor(name, tensor)
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def item_digests(items: Iterable[Tensor]) -> tuple[str, ...]:
    """Return the SHA-256 of the bytes of each item, which identifies a recording that was made and not read.

    Raises:
        UsageError: one of them is no tensor, such as an array of numpy.
    """
    digests = []
    for item in items:
        _require_tensor("each item", item)
        digests.append(hashlib.sha256(item.numpy().tobytes()).hexdigest())
    return tuple(digests)


def _require_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        shown = name.replace("/", ".")
        raise UsageError(f"{shown} must be a torch tensor (torch.from_numpy makes one), is {type_name(value)}")


def _path(folder: Path, name: str, description: str) -> Path:
    return folder / f"{name}-{hashlib.sha256(description.encode()).hexdigest()[:16]}.safetensors"


def _read_entry(path: Path, description: str, verified: float = math.inf) -> Entry | None:
    """Return a cache entry; None if its file is missing or damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:  # refuses a file that is not as long as its header says
            header = json.loads((file.metadata() or {}).get("sepray", "{}"))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError):
        header, tensors = {}, {}
    if header.get("key") == description and (path.stat().st_size > verified or _is_sound(header, tensors)):
        return Entry(tensors, header["content"], header.get("facts", {}))
    print(f"{shown(str(path))} is damaged: building it again", file=sys.stderr)
    return None


def _digests(tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, str]:
    """Return what a header has of an entry's tensors."""
    found = {"content": content_hash({name: tensor for name, tensor in tensors.items() if name not in labels})}
    return found | ({"labels": content_hash({name: tensors[name] for name in labels})} if labels else {})


def _is_sound(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    labels = header.get("label names", ())
    if not set(labels) <= tensors.keys():
        return False
    return all(header.get(name) == digest for name, digest in _digests(tensors, labels).items())


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Wait until no other process (or thread) holds ``lock``, and hold it; nothing is ever written into it.

    The file itself is locked, so that a lock ends with its process. If it was deleted during the wait, the lock is on a
    file that is no longer ``lock``: try again.

    Raises:
        UsageError: it is a symbolic link, which leads to a file of somebody else's choice.
    """
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UsageError(f"{lock} is a symbolic link that sepray has not made: remove it") from None
            raise
        with open(descriptor, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_open(lock, file):
                continue
            try:
                yield
                return
            finally:
                lock.unlink(missing_ok=True)


@contextmanager
def _partial(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Make a file beside ``path`` under a name that nobody could foresee; it is gone in the end unless it was renamed.

    What processes that died left of the same entry goes first: who calls this holds the entry's lock.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    with partial.open("x+b") as file:  # never an existing file or a link
        try:
            yield partial, file
        finally:
            partial.unlink(missing_ok=True)


def _is_open(path: Path, file: IO[bytes]) -> bool:
    """Say whether ``path`` still names the file that is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _write_entry(file: IO[bytes], path: Path, description: str, plan: Plan) -> None:
    """Write a safetensors file in place: a header without digest, then the tensors, then the header with the digest."""

    def header(digests: Mapping[str, str]) -> bytes:
        metadata: dict[str, Any] = {"key": description, "facts": dict(plan.facts), **digests}
        if plan.labels:
            metadata["label names"] = list(plan.labels)
        described: dict[str, Any] = {"__metadata__": {"sepray": json.dumps(metadata)}}
        end = 0
        for name, shape in plan.shapes.items():
            start, end = end, end + 4 * math.prod(shape)
            described[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(described).encode()
        text += b" " * (-len(text) % 64)
        return len(text).to_bytes(8, "little") + text

    undigested = header(dict.fromkeys(("content", "labels") if plan.labels else ("content",), "0" * 64))
    size = len(undigested) + 4 * sum(map(math.prod, plan.shapes.values()))
    file.truncate(0)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here; in a mapped page it would be a signal
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
    arrays: dict[str, NDArray[np.float32]] = {}
    offset = len(undigested)
    for name, shape in plan.shapes.items():
        arrays[name] = np.memmap(path, np.float32, "r+", offset, shape)
        offset += 4 * math.prod(shape)
    plan.fill(arrays)
    digests = _digests({name: torch.from_numpy(array) for name, array in arrays.items()}, plan.labels)
    for array in arrays.values():
        array.flush()  # type: ignore[attr-defined] # numpy.memmap
    with path.open("r+b") as out:
        out.write(header(digests))
        out.flush()
        os.fsync(out.fileno())

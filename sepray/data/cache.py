"""A folder of tensors that are slow to make, and the digest of their content. Imports nothing from sepray.

One entry is one safetensors file, named by a hash of everything that its content depends on, with the digest of the
content in its header. It is written under a temporary name, synced and renamed: a reader sees all of it or none.
``cached`` builds an entry in memory; processes that build the same one at once replace each other's file by an equal
one. ``mapped`` builds one on the disk, which may be larger than memory: one process builds, others wait for it, and
where it dies the next one builds. What either returns is mapped from the file, page by page as it is looked at.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

Item = TypeVar("Item")
Result = TypeVar("Result")

VERIFIED = 1 << 30
"""Bytes up to which a mapped entry is read through when it is opened (a second); of larger ones the size is checked."""

_NEW = 2_000_000_000  # ns: a file changed so lately could change again without its time stamp showing it


class Plan(NamedTuple):
    """How to make an entry on the disk.

    Attributes:
        shapes: of its tensors, float32.
        fill: writes all of them.
        facts: anything else to keep with them, JSON types.
    """

    shapes: Mapping[str, tuple[int, ...]]
    fill: Callable[[Mapping[str, NDArray[np.float32]]], None]
    facts: Mapping[str, Any] = {}


class Entry(NamedTuple):
    """What an entry holds.

    Attributes:
        tensors: by name.
        content: their digest (``content_hash``).
        facts: of its plan.
    """

    tensors: dict[str, Tensor]
    content: str
    facts: dict[str, Any]


class Kept(NamedTuple):
    """An entry that is opened when it is looked at, so that any number of them can be at hand."""

    path: Path

    def tensor(self, name: str) -> Tensor:
        """Return one of its tensors, mapped from the file."""
        with safe_open(self.path, framework="pt") as file:
            found: Tensor = file.get_tensor(name)
        return found


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
    path = _path(folder, name, description)
    found = _read(path, description)
    if found is not None:
        return found.tensors
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


def mapped(
    folder: Path, name: str, key: Mapping[str, object], plan: Callable[[], Plan], verified: int = VERIFIED
) -> Entry:
    """Return the entry kept in ``folder`` under ``name`` and ``key``; make it on the disk where there is none.

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        key: as for ``cached``.
        plan: says how to make it; called only where there is no sound file, by one process at a time.
        verified: bytes up to which the digest of the content is checked.

    Raises:
        OSError: the folder cannot be written to, or the disk cannot hold the entry (before anything is filled).
    """
    description = json.dumps(key, sort_keys=True)
    path = _path(folder, name, description)
    found = _read(path, description, verified)
    if found is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f".{path.name}.partial") as (partial, file):
        found = _read(path, description, verified)  # another process may just have made it
        if found is None:
            _make(file, partial, description, plan())
            partial.replace(path)
            _sync(folder)
            found = _read(path, description, verified=0)
    if found is None:
        raise OSError(f"{path} was written, but cannot be read")
    return found


def kept_files(
    folder: Path,
    name: str,
    files: Sequence[Path],
    key: Mapping[str, object],
    read: Callable[[Path], Plan],
    label: str,
) -> tuple[dict[Path, Kept], dict[Path, str]]:
    """Make an entry of every file, under its content's digest, in parallel and with a progress bar.

    Args:
        folder: as for ``cached``.
        name: as for ``cached``.
        files: any number.
        key: what the entries depend on beside the files' content.
        read: says how to make a file's entry; a ValueError refuses the file. Called in threads.
        label: of the progress bar, which is shown where this takes more than a second.

    Returns:
        the entries, and of the files that were refused the reasons.
    """

    def keep(file: Path) -> Kept | str:
        full = {**key, "file": file_digest(folder, file)}
        try:
            mapped(folder, name, full, lambda: read(file), verified=0)
        except ValueError as error:
            return str(error)
        return Kept(_path(folder, name, json.dumps(full, sort_keys=True)))

    results = dict(zip(files, in_parallel(keep, files, label), strict=True))
    kept = {file: result for file, result in results.items() if isinstance(result, Kept)}
    return kept, {file: result for file, result in results.items() if isinstance(result, str)}


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item], label: str = "") -> list[Result]:
    """Return ``function`` of every item, in their order, by a thread a CPU; with a progress bar if it takes long.

    Threads, because decoding, resampling and hashing let go of Python's lock, and processes would have to be given the
    user's program. Each keeps torch to one thread.
    """
    from concurrent.futures import ThreadPoolExecutor

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(_shown(pool.map(function, items), len(items), label))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _shown(results: Iterator[Result], total: int, label: str) -> Iterator[Result]:
    """Give what comes, with a progress bar on stderr from the first second on."""
    bar: Any = None
    start = time.monotonic()
    try:
        for done, result in enumerate(results, 1):
            if bar is None and time.monotonic() - start > 1 and done < total:
                from rich.console import Console
                from rich.progress import Progress

                bar = Progress(console=Console(stderr=True))
                bar.start()
                task = bar.add_task(label, total=total)
            if bar is not None:
                bar.update(task, completed=done)
            yield result
    finally:
        if bar is not None:
            bar.stop()


def file_digests(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Return the digest of every file's content (``file_digest``), in parallel."""
    found = in_parallel(lambda file: file_digest(folder, file), files, "looking at files")
    return dict(zip(files, found, strict=True))


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
    if time.time_ns() - stat.st_mtime_ns > _NEW:
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_name(f".{note.name}.{uuid.uuid4().hex}")
        partial.write_text(digest)
        partial.replace(note)
    return digest


def content_hash(tensors: Mapping[str, Tensor], facts: Mapping[str, object] | None = None) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of CPU tensors, and of ``facts`` (JSON types)."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _path(folder: Path, name: str, description: str) -> Path:
    return folder / f"{name}-{hashlib.sha256(description.encode()).hexdigest()[:16]}.safetensors"


def _read(path: Path, description: str, verified: float = math.inf) -> Entry | None:
    """Return the content of a sound file; None where there is no file, or one that is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:  # refuses a file that is not as long as its header says
            header = json.loads((file.metadata() or {}).get("sepray", "{}"))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError):
        header, tensors = {}, {}
    if header.get("key") == description and (
        path.stat().st_size > verified or header.get("content") == content_hash(tensors)
    ):
        return Entry(tensors, header["content"], header.get("facts", {}))
    print(f"{path} is damaged: building it again", file=sys.stderr)
    return None


@contextmanager
def _alone(partial: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Wait until no other process (or thread) writes ``partial``, and open it.

    The file itself is locked, so that a lock ends with its process. One that was renamed or deleted while it was waited
    for is another file's lock by now: another attempt.
    """
    while True:
        with partial.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _same(partial, file):
                continue
            try:
                yield partial, file
                return
            finally:
                if _same(partial, file):  # not renamed
                    partial.unlink()


def _same(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _make(file: IO[bytes], path: Path, description: str, plan: Plan) -> None:
    """Write a safetensors file in place: a header without digest, the tensors as they are filled, the digest."""

    def header(content: str) -> bytes:
        own = {"key": description, "content": content, "facts": dict(plan.facts)}
        described: dict[str, Any] = {"__metadata__": {"sepray": json.dumps(own)}}
        end = 0
        for name, shape in plan.shapes.items():
            start, end = end, end + 4 * math.prod(shape)
            described[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(described).encode()
        text += b" " * (-len(text) % 64)
        return len(text).to_bytes(8, "little") + text

    begin = header("0" * 64)
    size = len(begin) + 4 * sum(map(math.prod, plan.shapes.values()))
    file.truncate(0)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here; in a mapped page it would be a signal
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
    arrays: dict[str, NDArray[np.float32]] = {}
    offset = len(begin)
    for name, shape in plan.shapes.items():
        arrays[name] = np.memmap(path, np.float32, "r+", offset, shape)
        offset += 4 * math.prod(shape)
    plan.fill(arrays)
    content = content_hash({name: torch.from_numpy(array) for name, array in arrays.items()})
    for array in arrays.values():
        array.flush()  # type: ignore[attr-defined] # numpy.memmap
    with path.open("r+b") as out:
        out.write(header(content))
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    """Make a rename last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

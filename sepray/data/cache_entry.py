"""Reads and writes one entry of the cache: a safetensors file, written whole or not at all.

The header has the key of the data and the digests of the tensors, which show damage. In a folder that several users
share, another user could replace the file by one with other tensors and matching digests. So every user has a private
list (``private_list``) of the entries that this user has made. The list has the *seal* of each: the digest of the key,
the facts and the tensors' digests. An entry that is not on the list is used only where no other user can have written
it. In the folder of a cache at a URI (``shared_copies``) that is never so: whoever may write to the URI can have made
what was fetched.

A large entry is read whole once, to check it against its seal. Then its inode, size and times go on the list too, and
while these are the same it is not read whole again: every write changes ``st_ctime``, which no user can set.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import math
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..disk import private_list, shared_copies
from ..disk.files import file_beside, rename_durably
from ..errors import UsageError
from ..plain_text import escape_controls
from .digests import SETTLED, content_hash

TRUST = "SEPRAY_TRUST_CACHE"
"""Variable that is ``1`` where entries that other users have written are taken as they are."""
NOT_TRUSTED = f"may have been made by another user ({TRUST}=1 takes it)"
DAMAGED = "is damaged"
_OWN = "cache-entries"  # name of the list
MODE = 0o644
"""Rights of an entry's file, less the umask. No group needs to write to it: it is replaced, never written to."""


class Plan(NamedTuple):
    """A cache entry that does not exist yet: space for its tensors is made on the disk, then they are filled in there.

    Attributes:
        shapes: shape of each tensor (float32), by name.
        fill: function that writes the values of all tensors; its argument is the arrays on the disk, by name.
        facts: anything else that is kept beside the tensors, JSON types.
        labels: names of tensors that say where items come from; the digest of the content is without them.
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


def read(path: Path, description: str, verified: float = math.inf) -> Entry | None:
    """Return a cache entry; None if its file is missing, damaged, or not known to be made by this user.

    Args:
        path: its file.
        description: the key that it must have been made for.
        verified: size in bytes up to which its content is checked each time.

    Raises:
        UsageError: there is a folder of its name.
    """
    try:  # with O_NONBLOCK, a pipe that somebody else has put there is not waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        _tell(path, "is a symbolic link" if error.errno == errno.ELOOP else "is not a file")  # ENXIO: a socket
        return None
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{escape_controls(str(path))} is a folder that sepray has not made: remove it")
        if not stat.S_ISREG(found.st_mode):
            _tell(path, "is not a file")
            return None
        try:
            header, tensors = _content(descriptor, path)
        except (SafetensorError, ValueError):
            _tell(path, DAMAGED)
            return None
    finally:
        os.close(descriptor)
    if header.get("key") != description:
        _tell(path, DAMAGED)
        return None
    seal, own = seal_of(header), private_list.is_own(found)
    made_here = own and shared_copies.of(path) is None
    seen = f"{seal}:{_identity(found)}"
    if found.st_size <= verified or not private_list.contains(_OWN, seen):
        if not _is_sound(header, tensors):
            _tell(path, DAMAGED)
            return None
        if not (made_here or is_trusted(seal)):
            _tell(path, NOT_TRUSTED)
            return None
        if made_here and not private_list.contains(_OWN, seal):
            remember(header)
        if found.st_size > verified and (own or time.time_ns() - found.st_ctime_ns > SETTLED):
            private_list.add(_OWN, seen)
    return Entry(tensors, header["content"], header.get("facts", {}))


def write(path: Path, description: str, plan: Plan) -> None:
    """Make an entry on the disk, and remove files that dead processes left; the caller holds its lock (``locked``).

    Raises:
        OSError: the disk cannot hold it (before anything is filled).
    """
    _remove_left(path)
    # From here on the open file is written to, not what has its name.
    with file_beside(path, MODE, ".partial") as (partial, file):
        header = _filled(file, description, plan)
        rename_durably(partial, path)
        remember(header)
        private_list.add(_OWN, f"{seal_of(header)}:{_identity(os.fstat(file.fileno()))}")


def receive(path: Path, description: str, fill: Callable[[IO[bytes]], None]) -> bool:
    """Have ``fill`` write an entry, and keep it if it is sound and its key is ``description``; say whether it is kept.

    The caller holds the entry's lock, and checks whether the entry may be trusted (``is_trusted``).

    Args:
        path: its file, which is replaced only by a sound entry.
        description: the key that it must have been made for.
        fill: writes all bytes of the file; its errors pass through.
    """
    _remove_left(path)
    with file_beside(path, MODE, ".partial") as (partial, file):
        fill(file)
        os.fsync(file.fileno())
        try:
            header, tensors = _content(file.fileno(), partial)
        except (SafetensorError, ValueError):
            return False
        if header.get("key") != description or not _is_sound(header, tensors):
            return False
        rename_durably(partial, path)
        private_list.add(_OWN, f"{seal_of(header)}:{_identity(os.fstat(file.fileno()))}")
    return True


def is_trusted(seal: str) -> bool:
    """Say whether an entry with this seal may be used although others could have written it."""
    return private_list.contains(_OWN, seal) or os.environ.get(TRUST) == "1"


def remember(header: Mapping[str, Any]) -> None:
    """Put an entry that this user has made on the list, given its header."""
    private_list.add(_OWN, seal_of(header))


def seal_of(header: Mapping[str, Any]) -> str:
    """Return the digest of an entry's header: its key, its facts, the digests of its tensors."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _remove_left(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        left.unlink(missing_ok=True)


def _tell(path: Path, why: str) -> None:
    print(f"{escape_controls(str(path))} {why}: building it again", file=sys.stderr)


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _content(descriptor: int, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return header and tensors of the open file, even if another file has its name by now."""
    opened = Path(f"/proc/self/fd/{descriptor}")
    with safe_open(opened if opened.exists() else path, framework="pt") as file:  # refuses one of another length
        header = json.loads((file.metadata() or {}).get("sepray", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not isinstance(header, dict):
        raise ValueError("no header of sepray's")
    return header, tensors


def _digests(tensors: Mapping[str, Tensor], labels: Sequence[str]) -> dict[str, str]:
    """Return the digests of an entry's tensors, as its header has them."""
    found = {"content": content_hash({name: tensor for name, tensor in tensors.items() if name not in labels})}
    return found | ({"labels": content_hash({name: tensors[name] for name in labels})} if labels else {})


def _is_sound(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    labels = header.get("label names", ())
    if not set(labels) <= tensors.keys():
        return False
    return all(header.get(name) == digest for name, digest in _digests(tensors, labels).items())


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Wait until no other process (or thread) holds ``lock``, and hold it; nothing is ever written into the file.

    The open file is locked, so that a lock ends with its process. The holder deletes the file at the end. Whoever has
    waited then holds a lock on a file that is no longer ``lock``, and tries again.

    Raises:
        UsageError: the lock is a symbolic link (which may lead anywhere), a folder, or a file of another user who has
            not shared it.
    """
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UsageError(f"{lock} is a symbolic link that sepray has not made: remove it") from None
            if error.errno == errno.EISDIR:
                raise UsageError(f"{lock} is a folder that sepray has not made: remove it") from None
            if isinstance(error, PermissionError) and os.path.lexists(lock):
                raise UsageError(
                    f"{lock} is a lock that you may not take: another user makes this entry without --shared; try "
                    "again when they are done, or remove it if nobody is at it; all who share a cache give --shared"
                ) from None
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


def _is_open(path: Path, file: IO[bytes]) -> bool:
    """Say whether ``path`` still names the file that is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _filled(file: IO[bytes], description: str, plan: Plan) -> dict[str, Any]:
    """Write a safetensors file in place: a header without digests, then the tensors, then the header with digests.

    Returns:
        sepray's part of the header.
    """

    def says(digests: Mapping[str, str]) -> dict[str, Any]:
        names = {"label names": list(plan.labels)} if plan.labels else {}
        return {"key": description, "facts": dict(plan.facts), **digests, **names}

    def header(digests: Mapping[str, str]) -> bytes:
        described: dict[str, Any] = {"__metadata__": {"sepray": json.dumps(says(digests))}}
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
    if hasattr(os, "posix_fallocate"):  # a full disk raises an error here; in a mapped page it would send a signal
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
    arrays: dict[str, NDArray[np.float32]] = {}
    offset = len(undigested)
    for name, shape in plan.shapes.items():
        arrays[name] = np.memmap(file, np.float32, "r+", offset, shape)
        offset += 4 * math.prod(shape)
    plan.fill(arrays)
    digests = _digests({name: torch.from_numpy(array) for name, array in arrays.items()}, plan.labels)
    for array in arrays.values():
        array.flush()  # type: ignore[attr-defined] # numpy.memmap
    file.seek(0)
    file.write(header(digests))
    file.flush()
    os.fsync(file.fileno())
    return dict(json.loads(json.dumps(says(digests))))

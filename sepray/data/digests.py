"""Computes SHA-256 digests of tensors and files: equal data have equal digests."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..disk.files import open_regular, replace_file
from ..disk.private_list import is_own
from ..errors import UsageError
from ..separator_checks import type_name
from .parallel import in_parallel

SETTLED = 2_000_000_000
"""Nanoseconds: a file that changed less than this ago could change again under the same time stamp."""


def file_digests(folder: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Return the digest of each file's content (``file_digest``), in parallel."""
    digests = in_parallel(lambda file: file_digest(folder, file), files, "reading files")
    return dict(zip(files, digests, strict=True))


def file_digest(folder: Path, file: Path) -> str:
    """Return the SHA-256 of a file's content.

    The digest is kept in a note in ``folder``, and computed again after the file's size or time stamp has changed.
    Where several users share ``folder``, only notes count that no other user can have written.
    """
    found = file.stat()
    known = f"{file.resolve()}\0{found.st_size}\0{found.st_mtime_ns}"
    note = folder / "digests" / hashlib.sha256(known.encode(errors="surrogateescape")).hexdigest()[:32]
    own = note.with_name(f"{note.name}-{os.geteuid()}")
    for note_file in (note, own):
        if len(digest := _noted(note_file)) == 64:
            return digest
    with open_regular(file, follow=True) as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if time.time_ns() - found.st_mtime_ns > SETTLED:
        note_file = own if os.path.lexists(note) and not is_own(os.lstat(note)) else note
        # Not synced to the disk: a lost note costs reading the file again, and thousands of notes are written at once.
        replace_file(note_file, digest, durable=False, mode=0o644)
    return digest


def _noted(note: Path) -> str:
    try:
        descriptor = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a folder, or a pipe, whose reader would wait
        os.close(descriptor)
        return ""
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        return file.read(65) if is_own(os.fstat(descriptor)) else ""


def content_hash(tensors: Mapping[str, Tensor], facts: Mapping[str, object] | None = None) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of CPU tensors of any shape, and of ``facts`` (JSON).

    Raises:
        UsageError: a value is no tensor, such as an array of numpy.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        require_tensor(name, tensor)
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def item_digests(items: Iterable[Tensor]) -> tuple[str, ...]:
    """Return the SHA-256 of the bytes of each item, of any shape, as the name of a recording that has no file.

    Raises:
        UsageError: an item is no tensor, such as an array of numpy.
    """
    digests = []
    for item in items:
        require_tensor("each item", item)
        digests.append(hashlib.sha256(item.numpy().tobytes()).hexdigest())
    return tuple(digests)


def require_tensor(name: str, value: object) -> None:
    """Check that a value is a tensor; ``name`` is what a message calls it.

    Raises:
        UsageError: the value is something else.
    """
    if not isinstance(value, Tensor):
        shown = name.replace("/", ".")
        raise UsageError(f"{shown} must be a torch tensor (torch.from_numpy makes one), is {type_name(value)}")

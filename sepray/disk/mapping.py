"""Maps tensors from files, so that training data may be larger than memory, and are not copied for each process.

A tensor that is mapped from a file takes pages of the system's cache. All processes of a machine share these, and the
system takes them back when memory is short. ``slice_of`` says where in a file a tensor lies, ``opened`` maps it in
another process, and a ``Scratch`` writes tensors into files. Imports nothing from sepray but its temporary folders.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import math
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import temporary

LARGE_BYTES = 1 << 30
"""Largest total size of training and validation items, in bytes, that workers share in Ray's object store; larger ones
are mapped from files."""
_COPIED_BYTES = 1 << 20
"""Largest size of a tensor, in bytes, that stays in memory although others are mapped."""


@dataclass(frozen=True)
class FileSlice:
    """The bytes of a file in which the values of a tensor are.

    Attributes:
        path: the file.
        offset: number of the first byte.
        shape: shape of the tensor, whose values lie in order.
        dtype: type of the values, as numpy names it.
        identity: inode, size in bytes and time of the last change (ns) of the file. On shared storage they are the same
            on all machines, and another file at that path would differ in one of them.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: str
    identity: tuple[int, int, int]

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def total_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of all values."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def is_large(tensors: Iterable[Tensor]) -> bool:
    """Say whether tensors are together too large to be copied."""
    return total_bytes(tensors) > LARGE_BYTES


def slice_of(tensor: Tensor) -> FileSlice | None:
    """Return the slice of a file where a tensor lies; None if it is in memory, not contiguous, or unlike its file.

    A private mapping that was written to differs from the file: its changed pages are memory of this process. Only
    Linux tells that, so on other systems the result is always None.
    """
    if tensor.device.type != "cpu" or not tensor.is_contiguous() or not tensor.numel():
        return None
    first, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
    found = _mapping(first, first + size)
    if found is None or found["changed"]:
        return None
    offset = found["offset"] + first - found["start"]
    try:
        stat = os.stat(found["path"])
    except OSError:
        return None  # the file was removed, and lasts as long as its mappings
    if stat.st_ino != found["inode"] or offset + size > stat.st_size:
        return None
    return FileSlice(found["path"], offset, tuple(tensor.shape), tensor.numpy().dtype.str, _identity(stat))


def opened(found_slice: FileSlice) -> NDArray[Any] | None:
    """Return the values mapped from their file; None if the file is not there, or is another one.

    Writing to the array changes neither the file nor the values that other processes see.
    """
    try:
        descriptor = os.open(found_slice.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if _identity(os.fstat(file.fileno())) != found_slice.identity:
            return None
        return np.memmap(file, found_slice.dtype, "c", found_slice.offset, found_slice.shape)


class Scratch:
    """A folder with files for tensors, for as long as this process lives.

    Args:
        parent: folder in which it is made, on a disk that has room for them.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self._folder = temporary.make("sepray-items-", str(parent), shared=True)
        self._names = itertools.count()
        atexit.register(temporary.remove, self._folder)

    def new(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor in a new file, to be filled.

        Raises:
            OSError: the disk has no room for it.
        """
        path = os.path.join(self._folder, str(next(self._names)))
        kind = torch.empty(0, dtype=dtype).numpy().dtype
        with open(path, "xb") as file:  # on a full disk this raises; a write to the mapping would be a SIGBUS
            os.posix_fallocate(file.fileno(), 0, max(1, math.prod(shape) * kind.itemsize))
        return torch.from_numpy(np.memmap(path, kind, "r+", 0, shape))

    def kept(self, tensor: Tensor) -> Tensor:
        """Return a tensor mapped from its file, or from a copy in this folder; a small one in memory stays there."""
        found_slice = slice_of(tensor)
        if found_slice is None and total_bytes([tensor]) > _COPIED_BYTES:
            written = self.new(tuple(tensor.shape), tensor.dtype)
            copy_items(written, tensor, torch.arange(len(tensor)))
            found_slice = slice_of(written)
        if found_slice is None:
            return tensor
        if Path(found_slice.path).parent == Path(self._folder):
            with open(found_slice.path, "rb") as file:  # the time of its last change is final once it is on the disk
                os.fsync(file.fileno())
            found_slice = replace(found_slice, identity=_identity(os.stat(found_slice.path)))
        array = opened(found_slice)
        return tensor if array is None else torch.from_numpy(array)


@functools.cache
def scratch(parent: Path) -> Scratch:
    """Return this process's folder for tensors in ``parent``."""
    return Scratch(parent.expanduser())


def copy_items(to: Tensor, tensor: Tensor, index: Tensor, at_once: int = 1 << 26) -> None:
    """Copy items ``tensor[index]`` into ``to [item, ...]``, some at a time, so that neither has to fit into memory.

    Args:
        to: as many items as the index has.
        tensor: ``[item, ...]``.
        index: numbers of items.
        at_once: bytes copied at once.
    """
    each = max(1, tensor[:1].numel() * tensor.element_size())
    for part, chosen in zip(*(t.split(max(1, at_once // each)) for t in (to, index)), strict=True):
        part.copy_(tensor[chosen])


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _mapping(first: int, end: int) -> dict[str, Any] | None:
    """Return the mapping of a file that holds these addresses of memory; None if there is none.

    Its keys are ``start``, ``offset``, ``inode``, ``path``, and ``changed``: whether it was written to.
    """
    try:
        with open("/proc/self/maps") as lines:
            found = next(((line, told) for line in lines if (told := _header(line, first, end))), None)
        if found is None:  # most tensors lie in no file: the system need not count the pages of all mappings
            return None
        header, told = found
        with open("/proc/self/smaps") as lines:
            if header not in lines:  # this test reads all lines up to it
                return None
            for line in lines:
                word, _, value = line.partition(":")
                if " " in word:  # the next mapping
                    break
                if word in ("Anonymous", "Swap") and value.split()[0] != "0":
                    told["changed"] = True
    except OSError:
        return None
    return told


def _header(line: str, first: int, end: int) -> dict[str, Any] | None:
    """Return the content of a mapping's first line in ``smaps``; None unless it maps a file to all these addresses."""
    addresses, _, offset, _, inode, *path = line.rstrip("\n").split(None, 5)
    start, stop = (int(address, 16) for address in addresses.split("-"))
    if not (start <= first and end <= stop) or not path or not path[0].startswith("/"):
        return None
    assert start % mmap.PAGESIZE == 0
    return {"start": start, "offset": int(offset, 16), "inode": int(inode), "path": path[0], "changed": False}

"""The items that trials are trained and validated on, as the driver hands them over and as a worker has them.

Small ones lie in Ray's object store. Workers are told where large ones (``mapping.LARGE_BYTES``) lie in a file of the
driver's cache, and map that file. A node that does not see the file fetches it once and in pieces, into a folder beside
its own cache, where it stays until another study's items take its place. Where the cache is at an object store
(``shared_copies``), the node fetches the copy there, if that has the digest of the driver's file. Otherwise it asks a
process of the driver's node.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor

from ..disk import files, mapping, shared_copies
from ..disk.mapping import FileSlice
from ..errors import UsageError

PIECE_BYTES = 1 << 26
"""Bytes that a node asks for at once."""
_ATTEMPTS = 3  # to fetch a piece: Ray may lose one with the connection between two nodes
_held: dict[str, IO[bytes]] = {}  # files of fetched items that this process uses, with the system's lock


@dataclass(frozen=True)
class Served:
    """A slice of a file that nodes without its file can fetch.

    Attributes:
        file_slice: where the values are on the driver's node.
        source: actor that reads them there (``_Source``).
        cache: folder of the cache, in which ``~`` is each node's own, or its URI.
        copy: path of the shared copy of its file at the store of ``cache``; empty if there is none.
    """

    file_slice: FileSlice
    source: Any
    cache: str
    copy: str = ""


HandedTensor = NDArray[Any] | FileSlice | Served
"""The values of a tensor, as they are handed to a worker."""


def handed(tensor: Tensor, large: bool) -> NDArray[Any] | FileSlice:
    """Return the values of a tensor as trials are given them.

    Args:
        tensor: on the CPU.
        large: whether it belongs to large data; then the slice of a file is returned, where there is one.
    """
    file_slice = mapping.slice_of(tensor) if large else None
    return tensor.numpy() if file_slice is None else file_slice


@contextlib.contextmanager
def served(parameters: Mapping[str, Any], cache: str, on_cluster: bool) -> Iterator[dict[str, Any]]:
    """Let the nodes of a cluster fetch, while trials run, items that they know only as the slice of a file.

    Args:
        parameters: parameters of the trials, with ``train`` and ``validation``.
        cache: folder of the cache on any node, or its URI.
        on_cluster: whether there may be other nodes than this one.
    """
    views = {name: parameters[name] for name in ("train", "validation")}
    slices = [given for view in views.values() for given in view.values() if isinstance(given, FileSlice)]
    if not slices or not on_cluster:
        yield dict(parameters)
        return
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    source = ray.remote(num_cpus=0, max_concurrency=4)(_Source).options(scheduling_strategy=here).remote(slices)
    try:
        yield {
            **parameters,
            **{
                name: {
                    key: Served(g, source, cache, _copy_of(g)) if isinstance(g, FileSlice) else g
                    for key, g in view.items()
                }
                for name, view in views.items()
            },
        }
    finally:
        ray.kill(source)


def _copy_of(file_slice: FileSlice) -> str:
    """Return the path of the shared copy of a slice's file; empty if there is none, or the store fails."""
    copy = shared_copies.of(Path(file_slice.path))
    with contextlib.suppress(OSError):
        if copy is not None and copy.size() == os.stat(file_slice.path).st_size:
            return copy.path
    return ""


def tensors(view: Mapping[str, HandedTensor], device: str, copied: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a view on a device; large ones that a GPU has no room for stay mapped on the CPU.

    Args:
        view: values by name.
        device: device in torch's words, such as ``"cpu"`` or ``"cuda"``.
        copied: whether to copy the tensors, because the caller may write to them.

    Raises:
        OSError: this node has no room for what it has to fetch.
    """
    arrays = {name: given if isinstance(given, np.ndarray) else _mapped(given) for name, given in view.items()}
    size = sum(array.nbytes for array in arrays.values())
    if device == "cuda" and size > mapping.LARGE_BYTES and size > torch.cuda.mem_get_info()[0] / 2:
        device = "cpu"
    # What is mapped is a copy already: pages that are written to become this process's own.
    return {
        name: torch.tensor(array, device=device)
        if copied and isinstance(view[name], np.ndarray)
        else without_copy(array, device)
        for name, array in arrays.items()
    }


def without_copy(array: NDArray[Any], device: str) -> Tensor:
    """Return a tensor that on a CPU shares the array's memory.

    Arrays of Ray's object store are shared by the node's workers and read-only; nobody writes to training data.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array).to(device)


class _Source:
    """Reads the items of a study for other nodes, on the driver's."""

    def __init__(self, slices: list[FileSlice]) -> None:
        self._slices = set(slices)
        self._digests: dict[FileSlice, str] = {}
        self._digesting = threading.Lock()

    def read(self, file_slice: FileSlice, start: int, count: int) -> NDArray[np.uint8]:
        """Return bytes of a slice of this study's files.

        Raises:
            ValueError: the slice is none of this study's, or its file has changed.
        """
        return np.array(self._bytes(file_slice)[start : start + count])

    def digest(self, file_slice: FileSlice) -> str:
        """Return the SHA-256 of all bytes of a slice, which are read once for all nodes.

        Raises:
            ValueError: as for ``read``.
        """
        with self._digesting:
            if file_slice not in self._digests:
                self._digests[file_slice] = hashlib.sha256(self._bytes(file_slice).data).hexdigest()
            return self._digests[file_slice]

    def _bytes(self, file_slice: FileSlice) -> NDArray[np.uint8]:
        array = mapping.opened(file_slice) if file_slice in self._slices else None
        if array is None:
            raise ValueError(f"the items in {file_slice.path} have been changed or removed")
        return array.reshape(-1).view(np.uint8)


def _mapped(given: FileSlice | Served) -> NDArray[Any]:
    file_slice = given.file_slice if isinstance(given, Served) else given
    array = mapping.opened(file_slice)
    if array is None and isinstance(given, Served):
        array = mapping.opened(_fetched(given))
    if array is None:
        raise ValueError(f"the items in {file_slice.path} have been changed or removed")
    return array


def _fetched(given: Served) -> FileSlice:
    """Return the slice of a file with items on this node, which are fetched unless another worker has done so.

    Raises:
        OSError: the disk has no room for them, or the driver's node does not hand them over.
    """
    folder = _folder(given.cache)
    name = hashlib.sha256(repr(given.file_slice).encode()).hexdigest()[:32]
    path = folder / name
    with open(folder / "lock", "ab") as lock:  # one worker fetches, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _remove_unused(folder)
            with files.file_beside(path, 0o600) as (partial, file), _rays_errors():
                if not _fetch_copy(given, file):
                    _fetch(given, file)
                files.rename_durably(partial, path)
        if name not in _held:
            _held[name] = open(path, "rb")  # noqa: SIM115 # for as long as this process lives
            fcntl.flock(_held[name], fcntl.LOCK_SH)
    found = os.fstat(_held[name].fileno())
    return replace(
        given.file_slice, path=str(path), offset=0, identity=(found.st_ino, found.st_size, found.st_mtime_ns)
    )


@contextlib.contextmanager
def _rays_errors() -> Iterator[None]:
    """Raise Ray's errors of a lost process or object as an OSError: such a loss is no fault of the trial's."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        told = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise OSError(f"the items cannot be fetched from the driver's node: {told}") from error


def _folder(cache: str) -> Path:
    """Return this user's own folder beside a node's cache, for what it has fetched."""
    folder = shared_copies.local_folder(cache) / f"fetched-{os.geteuid()}"
    if shared_copies.is_uri(cache):
        shared_copies.make_private(folder.parent)
    shared_copies.make_private(folder)
    return folder


def _fetch_copy(given: Served, file: IO[bytes]) -> bool:
    """Fetch items from the store of the cache; say whether they are those that the driver has."""
    if not given.copy:
        return False
    expected = given.source.digest.remote(given.file_slice)
    try:
        shared_copies.at(given.cache, given.copy).fetch(file, given.file_slice.offset, given.file_slice.nbytes)
        os.fsync(file.fileno())
        with open(file.fileno(), "rb", closefd=False) as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        return bool(found == ray.get(expected))
    except (OSError, UsageError, ray.exceptions.ObjectLostError):
        return False


def _fetch(given: Served, file: IO[bytes]) -> None:
    size = given.file_slice.nbytes
    os.posix_fallocate(file.fileno(), 0, size)
    starts = range(0, size, PIECE_BYTES)

    def asked(start: int) -> Any:
        return given.source.read.remote(given.file_slice, start, PIECE_BYTES)

    coming = asked(0)
    for start in starts:
        piece, coming = coming, asked(start + PIECE_BYTES) if start + PIECE_BYTES < size else None
        for tries_left in reversed(range(_ATTEMPTS)):
            try:
                values = ray.get(piece)
                break
            except ray.exceptions.ObjectLostError:
                if not tries_left:
                    raise
                piece = asked(start)
        os.pwrite(file.fileno(), values, start)
        del values, piece
    os.fsync(file.fileno())


def _remove_unused(folder: Path) -> None:
    """Remove files that no process uses, which an earlier study or a killed process has left."""
    for path in folder.iterdir():
        if path.name == "lock":
            continue
        with contextlib.suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()

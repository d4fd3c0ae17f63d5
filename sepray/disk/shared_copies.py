"""A cache at a URI: copies of its files that machines share, and the folder in which each machine has its own.

A file is fetched into, or made in, a folder that belongs to one user of one machine (``local_folder``), and all code
reads it there. An object store publishes a whole object or none; on other file systems a copy is written under another
name and renamed. The caller has to check that a copy is sound and may be trusted. Imports no torch, and pyarrow only
for a cache at a URI.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import UsageError, mask

if TYPE_CHECKING:
    from pyarrow import fs

_PIECE_BYTES = 1 << 23
"""Bytes that are read or written at once, by each thread."""
_THREADS = 4  # connections of one download: a single one to an object store is slower than most networks
_UNSENT_BYTES = 1 << 26
"""Most bytes of an upload that wait in memory. Without a limit Arrow takes a whole file if the network is slow."""
_PUBLISHED_WHOLE = ("s3", "gcs", "abfs")  # file systems on which no half-written file has a name


@dataclass(frozen=True)
class _Remote:
    scheme: str
    filesystem: fs.FileSystem
    path: str


_remotes: dict[Path, _Remote] = {}  # local folder -> where its files have shared copies


@dataclass(frozen=True)
class SharedCopy:
    """The shared copy of one file, which need not exist.

    Attributes:
        filesystem: where it is.
        path: its path there.
        shown: where it is, for messages, without secrets.
    """

    filesystem: fs.FileSystem
    path: str
    shown: str

    def size(self) -> int | None:
        """Return the copy's size in bytes; None if there is no copy.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        info = self.filesystem.get_file_info(self.path)
        return None if info.size is None else int(info.size)

    def read(self, start: int, count: int) -> bytes:
        """Return ``count`` bytes of the copy from ``start`` on; fewer where the copy ends before.

        Raises:
            OSError: there is no copy, or the store does not answer, or refuses.
        """
        with self.filesystem.open_input_file(self.path) as stream:
            return bytes(stream.read_at(count, start))

    def fetch(self, file: IO[bytes], start: int = 0, count: int | None = None) -> None:
        """Write the copy's bytes, or ``count`` of them from ``start`` on, into a file, some at a time.

        Raises:
            OSError: there is none, it is shorter, the store does not answer, or the disk has no room.
        """
        with self.filesystem.open_input_file(self.path) as stream:
            size = stream.size() - start if count is None else count
            if size > 0 and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)

            def copy(offset: int) -> None:
                wanted = min(_PIECE_BYTES, size - offset)
                piece = stream.read_at(wanted, start + offset)
                if len(piece) < wanted:
                    raise OSError(f"{self.shown} ends too early")
                left = memoryview(piece)
                while left:
                    done = os.pwrite(file.fileno(), left, offset)
                    left, offset = left[done:], offset + done

            pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")
            try:
                for _ in pool.map(copy, range(0, size, _PIECE_BYTES)):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)

    def keep(self, path: Path) -> None:
        """Send a copy of a file to the store, in place of an older one; if that fails, no copy is left there.

        Raises:
            OSError: the store does not answer, or refuses.
        """
        target = self.path
        if self.filesystem.type_name not in _PUBLISHED_WHOLE:
            folder, _, name = self.path.rpartition("/")
            self.filesystem.create_dir(folder, recursive=True)
            target = f"{folder}/.{name}.{secrets.token_hex(4)}.partial"
        try:
            with open(path, "rb") as file, self.filesystem.open_output_stream(target) as stream:
                unsent = 0
                while piece := file.read(_PIECE_BYTES):
                    stream.write(piece)
                    unsent += len(piece)
                    if unsent >= _UNSENT_BYTES:
                        stream.flush()
                        unsent = 0
            if target != self.path:
                self.filesystem.move(target, self.path)
        except BaseException:
            with contextlib.suppress(OSError):  # after an error Arrow publishes the part that was sent
                self.filesystem.delete_file(target)
            raise


def is_uri(cache: str | os.PathLike[str]) -> bool:
    """Say whether a cache is at the URI of an object store, and no folder."""
    return isinstance(cache, str) and re.match(r"[A-Za-z][\w+.-]*://", cache) is not None


def local_folder(cache: str | os.PathLike[str]) -> Path:
    """Return the folder of a cache on this machine, which need not exist; ``~`` is expanded.

    Args:
        cache: a folder or a URI (``named_folder``).

    Raises:
        RuntimeError: there is no home folder.
        UsageError: it is a URI that lacks a slash.
    """
    return named_folder(cache).expanduser()


def named_folder(cache: str | os.PathLike[str]) -> Path:
    """Return the folder of a cache on this machine, as its user names it, with ``~``.

    Args:
        cache: a folder, or a URI. For a URI the folder is ``sepray/SCHEME-DIGEST`` in ``$XDG_CACHE_HOME``, else in
            ``~/.cache``.

    Raises:
        UsageError: it is a URI that lacks a slash, which would be a folder called ``s3:``.
    """
    if not is_uri(cache):
        if isinstance(cache, str) and (scheme := re.match(r"([A-Za-z][\w+.-]+):/", cache)):
            raise UsageError(f"{mask(cache)}: the address of an object store begins with {scheme[1]}://")
        return Path(cache)
    uri = re.sub("//[^/@]*@", "//", str(cache).rstrip("/"))  # without a key, which may change
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sepray"
    return base / f"{uri.partition(':')[0].lower()}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"


def opened(cache: str | os.PathLike[str]) -> Path:
    """Return the folder of a cache on this machine; from now on files in the folder of a URI have shared copies.

    Args:
        cache: a folder or a URI. For a URI a small file is written to the bucket as a test, once in a process.

    Raises:
        UsageError: there is no such bucket or kind of store, or the folder on this machine is another user's.
        UnreachableError: the store does not answer, or refuses this user.
        OSError: the folder of a URI cannot be made.
    """
    folder = local_folder(cache)
    if is_uri(cache) and folder not in _remotes:
        from .file_systems import open_location, reachable, require_location

        uri = str(cache)
        require_location(uri, "--cache")
        with reachable(uri):
            filesystem, path = open_location(uri)
        make_private(folder)
        _remotes[folder] = _Remote(uri.partition(":")[0], filesystem, path)
    return folder


def of(path: Path) -> SharedCopy | None:
    """Return the shared copy of a file of a cache, which need not exist; None unless ``opened`` was given its URI."""
    for folder in path.parents if _remotes else ():
        if (remote := _remotes.get(folder)) is not None:
            name = path.relative_to(folder).as_posix()
            copy = f"{remote.path}/{name}"
            return SharedCopy(remote.filesystem, copy, f"{remote.scheme}://{mask(copy)}")
    return None


def at(cache: str, path: str) -> SharedCopy:
    """Return a shared copy by its path, on a machine that has not opened the cache.

    Args:
        cache: the URI of the cache.
        path: the copy's path at the store (``SharedCopy.path``).

    Raises:
        OSError: the store does not answer, or refuses.
        UsageError: pyarrow was built without this kind of store.
    """
    from .file_systems import open_location

    return SharedCopy(open_location(cache)[0], path, f"{cache.partition(':')[0]}://{mask(path)}")


def make_private(folder: Path) -> None:
    """Make a folder that is private to this user (mode 0700), unless it is there.

    Raises:
        UsageError: what is there is no folder of this user's, or others may write to it.
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UsageError(f"{folder} is not this user's own: remove it")

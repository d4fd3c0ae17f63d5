"""Unpacks packed files up to a limit: a few kilobytes of a hostile file may unpack to gigabytes.

Imports nothing from sepray but the errors and `disk`, which opens files without waiting for pipes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from ..disk.files import open_regular
from ..errors import UsageError

FREE = 16 << 20
"""Bytes that an archive, or a member of one, may unpack to, however short it is."""
MOST_GROWTH = 100
"""Largest factor by which an archive may grow when it is unpacked: pictures are compressed already."""

_PART = 1 << 20  # bytes that are unpacked at once
_LARGE = 256 << 20  # unpacked bytes beyond which an archive may grow less: it then takes seconds, not minutes
_LARGE_GROWTH = 20  # largest factor by which it may grow beyond these bytes
_FREE_MEMBERS = 10_000
_MEMBER_BYTES = 100  # least bytes of an archive for each further member: a tiny picture and its name

_PACKERS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
"""First bytes of a packed file, and the function that opens it."""


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, gzipped or not, for reading its unpacked content."""
    with open_regular(path, follow=True) as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not is_packed:
            yield file
            return
        with gzip.open(file) as content:
            yield content  # type: ignore[misc] # read as any other file


def read_at_most(file: IO[bytes], size: int, most: int) -> bytes:
    """Return the rest of a file, after its current position.

    Args:
        file: the file.
        size: number of bytes that its header promises.
        most: largest number of bytes that may be left.

    Raises:
        UsageError: more bytes are left, or the header promises more.
    """
    if size > most:
        raise UsageError(f"its {size} bytes are too many")
    content = io.BytesIO()
    while part := file.read(_PART):
        if content.tell() + len(part) > most:
            raise UsageError(f"more than {most} bytes are too many")
        content.write(part)
    return content.getvalue()


@contextlib.contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not.

    Raises:
        UsageError: a packed archive unpacks to too much, or a header is longer than a megabyte; raised while the
            archive is read. Too much is more than 100 times its size, or than 256 MB plus 20 times its size; 16 MB are
            always allowed.
    """
    with open_regular(path, follow=True) as file:
        first = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in _PACKERS if first.startswith(magic)), None)
        size = path.stat().st_size
        if opener is None:  # unpacked already; past the end of a shortened archive nothing can be read
            with tarfile.open(fileobj=_Limited(file, sys.maxsize - 1), mode="r:") as archive:
                yield archive
            return
        most = max(FREE, min(MOST_GROWTH * size, _LARGE + _LARGE_GROWTH * size))
        with opener(file) as content, tarfile.open(fileobj=_Limited(content, most), mode="r:") as archive:
            yield archive


def _check_number(members: int, size: int) -> None:
    """Refuse an archive with more members than its bytes could hold pictures: each takes time, however empty it is."""
    if members > (most := _FREE_MEMBERS + size // _MEMBER_BYTES):
        raise UsageError(f"it has more than {most} members in {size} bytes, and that is no archive of pictures")


class ZipMembers:
    """The files in a zip archive. The archive's list of files is read once.

    Attributes:
        names: paths of the files, as the archive has them.

    Raises:
        OSError, zipfile.BadZipFile: the archive is damaged.
        UsageError: the archive has far too many members for its size.
    """

    def __init__(self, path: Path) -> None:
        file = open_regular(path, follow=True)
        self._archive, self._size, self._lock = zipfile.ZipFile(file), path.stat().st_size, threading.Lock()
        self.names = self._archive.namelist()
        _check_number(len(self.names), self._size)

    def read(self, name: str, most: Callable[[int], int]) -> bytes:
        """Return the content of a file. Any thread may call it.

        Args:
            name: path of the file.
            most: returns how many bytes the file may have, given its packed size.

        Raises:
            UsageError: the file has more.
        """
        info = self._archive.getinfo(name)
        packed = min(info.compress_size, self._size)  # the archive may state any compressed size
        with self._lock, self._archive.open(info) as file:
            return read_at_most(file, info.file_size, most(packed))


class TarMembers:
    """The files in a tar archive, each read from its position. Sparse files are left out.

    A packed archive is unpacked once, into a temporary file: otherwise each read would unpack all that comes before.

    Attributes:
        names: paths of the files, as the archive has them.

    Raises:
        OSError, tarfile.TarError: the archive is damaged.
        UsageError: the archive unpacks to too much (``open_tar``), or has far too many members for its size.
    """

    def __init__(self, path: Path) -> None:
        self._size, self._lock = path.stat().st_size, threading.Lock()
        with open_tar(path) as archive:
            self._positions = {}
            for number, member in enumerate(archive, 1):
                _check_number(number, self._size)
                if member.isfile() and not member.issparse():
                    self._positions[member.name] = (member.offset_data, member.size)
                cast("Any", archive).members = []  # else the archive keeps them all in memory
        with open_regular(path, follow=True) as file:
            first = file.read(6)
        self._path, self._is_packed = path, any(first.startswith(magic) for magic, _ in _PACKERS)
        self._file: IO[bytes] | None = None
        self.names = list(self._positions)

    def read(self, name: str, most: Callable[[int], int]) -> bytes:
        """Return the content of a file. Any thread may call it.

        Args:
            name: path of the file.
            most: returns how many bytes the file may have, given the archive's size.

        Raises:
            UsageError: the file has more, or is cut short.
        """
        offset, size = self._positions[name]
        if size > most(self._size):
            raise UsageError(f"its {size} bytes are too many")
        with self._lock:
            if self._file is None:
                self._file = self._opened()
                weakref.finalize(self, self._file.close)
            descriptor = self._file.fileno()
        content = os.pread(descriptor, size, offset)
        if len(content) < size:
            raise UsageError("it is cut short")
        return content

    def _opened(self) -> IO[bytes]:
        if not self._is_packed:
            return open_regular(self._path, follow=True)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open
        with open_tar(self._path) as archive:
            content = cast("_Limited", archive.fileobj)
            content.seek(0)
            shutil.copyfileobj(content, file, _PART)
        file.flush()
        return file


class _Limited(io.RawIOBase):
    """The unpacked content of an archive: at most ``most`` bytes, and at most a megabyte at a time.

    ``tarfile`` reads headers in one piece, and no honest one is longer.
    """

    def __init__(self, content: IO[bytes], most: int) -> None:
        self.content, self.most = content, most

    def readable(self) -> bool:
        """Return True: the content can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: the position in the content can be set."""
        return True

    def tell(self) -> int:
        """Return the position in the unpacked bytes."""
        return self.content.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, which unpacks everything before it."""
        position = offset + (self.tell() if whence == io.SEEK_CUR else 0)
        self._check(position)
        return self.content.seek(position)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if size > _PART:
            raise UsageError(f"a header in it has {size} bytes")
        self._check(self.tell())
        return self.content.read(min(size, self.most + 1) if size >= 0 else self.most + 1)

    def _check(self, position: int) -> None:
        if position > self.most:
            raise UsageError(f"it unpacks to more than {self.most >> 20} MB, and that is no archive of pictures")

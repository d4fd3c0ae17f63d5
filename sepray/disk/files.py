"""Writes files and folders whole or not at all, and opens, locks and checks them in folders that others may write to.

Imports nothing from sepray but the errors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from ..errors import UsageError

_LARGEST_JSON = 1 << 30  # bytes; a sparse file may seem to have any number, and would fill the memory
_MOST_DIGITS = 30  # a whole number of sepray's is never longer, and a float could not hold it
_POLL_SECONDS = 0.02


def replace_file(path: Path, content: bytes | str, durable: bool = True, mode: int = 0o666) -> None:
    """Write ``content`` to ``path`` so that a crash at any moment leaves the old file or the new one, never a part.

    The content is written to a temporary file in the same folder, synced to the disk and renamed; the folder is made
    if it does not exist, and synced too. Text is written as UTF-8.

    Args:
        path: the file.
        content: all of it.
        durable: False for content that is cheap to make again. Then nothing is synced, which saves milliseconds. A
            power cut may leave an empty file; without one, readers see the old file or the new one all the same.
        mode: rights of the file, less the umask.

    Raises:
        OSError: the folder or the file cannot be written; the old file, if any, is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_beside(path, mode) as (temporary, file):
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
            rename_durably(temporary, path)
        else:
            temporary.replace(path)


@contextlib.contextmanager
def file_beside(path: Path, mode: int = 0o666, suffix: str = "") -> Iterator[tuple[Path, IO[bytes]]]:
    """Make a file beside ``path``, to be written and renamed; if it was not renamed, it is removed at the end.

    Its name cannot be guessed, and no existing file or link is opened. So in a folder that others may write to nobody
    can redirect what is written.

    Args:
        path: what the file will be called.
        mode: rights of the file, less the umask.
        suffix: end of its temporary name, by which it can be found after a process has died.

    Yields:
        The temporary path, and the file, open for writing and reading.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{suffix}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w+b") as file:
        try:
            yield temporary, file
        finally:
            temporary.unlink(missing_ok=True)


def rename_durably(made: Path, path: Path) -> None:
    """Give a file, which is synced to the disk, the name ``path`` in the same folder, so that it outlives a power cut.

    Args:
        made: the file.
        path: its name from now on; a file of that name gives way.

    Raises:
        OSError: the file cannot be renamed, or its folder cannot be synced.
    """
    made.replace(path)
    sync_folder(path.parent)


def create_for_sqlite(path: Path) -> None:
    """Make an empty file for SQLite, which would give its group fewer rights than the umask leaves.

    A file that is there stays as it is. If none can be made, SQLite will say why.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def umask(shared: bool) -> int:
    """Return the umask for a study's files and folders.

    Args:
        shared: whether the user's group may read and write them: files are then 0660 and folders 0770, else 0600, 0700.
    """
    return 0o007 if shared else 0o077


@contextlib.contextmanager
def kept_private(shared: bool) -> Iterator[None]:
    """Keep other users from reading files that are written meanwhile by this process, or by processes that it starts.

    Args:
        shared: whether the user's group may read and write them all the same.
    """
    before = os.umask(umask(shared))
    try:
        yield
    finally:
        os.umask(before)


def is_clutter(path: Path) -> bool:
    """Say whether a path within a folder is hidden, or made by macOS (``._x.csv``, ``__MACOSX``)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def refuse_links(paths: Iterable[Path], folder: Path) -> None:
    """Refuse a folder of data with links that lead out of it: whoever made them would choose what this user reads.

    ``SEPRAY_FOLLOW_LINKS=1`` in the environment allows them, for users whose data consist of links.

    Args:
        paths: files and folders that are read in the folder.
        folder: may be a link itself, because the user has named it.

    Raises:
        UsageError: one of the paths is a link to a place outside, or lies behind one.
    """
    if os.environ.get("SEPRAY_FOLLOW_LINKS") == "1":
        return
    inside = os.path.realpath(folder)
    for path in paths:
        if not Path(os.path.realpath(path)).is_relative_to(inside):
            raise UsageError(
                f"{path} is a link that leads out of {folder}; copy what it leads to, or trust the links there with "
                "SEPRAY_FOLLOW_LINKS=1"
            )


def replace_folder(folder: Path, made: Path) -> None:
    """Move the folder ``made`` to ``folder``, in place of the old one, synced to the disk with all that is in it.

    A crash leaves the old folder, none, or the new one, whole. Nothing is deleted if ``made`` is no longer in the
    parent folder: then somebody has put a link in the parent's place.

    Args:
        folder: where the folder goes.
        made: a folder on the same disk.

    Raises:
        OSError: a file cannot be synced, or the folder cannot be moved.
    """
    sync_tree(made)
    made, parent = made.absolute(), folder.absolute().parent
    inside = os.path.relpath(made, parent) if made.is_relative_to(parent) else str(made)
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.stat(inside, dir_fd=descriptor)
        shutil.rmtree(folder.name, ignore_errors=True, dir_fd=descriptor)
        os.rename(inside, folder.name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder.parent)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder with all its files, unless it is there; a crash leaves the whole folder or none.

    If another process makes the same folder at the same time, the folder of the first to end is kept.

    Args:
        folder: the folder.
        fill: writes the files into the empty folder that it is given.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        fill(made)
        sync_tree(made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    sync_folder(folder.parent)


def move_files(made: Path, folder: Path) -> None:
    """Move all files of the folder ``made`` into ``folder``, on the same disk, in place of files of the same names.

    They are synced to the disk first, so that a crash leaves of each file the old one or the new one, whole.
    """
    sync_tree(made)
    for path in sorted(made.iterdir()):
        path.replace(folder / path.name)
    sync_folder(folder)


def sync_tree(folder: Path) -> None:
    """Sync a folder to the disk, with all that is in it, before it gets its name."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    sync_folder(folder)


def open_regular(path: Path, follow: bool = False) -> BufferedReader:
    """Open a file for reading, in a folder that others may write to.

    Args:
        path: the file.
        follow: whether it may be a link, which sepray never makes.

    Raises:
        OSError: the file cannot be opened; or it is a link, a device, or a pipe, which would block without end.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no file", str(path))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of sepray's; None if it is absent, a link, no file, cut off or damaged."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_JSON:
                return None
            return json.loads(file.read().decode(), parse_int=_whole)
    except (OSError, ValueError, RecursionError, MemoryError):
        return None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number of more digits than any")
    return int(digits)


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that a rename in it outlives a power cut; some network disks cannot do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> IO[str]:
    """Open a file that processes lock, made if there is none; its content stays.

    Raises:
        OSError: the file cannot be opened, or another user has put a link or no file in its place.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "a+", encoding="utf-8")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no file", str(path))


def take_lock(file: int | IO[Any], patience: float) -> bool:
    """Take the system's lock of an open file or folder, which ends when that is closed; say whether it was taken.

    Args:
        file: the open file, or its descriptor.
        patience: seconds to wait at most for other processes that hold the lock.

    Returns:
        False if another process still holds the lock after ``patience``.

    Raises:
        OSError: the file system has no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def locked(folder: Path, patience: float = 20.0) -> Iterator[None]:
    """Hold the system's lock of a folder, which needs no lock file; wait for other processes that hold it.

    On a file system without locks nothing is held. After ``patience`` the caller goes on without the lock: everybody
    who may look into a folder can hold its lock, and could keep its owner waiting for ever.

    Args:
        folder: the folder.
        patience: seconds to wait at most.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # the file system has no locks
            take_lock(descriptor, patience)
        yield
    finally:
        os.close(descriptor)

"""Makes temporary folders that are private to this user, and removes those that killed processes have left.

A process holds the system's lock of its folder until it ends, however it ends; ``kill -9`` leaves the folder without a
lock. So before a folder is made, those that nobody holds are removed. The number of a process would not say whether it
lives: containers that share a folder have numbers of their own.

On NFS only its own machine sees the lock of a folder, and every machine that of a file. So on a disk that machines may
share there is a locked file in the folder too. Imports nothing from sepray.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import getpass
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator

RAY = "sepray."
"""Prefix of the name of Ray's folder: short, because the path of a socket must be. Older versions hold no lock."""
_LEFT = re.compile(r"sepray(\.|-(model|separate|dry-run|items|compiled)-)[a-z0-9_]{8}")
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
_TRIES = 5
_LOCK, _LOCK_FILE = ".lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_held: dict[str, list[int]] = {}  # folder -> descriptors of it and of its file


def make(prefix: str, parent: str | None = None, shared: bool = False) -> str:
    """Return a new folder, mode 0700, that lasts until ``remove``.

    After this process has ended, the next process that calls ``make`` removes it. On a disk without locks it stays.

    Args:
        prefix: what its name begins with: ``RAY``, or sepray-, what it is for (model, separate, dry-run, items,
            compiled) and a dash.
        parent: folder in which it is made; default: Python's folder for temporary files.
        shared: whether other machines may use the disk; then there is a file ``.lock`` in the folder.
    """
    parent = parent or tempfile.gettempdir()
    _remove_left(parent)
    for _ in range(_TRIES):  # another process may take a folder for one that was left, before it is locked here
        path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        descriptor = _locked(path)
        if descriptor is not None:
            _held[path] = [descriptor]
            if not shared:
                return path
            with contextlib.suppress(FileNotFoundError):  # another machine, which does not see this lock, was faster
                file = os.open(_LOCK, _LOCK_FILE | os.O_CREAT, 0o600, dir_fd=descriptor)
                _held[path].append(file)
                with contextlib.suppress(OSError):  # without locks of files no machine removes the folder
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return path
            os.close(_held.pop(path)[0])
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return tempfile.mkdtemp(prefix=prefix, dir=parent)  # nobody else removes it, because nobody gets a lock


def remove(path: str) -> None:
    """Remove a folder that ``make`` returned."""
    held = _held.pop(path, [])
    for descriptor in held[1:]:
        os.close(descriptor)  # NFS would keep an open file, and with it the folder
    shutil.rmtree(path, ignore_errors=True)
    for descriptor in held[:1]:
        os.close(descriptor)


@contextlib.contextmanager
def folder(prefix: str) -> Iterator[str]:
    """Make a folder, and remove it when the block ends."""
    path = make(prefix)
    try:
        yield path
    finally:
        remove(path)


def keep_compiled_private() -> None:
    """Give torch a private folder for the code that it compiles, if the folder that it would take is not private.

    That folder is named after the user and lies in the folder for temporary files. Another user who makes it first may
    put code there, which torch would run. If it is no folder, parts of torch cannot even be imported. A folder that the
    user has chosen (``TORCHINDUCTOR_CACHE_DIR``) stays.
    """
    if os.environ.get(_COMPILED):
        return
    with contextlib.suppress(KeyError, OSError):  # a user without a name, for whom torch finds no folder either
        name = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        if _is_private(os.path.join(tempfile.gettempdir(), f"torchinductor_{name}")):
            return
    path = make("sepray-compiled-")
    atexit.register(remove, path)
    os.environ[_COMPILED] = path


def _is_private(path: str) -> bool:
    """Say whether a folder is this user's, and nobody else may write to it; it is made if it is not there."""
    with contextlib.suppress(OSError):
        os.mkdir(path, 0o700)
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _remove_left(parent: str) -> None:
    """Remove the folders of this user that no process holds; links are not followed, and nobody else's is touched."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name)
            if not _LEFT.fullmatch(name) or path in _held:
                continue
            descriptor = _locked(path)
            if descriptor is None:
                continue
            try:
                if _is_held_elsewhere(descriptor):
                    continue
                _empty(descriptor)
                os.rmdir(path)
            except OSError:
                continue
            finally:
                os.close(descriptor)


def _locked(path: str) -> int | None:
    """Return the open folder with its lock held; None if it is a link, another user's, held or gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _is_held_elsewhere(folder: int) -> bool:
    """Say whether another machine may hold an open folder: its file is locked, or locks cannot be asked for."""
    try:
        descriptor = os.open(_LOCK, _LOCK_FILE, dir_fd=folder)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _empty(descriptor: int) -> None:
    """Empty an open folder, whatever has its name by now."""
    for name in os.listdir(descriptor):
        try:
            os.unlink(name, dir_fd=descriptor)
        except OSError:
            shutil.rmtree(name, ignore_errors=True, dir_fd=descriptor)

"""Refuses links below a folder, and writes and deletes there without following any.

If a group may write into a study's folder (``--shared``), one of its members can put a link in the place of a folder
or a file. sepray would then write or delete whatever the link leads to, with the rights of the user who runs it. The
folder of all studies itself, and what lies above it, may be links: their user has named them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError

_BESIDE = ("-journal", "-wal", "-shm")  # the names of SQLite's own files, after the database's
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def ancestor(path: Path, levels: int) -> Path:
    """Return the folder that lies ``levels`` above a path, or the highest one."""
    folders = path.absolute().parents
    return folders[min(levels, len(folders)) - 1]


def refuse(path: Path, top: Path) -> Path:
    """Return an absolute path if neither it nor a folder between it and ``top`` is a link; the path need not exist.

    Args:
        path: a file or folder below ``top``.
        top: a folder, which may be a link, or lie behind one.

    Raises:
        UsageError: a folder on the way, or the path itself, is a link, or the path is not below ``top``.
    """
    path, top = path.absolute(), top.absolute()
    if not path.is_relative_to(top) or ".." in path.relative_to(top).parts:
        raise UsageError(f"{path} is not below {top}")
    each = top
    for part in path.relative_to(top).parts:
        each = each / part
        if each.is_symlink():
            raise _refused(each)
    return path


def refuse_of_others(path: Path) -> Path:
    """Return the path of a database if neither it nor SQLite's files beside it are links that another user has made.

    They may not be pipes or devices either, for which SQLite, or the reader of a journal, would wait. They need not
    exist. A link of this user's own, or of root's, is accepted: it was made to keep the database elsewhere.

    Raises:
        UsageError: a path is a link that another user has made, or neither file nor folder.
    """
    for each in (path, *(Path(f"{path}{end}") for end in _BESIDE)):
        try:
            found = each.lstat()
        except (OSError, ValueError):  # opening it will raise this again, with its reason
            continue
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (os.geteuid(), 0):
            raise _refused(each)
        if not (stat.S_ISLNK(found.st_mode) or stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise UsageError(f"{each} is no file of a database: remove it, or give another database")
    return path


def remove(path: Path, top: Path) -> None:
    """Delete a file, a link, or a folder with all that is in it, if it is there; the targets of links stay.

    No link between ``top`` and the path is followed, not even one that another user makes during the call.

    Args:
        path: what is deleted, below ``top``.
        top: a folder, which may be a link, or lie behind one.

    Raises:
        OSError: a file cannot be deleted.
        UsageError: a folder between the path and ``top`` is a link, or the path is not below ``top``.
    """
    refuse(path.parent, top)
    try:
        descriptor = _opened(path.absolute().parent, top.absolute())
    except FileNotFoundError:
        return
    try:
        try:
            mode = os.stat(path.name, dir_fd=descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            shutil.rmtree(path.name, dir_fd=descriptor)
        else:
            os.unlink(path.name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, top: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one; its folder is made if it does not exist.

    No link between ``top`` and the file is followed, not even one that another user makes during the call.

    Args:
        path: the file, below ``top``.
        top: a folder, which may be a link, or lie behind one.
        content: all of it.

    Raises:
        OSError: the file cannot be written; an old file is unchanged.
        UsageError: a folder between the file and ``top`` is a link, or the path is not below ``top``.
    """
    refuse(path.parent, top)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _opened(path.absolute().parent, top.absolute())
    temporary = f".{path.name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666, dir_fd=descriptor), "wb") as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path.name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):  # interrupted once the file had its name
                    os.unlink(temporary, dir_fd=descriptor)
                raise
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot do that
                raise
    except OSError as error:  # the error names the file without its folder
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder, which may be a link, and in its subfolders; links are left out."""
    for each, _, names in os.walk(folder):
        for path in (Path(each, name) for name in names):
            if not path.is_symlink() and path.is_file():
                yield path


def any_below(folder: Path) -> bool:
    """Say whether a folder is a link, or has one at any depth; False if there is no such folder."""
    return folder.is_symlink() or any(
        Path(each, name).is_symlink() for each, folders, names in os.walk(folder) for name in (*folders, *names)
    )


def _opened(folder: Path, top: Path) -> int:
    """Return a descriptor of a folder that is reached from ``top`` without following a link."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    each = top
    for part in folder.relative_to(top).parts:
        each = each / part
        try:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise _refused(each) from None
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _refused(each: Path) -> UsageError:
    return UsageError(
        f"{each} is a link, which sepray has not made: whoever made it could choose which files are changed. Remove "
        "it, or put what it leads to in its place"
    )

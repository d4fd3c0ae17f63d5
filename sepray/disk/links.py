"""Refuses links below a folder, and deletes there without following any.

Where a group may write into a study's folder (``--shared``), one of its members can put a link in the place of a folder
or a file. What is deleted or written through it would be what the link leads to, with the rights of who runs sepray.
The folder of all studies itself, and what lies above it, may be links: its user has named them.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def above(path: Path, levels: int) -> Path:
    """Return the folder that lies ``levels`` above a path, or the highest one."""
    folders = path.absolute().parents
    return folders[min(levels, len(folders)) - 1]


def refuse(path: Path, top: Path) -> Path:
    """Return an absolute path if neither it nor a folder between it and ``top`` is a link; it need not exist.

    Args:
        path: a file or folder below ``top``.
        top: a folder, which may be a link, or lie behind one.

    Raises:
        UsageError: there is a link, or the path is not below ``top``.
    """
    path, top = path.absolute(), top.absolute()
    if not path.is_relative_to(top) or ".." in path.relative_to(top).parts:
        raise UsageError(f"{path} is not below {top}")
    place = top
    for part in path.relative_to(top).parts:
        place = place / part
        if place.is_symlink():
            raise _refused(place)
    return path


def remove(path: Path, top: Path) -> None:
    """Delete a file, a link, or a folder with all that is in it, if it is there; what links lead to stays.

    Also a link that somebody puts between ``top`` and the path meanwhile is not followed.

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


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder, which may be a link, and in those below it; no link among them is one."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if not path.is_symlink() and path.is_file():
                yield path


def any_below(folder: Path) -> bool:
    """Say whether a folder is a link, or has one at any depth; False where there is none."""
    return folder.is_symlink() or any(
        Path(place, name).is_symlink() for place, folders, names in os.walk(folder) for name in (*folders, *names)
    )


def _opened(folder: Path, top: Path) -> int:
    """Return a descriptor of a folder, which was reached from ``top`` without following a link."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = top
    for part in folder.relative_to(top).parts:
        place = place / part
        try:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise _refused(place) from None
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _refused(place: Path) -> UsageError:
    return UsageError(
        f"{place} is a link, which sepray has not made: whoever may write there could choose by it what is changed. "
        "Remove it, or put what it leads to in its place"
    )

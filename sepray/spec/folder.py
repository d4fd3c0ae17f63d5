"""The folder of a study's files, and the lock that keeps a second driver out."""

from __future__ import annotations

import errno
import fcntl
import re
import secrets
from pathlib import Path
from typing import IO

from ..disk import links
from ..disk.files import open_lock, open_regular, take_lock
from ..errors import UsageError

TRIAL_FOLDER = "trial-{number:05d}"
"""Name of a trial's folder among the checkpoints of its stage."""

LEVELS = 2
"""Levels of folders from that of all studies down to a study's own: its name, then its id."""
_LONGEST_ID = 100  # bytes


class RunningError(UsageError):
    """Another process runs the study."""


def checked_uid(uid: object) -> str:
    """Return the id of a study as its storage has it, which becomes a part of paths.

    Raises:
        UsageError: sepray makes no such id: it could be a path out of the folder of studies.
    """
    if not re.fullmatch(r"[0-9a-f]{2,64}", str(uid)):
        raise UsageError(
            f"the storage gives the study the id {str(uid)[:80]!r}, which is none of sepray's: who changed it?"
        )
    return str(uid)


def is_name(name: str) -> bool:
    """Say whether a text can be the name of a study, which becomes a part of paths."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None


def study_folder(storage_path: str, name: str, uid: str) -> Path:
    """Return the local folder of a study's files, made where it does not exist.

    Raises:
        UsageError: the folder is a link, or lies behind one below ``storage_path``.
    """
    folder = own_folder(storage_path, name, uid)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_folder(storage_path: str, name: str, uid: str) -> Path:
    """Return the local folder of a study's files, which need not exist.

    Raises:
        UsageError: the folder is a link, or lies behind one below ``storage_path``.
    """
    root = local_root(storage_path)
    return links.refuse(root / name / uid, root)


def write(folder: Path, name: str, content: bytes | str) -> None:
    """Write a file of a study whole or not at all, and never through a link.

    Args:
        folder: local folder of the study's files.
        name: path of the file in it.
        content: all of it.

    Raises:
        OSError: the file cannot be written; an old file is unchanged.
        UsageError: the folder, or one between it and the file, is a link.
    """
    links.write(
        folder / name, links.ancestor(folder, LEVELS), content.encode() if isinstance(content, str) else content
    )


def local_root(storage_path: str) -> Path:
    """Return the folder that has a folder for each study on this machine.

    It is ``storage_path`` where that is a folder, else ``sepray-results`` in the current folder.
    """
    return Path("sepray-results" if is_remote(storage_path) else storage_path).absolute()


def checkpoint_root(storage_path: str, name: str, uid: str, folder: Path) -> str:
    """Return the folder or URI that holds the checkpoints of a study, in one subfolder for each stage.

    Args:
        storage_path: folder or URI for the checkpoints of all studies.
        name: name of the study.
        uid: id of the study.
        folder: local folder of the study, which holds the checkpoints unless ``storage_path`` is a URI.
    """
    return f"{storage_path}/{name}/{uid}" if is_remote(storage_path) else str(folder)


def trial_folder(checkpoints: str, stage: str, number: int) -> str:
    """Return the folder or URI with the checkpoints of a trial.

    Args:
        checkpoints: folder or URI that holds the checkpoints of each stage of the study.
        stage: ``"search"``, ``"finals"`` or ``"explain"``.
        number: number of the trial in its stage.
    """
    return f"{checkpoints}/{stage}/{TRIAL_FOLDER.format(number=number)}"


def is_remote(storage_path: str) -> bool:
    """Say whether checkpoints go to an object store or another URI, rather than to a folder."""
    return "://" in storage_path


def is_locked(folder: Path) -> bool:
    """Say whether a driver on this machine runs a study.

    The lock is tried for an instant, in which a driver that starts would be refused.
    """
    try:
        with open_regular(folder / "lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if not _is_no_lock(error):
            raise
    return False


def folder_id(folder: Path) -> str:
    """Return the identity of a study's local folder, which survives a move or a copy; empty without one."""
    try:
        with open_regular(folder / "lock") as file:
            return file.read(_LONGEST_ID).decode(errors="replace").strip()
    except OSError as error:
        if not _is_no_lock(error):
            raise
        return ""


def _is_no_lock(error: OSError) -> bool:
    """Say whether the error means that there is no lock: nothing, or something that sepray does not put there."""
    return error.errno in (errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENXIO)


def lock(folder: Path, name: str, patience: float = 0.0) -> IO[str]:
    """Keep other drivers on this machine out of a study; the lock ends with the process, however that ends.

    The file holds the identity of the folder, which it gets at the first lock.

    Args:
        folder: local folder of the study.
        name: name of the study, for the message.
        patience: seconds to wait for another process.

    Raises:
        RunningError: another process on this machine runs the study.
        UsageError: the folder is a link, or lies behind one below that of all studies.
    """
    links.refuse(folder, links.ancestor(folder, LEVELS))
    file = open_lock(folder / "lock")
    if not take_lock(file, patience):
        file.close()
        raise RunningError(f"{name} is running already, in another process on this machine")
    if not file.tell():
        file.write(f"{secrets.token_hex(4)}\n")
        file.flush()
    return file

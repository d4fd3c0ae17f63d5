"""Keeps lists of words that only this user can have written: what the user's commands have made, packaged or named.

Others may write whatever they like into a database, registry or cache that they share with this user. So what is read
there is compared with such a list. The lists lie in a folder of the user's own (``$XDG_STATE_HOME/sepray``, else
``~/.local/state/sepray``) and nowhere else. Imports nothing from sepray.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _KnownList:
    """Words of a list, as far as this process knows them.

    Attributes:
        file: device and inode of the file that was read.
        end: number of its bytes that were read.
        words: words that were read.
        own: words that this process has added and could not write.
    """

    file: tuple[int, int] = (0, 0)
    end: int = 0
    words: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)


_NAMED = "named"  # name of a list
_lists: dict[Path, _KnownList] = {}
_lock = threading.Lock()


def contains(name: str, word: str) -> bool:
    """Say whether a list has a word; a file that others could have written counts as empty.

    Args:
        name: name of the list.
        word: text without blanks.
    """
    with contextlib.suppress(RuntimeError), _lock:  # there is no home folder
        path = _path(name)
        known = _lists.setdefault(path, _KnownList())
        return word in known.own or word in _words(path, known)
    return False


def add(name: str, word: str) -> None:
    """Put a word on a list, once; if the file cannot be written, only this process remembers the word.

    Args:
        name: name of the list.
        word: text without blanks.
    """
    with contextlib.suppress(RuntimeError), _lock:
        path = _path(name)
        known = _lists.setdefault(path, _KnownList())
        if word in _words(path, known):
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, f"{word}\n".encode())
            finally:
                os.close(descriptor)
        except OSError:
            known.own.add(word)


def remember_named(kind: str, value: str) -> None:
    """Remember that a command of this user has named something: a module, a sampler, an address.

    Args:
        kind: what the thing is, such as ``address``.
        value: its name, without secrets.
    """
    add(_NAMED, _named(kind, value))


def is_named(kind: str, value: str) -> bool:
    """Say whether a command of this user has named something (``remember_named``, with the same arguments)."""
    return contains(_NAMED, _named(kind, value))


def is_own(found: os.stat_result) -> bool:
    """Say whether only this user and root can have written a file or folder."""
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _named(kind: str, value: str) -> str:
    return f"{kind}:{hashlib.sha256(value.encode()).hexdigest()}"


def _words(path: Path, known: _KnownList) -> set[str]:
    """Return the words of a list; if its file has grown, only the new part is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return set()
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not is_own(found):
            return set()
        if known.file != (found.st_dev, found.st_ino) or found.st_size < known.end:
            known.file, known.end, known.words = (found.st_dev, found.st_ino), 0, set()
        if found.st_size > known.end:
            file.seek(known.end)
            lines = file.read()
            whole = lines.rpartition(b"\n")[0]
            known.words.update(whole.decode("ascii", "replace").split())
            known.end += len(whole) + 1 if whole else 0
    return known.words


def _path(name: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "sepray" / name

"""Writes files whole or not at all, and says which files of a folder nobody put there. Imports nothing from sepray."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Write ``content`` to ``path`` so that a crash at any moment leaves the old file or the new one, never a part.

    The content is written to a temporary file in the same folder, synced to the disk and renamed; the folder is made
    where it does not exist, and synced too. Text is written as UTF-8.

    Args:
        path: the file.
        content: all of it.
        durable: False for what is cheap to make again: without the syncs, which take milliseconds, a power cut may
            leave an empty file; readers see the old file or the new one all the same.

    Raises:
        OSError: the folder or the file cannot be written; the old file, if any, is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def is_clutter(path: Path) -> bool:
    """Say whether a path within a folder is hidden, or of macOS's making (``._x.csv``, ``__MACOSX``)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that a rename in it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

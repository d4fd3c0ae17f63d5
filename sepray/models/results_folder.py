"""The folder of separated recordings: checks the names of results, and makes a temporary folder for them beside it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import UsageError


def check_names(files: Sequence[Path], name: str) -> None:
    """Refuse names of results that the file system cannot take.

    Raises:
        UsageError: a name is too long.
    """
    longest = max(files, key=lambda file: len(os.fsencode(file.name)))
    length = len(os.fsencode(longest.name))
    try:
        most = os.pathconf(longest.parent, "PC_NAME_MAX")
    except (OSError, ValueError):  # the disk does not tell
        return
    if length > most:
        need = f"a result would be called {longest.name!r}, {length} bytes where {most} are possible"
        raise UsageError(f"{name} has too long a name: {need}; rename the recording")


@contextlib.contextmanager
def temporary_folder_beside(target: Path) -> Iterator[Path]:
    """Make a temporary folder in ``target``, and remove it at the end.

    ``target``, and the folders above it, are made if they are not there, and removed again if they are still empty.
    """
    made = [part for part in (target, *target.parents) if not part.exists()]
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".sepray-", dir=target) as folder:
            yield Path(folder)
    finally:
        for part in made:
            with contextlib.suppress(OSError):  # the folder is not empty
                part.rmdir()

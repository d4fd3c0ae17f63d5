"""The study's own folder, and who may work in it. Imports nothing from sepray."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from ..errors import UsageError


class RunningError(UsageError):
    """Another process runs the study."""


def study_folder(storage_path: str, name: str, uid: str) -> Path:
    """Return the study's local folder, made where it is not; beside the user's work where checkpoints are remote."""
    local = "sepray-results" if "://" in storage_path else storage_path
    folder = Path(local).absolute() / name / uid
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lock(folder: Path, name: str) -> IO[str]:
    """Keep a second driver from the same trials; the lock ends with the process, however that ends.

    Raises:
        RunningError: another process on this machine has it.
    """
    file = (folder / "lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RunningError(f"{name} is running already, in another process on this machine") from None
    return file

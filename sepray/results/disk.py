"""Counts the bytes that a study uses on the disk, for each kind of file."""

from __future__ import annotations

from collections.abc import Mapping

from ..disk.file_systems import files
from ..driver.saved_study import STAGES, SavedStudy
from ..spec.folder import is_remote

KINDS = ("checkpoints", "model", "report", "outbox", "other")
"""Kinds of files. ``outbox`` is the queue of updates for MLflow."""
_REPORT = ("report.html", "figures", "audio")
_CHECKPOINTS = (*STAGES, "start", "ray")


def disk_used(saved: SavedStudy) -> Mapping[str, int]:
    """Return the number of bytes of a study's files for each kind in ``KINDS``.

    If the study's checkpoints are in an object store, they are counted beside the files of its local folder.
    """
    used = dict.fromkeys(KINDS, 0)
    for file in files(str(saved.folder)):
        used[_kind(file.name)] += file.size
    if is_remote(saved.storage_path):
        used["checkpoints"] += sum(file.size for file in files(saved.checkpoints))
    return used


def _kind(name: str) -> str:
    first = name.partition("/")[0]
    if first in _CHECKPOINTS:
        return "checkpoints"
    if first in _REPORT:
        return "report"
    if first.startswith("outbox.db"):
        return "outbox"
    return "model" if first == "model" else "other"

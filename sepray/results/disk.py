"""How much disk a study uses, by what its files are for."""

from __future__ import annotations

from collections.abc import Mapping

from ..execution.file_systems import files
from ..spec.folder import is_remote
from .record import STAGES, StudyRecord

KINDS = ("checkpoints", "model", "report", "outbox", "other")
"""What files are for: ``outbox`` is what MLflow has been told, or waits to be told."""
_REPORT = ("report.html", "figures", "audio")
_CHECKPOINTS = (*STAGES, "start", "ray")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def disk_used(record: StudyRecord) -> Mapping[str, int]:
    """Return the bytes of a study's files by what they are for, a key of ``KINDS`` each.

    Files of a study whose checkpoints are in an object store are counted there and in the study's local folder.
    """
    used = dict.fromkeys(KINDS, 0)
    for file in files(str(record.folder)):
        used[_kind(file.name)] += file.size
    if is_remote(record.storage_path):
        used["checkpoints"] += sum(file.size for file in files(record.checkpoints))
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


def in_words(size: int) -> str:
    """Return a number of bytes for the reader, e.g. ``12.3 MB``; units are powers of 1000."""
    value, unit = float(size), 0
    while round(value, 1) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"

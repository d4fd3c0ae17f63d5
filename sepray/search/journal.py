"""Optuna's journal file, which stays readable where a write was cut off (full disk, killed process, power cut)."""

from __future__ import annotations

import os
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

_CHUNK = 65536


class RepairingBackend(JournalFileBackend):
    """Drops a last line that is not whole before it appends: the next record would become a part of it.

    What such a line says has never happened: whoever wrote it has not had an answer. Readers pass it over.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records to the file.

        Raises:
            OSError: the disk is full, or the file cannot be written.
        """
        with get_lock_file(self._lock):
            drop_torn_line(self._file_path)
        super().append_logs(logs)


def drop_torn_line(path: str) -> int:
    """Cut a file off after its last line break; return how many bytes that were."""
    with open(path, "rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _CHUNK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
    if end < size:
        os.truncate(path, end)
    return size - end

"""Optuna's journal file, which stays readable where a write was cut off (full disk, killed process, power cut).

A signal cuts no write off either. If it raised while Optuna releases its lock, the lock would be left behind, and all
would wait 30 s for it. The signal would be lost in Optuna's own error, too. So the main thread, in which alone Python
raises signals, has another thread write.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from ..errors import StorageError, mask
from . import stored_values

_CHUNK = 65536


class RepairingBackend(JournalFileBackend):
    """Drops a torn last line before it appends: the next line would become a part of that line.

    What such a line says has never happened: whoever wrote it has not had an answer. Readers pass it over.
    """

    _thread: ThreadPoolExecutor | None = None
    _process = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the thread, which cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name != "_thread"}

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the journal's lines from a number on, parsed.

        Raises:
            StorageError: a line is not as Optuna writes it.
            ValueError: a line before the last is no JSON.
        """
        for number, line in enumerate(super().read_logs(log_number_from), log_number_from + 1):
            if not stored_values.is_journal_line(line):
                told = f"line {number} is not as Optuna writes it; delete that line, or go back to a copy"
                raise StorageError(mask(f"storage journal://{self._file_path} cannot be read: {told}"))
            yield line

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines to the journal, whole even if a signal ends the wait for it.

        Raises:
            OSError: the disk is full, or the file cannot be written.
        """
        if threading.current_thread() is not threading.main_thread():
            self._append(logs)
            return
        writer = self._writer()
        try:
            writer.submit(self._append, logs).result()
        except BaseException:
            writer.submit(_nothing).result()  # returns once the append has ended, if it was submitted
            raise

    def _writer(self) -> ThreadPoolExecutor:
        """Return the thread that writes for the main one; it has started, so that to submit work is a single step."""
        if self._thread is None or self._process != os.getpid():  # a fork has no threads
            self._thread, self._process = ThreadPoolExecutor(1, thread_name_prefix="journal"), os.getpid()
            self._thread.submit(_nothing).result()
        return self._thread

    def _append(self, logs: list[dict[str, Any]]) -> None:
        with get_lock_file(self._lock):
            drop_torn_line(self._file_path)
        super().append_logs(logs)


def _nothing() -> None:
    pass


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

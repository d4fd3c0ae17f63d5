"""Writes checkpoints in a thread of its own, so that training does not wait for the disk. Imports no Ray."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from . import checkpoint


class CheckpointWriter:
    """Background thread that writes one checkpoint at a time, for one trial after another.

    Args:
        interval: least time between the starts of two writes, in seconds.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[str] | None = None
        self.restart_interval()

    def restart_interval(self) -> None:
        """Start the interval now, as after a write; called when a trial begins."""
        self._written_at = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the interval has passed and no write is under way."""
        idle = self._pending is None or self._pending.done()
        return idle and time.monotonic() - self._written_at >= self._interval

    def write(self, folder: str, epoch: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Start to write a checkpoint, once the last one is written; the caller must not change ``tensors`` any more.

        Raises:
            Exception: the error of the previous write.
        """
        self.wait()
        self._written_at = time.monotonic()
        self._pending = self._thread.submit(checkpoint.save, folder, epoch, tensors, metadata)

    def wait(self) -> None:
        """Wait until the checkpoint is written.

        Raises:
            Exception: the error of the write; it is raised once.
        """
        if error := self.wait_for_error():
            raise error

    def wait_for_error(self) -> BaseException | None:
        """Wait until the checkpoint is written; return the error of the write, which is then not raised any more."""
        pending, self._pending = self._pending, None
        return None if pending is None else pending.exception()

    def close(self) -> None:
        """Wait until the checkpoint is written, and end the thread."""
        self._thread.shutdown()

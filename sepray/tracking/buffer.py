"""Holds operations in memory that the outbox cannot take, so that a full disk stops no training."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from .outbox import OutboxError

RETRY_SECONDS = 1.0


class Buffer:
    """Performs operations on the outbox in order; one that fails is kept, with all after it, and tried again.

    The next operation tries it again, a second after the last attempt at the earliest, and so does ``empty``. Safe to
    use from several threads.

    Args:
        on_trouble: called once with the reason when an operation first fails.
    """

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble: Callable[[str], None] | None = on_trouble
        self._waiting: deque[Callable[[], object]] = deque()
        self._failed_at = -float("inf")
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """Number of operations that wait in memory."""
        return len(self._waiting)

    def perform(self, operation: Callable[[], object]) -> None:
        """Perform an operation; if the outbox or the disk fails, report that and keep the operation for later.

        Raises:
            Exception: any other error, which is a bug. Its operation is dropped, so that those after it get through.
        """
        with self._lock:
            self._waiting.append(operation)
            if time.monotonic() - self._failed_at >= RETRY_SECONDS:
                self.empty()

    def empty(self) -> int:
        """Perform the operations that wait; return how many still wait because the first of them has failed again."""
        with self._lock:
            while self._waiting:
                try:
                    self._waiting[0]()
                except (OutboxError, OSError) as error:
                    self._failed_at = time.monotonic()
                    self._tell(str(error))
                    break
                except Exception:
                    self._waiting.popleft()
                    raise
                self._waiting.popleft()
            return len(self._waiting)

    def _tell(self, reason: str) -> None:
        told, self._on_trouble = self._on_trouble, None
        if told is not None:
            told(reason)

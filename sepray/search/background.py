"""Background thread for all Optuna storage calls; keeps their order and retries for ``patience`` seconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from ..errors import StorageError, mask
from .storage import STORAGE_FAILURES, first_line

StorageCall = Callable[[], None]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


class BackgroundThread:
    """Performs queued operations in order; while none is queued and ``needs_refill()``, it performs ``refill``.

    An operation that fails because of the storage is repeated, after pauses that double from 0.05 s to 5 s, for
    ``patience`` seconds; so operations must allow being repeated. Any other exception, or the end of patience, ends the
    thread and is raised by ``raise_error`` in the caller's thread.

    Args:
        refill: operation that makes something ready ahead of need.
        needs_refill: whether ``refill`` has anything to do; called with the lock held.
        patience: seconds for which an operation is repeated.

    Attributes:
        changed: condition whose lock guards all state that the thread shares with others; notified of every change.
    """

    def __init__(self, refill: StorageCall, needs_refill: Callable[[], bool], patience: float) -> None:
        self.changed = threading.Condition()
        self._refill, self._needs_refill, self._patience = refill, needs_refill, patience
        self._queue: deque[StorageCall] = deque()
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="optuna", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, operation: StorageCall) -> None:
        """Queue an operation; returns at once, from any thread."""
        with self.changed:
            self._queue.append(operation)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``condition()`` holds, an error has ended the thread, or ``timeout`` seconds have passed.

        Returns:
            whether the condition holds.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._error is not None or condition(), timeout)
            return condition()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until nothing is queued; return whether the queue is empty."""
        return self.wait(lambda: not self._queue, timeout)

    def close(self) -> None:
        """Perform all queued operations, and end the thread."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()
        self._thread.join()

    def raise_error(self) -> None:
        """Raise the error that has ended the thread, if any.

        Raises:
            StorageError: the storage has failed for longer than ``patience``.
        """
        if isinstance(self._error, STORAGE_FAILURES):
            reason = mask(first_line(self._error))
            raise StorageError(
                f"the storage has failed for {self._patience:g} s, so the study stops: {reason}; "
                "the same command goes on once it works again"
            ) from self._error
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (operation := self._next()) is not None:
                self._perform(operation)
                with self.changed:
                    if operation is not self._refill:
                        self._queue.popleft()
                    self.changed.notify_all()
        except BaseException as error:
            with self.changed:
                self._error = error
                self.changed.notify_all()

    def _next(self) -> StorageCall | None:
        """Wait for an operation and return it; it stays in the queue until it is performed. None means the end."""
        with self.changed:
            self.changed.wait_for(lambda: self._queue or self._closing or self._needs_refill())
            if self._queue:
                return self._queue[0]
            return None if self._closing else self._refill

    def _perform(self, operation: StorageCall) -> None:
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            try:
                return operation()
            except STORAGE_FAILURES:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

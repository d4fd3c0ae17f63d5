"""Signals that end a command: SIGINT (Ctrl-C), SIGTERM and SIGHUP alike raise ``Interrupted`` in the main thread.

``timeout``, SLURM, systemd and ``docker stop`` send SIGTERM; a terminal that is closed sends SIGHUP. The exit status is
128 and the number of the signal, as shells count. A second signal ends the process at once: what was flushed is kept,
what was not is as after ``kill -9``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STATUSES = {128 + number: number.name for number in SIGNALS}
"""Exit status of a command that a signal has ended -> name of the signal."""

_SAME_SECONDS = 1.0
"""Seconds after the first signal in which others count as its echo: ``timeout`` signals its command and then the
command's process group, and a terminal that closes does so too."""

_AGAIN_SECONDS = 0.05
"""Seconds after which a signal that Python has ignored is sent again."""

_former_hook = sys.unraisablehook
_received: list[tuple[float, int]] = []  # when the first signal arrived, and its number


class Interrupted(KeyboardInterrupt):
    """A signal has ended the command.

    Args:
        number: number of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def status_of(error: KeyboardInterrupt) -> int:
    """Return the exit status of a command that an interruption has ended.

    A plain ``KeyboardInterrupt`` is the signal that was received: Ray raises one in the place of ours, where it
    waits in C++. Where none was received, it is a Ctrl-C.
    """
    if isinstance(error, Interrupted):
        return error.status
    return 128 + (_received[0][1] if _received else signal.SIGINT)


def of_status(status: int) -> Interrupted:
    """Return the interruption that has ended a command with this exit status, a key of ``STATUSES``."""
    return Interrupted(status - 128)


def install() -> None:
    """Let the signals raise ``Interrupted``; a signal that the process ignores (``nohup``) stays ignored.

    Does nothing in a thread other than the main one, where Python takes no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    if sys.unraisablehook is not _swallowed:
        global _former_hook
        _former_hook, sys.unraisablehook = sys.unraisablehook, _swallowed


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Let the signals raise ``Interrupted`` in this context, and give back the handlers that were there before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    if all(handler is _handle for handler in before.values()):
        yield
        return
    install()
    try:
        yield
    finally:
        _received.clear()
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python, and cannot be given back
                signal.signal(number, handler)


@contextlib.contextmanager
def installed_again() -> Iterator[None]:
    """Install the handlers again after a library has set its own in this context, as Ray does at its start and its end.

    Ray's own handlers raise ``SystemExit``, which is an interruption here.

    Raises:
        Interrupted: SIGTERM arrived meanwhile.
    """
    was_ours = signal.getsignal(signal.SIGTERM) is _handle
    try:
        yield
    except SystemExit:
        raise Interrupted(signal.SIGTERM) from None
    finally:
        if was_ours:
            install()


def _handle(number: int, frame: FrameType | None) -> None:
    """Raise at the first signal; end the process at a second one, unless that is an echo of the first."""
    now = time.monotonic()
    if not _received:
        _received.append((now, number))
        raise Interrupted(number)
    if now - _received[0][0] >= _SAME_SECONDS:
        _end_at_once(number)


def _swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came where Python ignores errors: in ``__del__``, in the callback of a weak reference.

    Not from here, where the handler would raise within this function, and be ignored again.
    """
    error = unraisable.exc_value
    if not isinstance(error, Interrupted):
        _former_hook(unraisable)
        return
    _received.clear()
    again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (threading.main_thread().ident, error.status - 128))
    again.daemon = True
    again.start()


def _end_at_once(number: int) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, b"a second signal: ended at once\n")
    os._exit(128 + number)

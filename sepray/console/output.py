"""Keeps a command going whatever becomes of its standard output: reader gone, terminal closed, disk full, ASCII locale.

What cannot be written is left out, and what an encoding does not have is replaced; the command goes on. Imports nothing
large, so that it can be called before anything is printed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import shutil
import sys
from typing import BinaryIO, TextIO

from ..plain_text import escape_controls
from ..secrecy import mask

_PLAIN = {"·": "|", "…": "...", "→": "->", "−": "-", "–": "-", "—": "-", "×": "x", "±": "+/-", "≥": ">=", "≤": "<="}
_PLAIN_NAME = "sepray.plain"
_GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}


def say(*texts: object, file: TextIO | None = None, sep: str = " ", end: str = "\n") -> None:
    """Print texts without secrets, and with their control characters escaped; the arguments are those of ``print``."""
    print(*(escape_controls(mask(str(text))) for text in texts), file=file, sep=sep, end=end, flush=True)


def keep_going() -> None:
    """Let nothing that is printed raise an error; a second call changes nothing.

    Only the streams that Python has opened itself are changed, not those of a notebook or a test.
    """
    codecs.register_error(_PLAIN_NAME, _replaced)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the command (`>&-`)
            _to_nowhere(descriptor)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open
        elif stream is getattr(sys, f"__{name}__"):
            with contextlib.suppress(OSError):
                stream.flush()
            setattr(sys, name, _RobustStream(stream))


class _RobustStream(io.TextIOWrapper):
    """A text stream on another one's descriptor whose writes raise no error of the operating system."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._descriptor = stream.fileno()
        os.set_blocking(self._descriptor, True)
        super().__init__(
            open(self._descriptor, "wb", closefd=False),  # noqa: SIM115 - it stays open
            encoding=stream.encoding,
            errors=_PLAIN_NAME,
            line_buffering=stream.line_buffering or stream.isatty(),
            write_through=stream.write_through,
        )

    # Not below the buffer, in a FileIO of ours: a signal that raises there would have a buffer written twice.
    def write(self, text: str, /) -> int:
        """Write a text, or lose it."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write the buffered text, or lose it."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Let later writes go nowhere if nobody can read them any more; a full disk may have room again."""
        if isinstance(error, BlockingIOError):
            os.set_blocking(self._descriptor, True)  # somebody else has changed it
        elif error.errno in _GONE:
            _to_nowhere(self._descriptor)


def copy_to_stdout(file: BinaryIO) -> None:
    """Copy a file to standard output, until nobody reads it any more."""
    try:
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout.fileno())


def _to_nowhere(descriptor: int) -> None:
    """Let a file descriptor write to nowhere from now on, whoever uses it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return plain characters in the place of those that an encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in text), error.end

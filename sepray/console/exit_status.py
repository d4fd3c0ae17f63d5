"""Ends every command and study in the same way: what is printed of an error, and with which status the process exits.

| status | meaning |
| --- | --- |
| 0 | done |
| 1 | done, but the answer is bad: nothing to register, or (``sepray doctor``) something is missing |
| 2 | something that the user can put right: one line says what |
| 3 | a bug, in a separator or task of the user's own or in sepray: a traceback says where |
| 130 | interrupted by Ctrl-C or SIGTERM |
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

from ..errors import SeprayError, mask
from .terminal import one_line

BAD_INPUT = 2
BUG = 3
INTERRUPTED = 130
TRACEBACK = "--traceback"
"""Flag of every command and study: print whole tracebacks, of bad input too."""

_SEPRAY = Path(__file__).resolve().parents[1]


def exit_with_status(
    program: str, job: Callable[[list[str]], int | None], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run ``job`` and exit with the status that it returns (None counts as 0), or with that of its error.

    SIGTERM interrupts like Ctrl-C.

    Args:
        program: name of the command or study; error messages begin with it.
        job: what is to be done; takes the arguments without ``--traceback``.
        arguments: of the command line; default: those of this process.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = job([argument for argument in given if argument != TRACEBACK]) or 0
    except BrokenPipeError:  # the reader of the output, e.g. head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        status = INTERRUPTED
    except Exception as error:
        status = BAD_INPUT if can_be_put_right(error) else BUG
        print(report_of(program, error, whole=TRACEBACK in given), file=sys.stderr)
    sys.exit(status)


def can_be_put_right(error: BaseException) -> bool:
    """Say whether the user can put an error right: a ``SeprayError``, or an error of the system that names a file."""
    return isinstance(error, SeprayError) or (isinstance(error, OSError) and error.filename is not None)


def report_of(program: str, error: Exception, whole: bool = False) -> str:
    """Return what is printed of an error, without secrets.

    One line for what the user can put right. For a bug, a traceback that is shortened to the frames of the user's own
    files, where there are any.

    Args:
        program: name of the command or study.
        error: with its traceback.
        whole: print the whole traceback, of every error.
    """
    if whole:
        return mask("".join(traceback.format_exception(error))).rstrip()
    if can_be_put_right(error):
        return f"{program}: {mask(one_line(error))}"
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(_own_frames(error.__traceback__))]
    lines += traceback.format_exception_only(error)
    hint = f"{program}: this is a bug in the code above; {TRACEBACK} shows the whole traceback"
    return mask("".join(lines)).rstrip() + f"\n{hint}"


def _own_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the frames in the user's own files, or else sepray's, or else all."""
    frames = list(traceback.extract_tb(trace))
    paths = sysconfig.get_paths()
    installed = [Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    local = [frame for frame in frames if not _below(frame, installed)]
    users = [frame for frame in local if not _below(frame, [_SEPRAY])]
    sepray = [frame for frame in frames if _below(frame, [_SEPRAY])]
    return _without_starting_script(users) or sepray or frames


def _without_starting_script(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Return the frames without those of the started script, which only calls ``main``."""
    script = Path(sys.argv[0]).resolve()
    return [frame for frame in frames if Path(frame.filename).resolve() != script]


def _below(frame: traceback.FrameSummary, folders: list[Path]) -> bool:
    path = Path(frame.filename)
    return frame.filename.startswith("<") or any(path.resolve().is_relative_to(folder) for folder in folders)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt

"""Ends every command and study: prints what is known of an error, and gives the process its exit status.

| status | meaning |
| --- | --- |
| 0 | done |
| 1 | done, but the answer is bad: nothing to register, something missing (``doctor``), not identical (``reproduce``) |
| 2 | bad input, which the user can put right: one line says what is wrong |
| 3 | a bug, in a separator or task of the user's own or in sepray: a traceback says where |
| 129, 130, 143 | interrupted by SIGHUP, Ctrl-C, SIGTERM: 128 and the signal's number, as shells count |
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from ..errors import SeprayError
from ..fault import bad_input_line, is_bad_input, is_disk_full
from ..plain_text import escape_controls
from ..secrecy import HIDDEN, mask, words
from . import interruption, output, preflight, waiting
from .shell_commands import from_this_shell

_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]

BAD_INPUT = 2
BUG = 3
INTERRUPTED = 130

TRACEBACK = "--traceback"
"""Flag of every command and study."""
ONE_TIME = ("--take-over", "--move-here", "--allow-changed-code", "--trust-model-code", "--retry-failed")
"""Flags that are meant for one start, and that the command which goes on with a study does not repeat."""
TRACEBACK_HELP = "Print the whole traceback of an error, of bad input too."

_SEPRAY = Path(__file__).resolve().parents[1]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_INSTALLED = {"site-packages", "dist-packages"}
_PLUGIN_GROUPS = ("sepray.separators", "sepray.tasks")
_HOOK_SETTERS = {"sys", "ray", "torch"}
"""Packages whose ``sys.excepthook`` the user has not chosen: Python itself, and libraries that sepray uses."""
_LEAST_BYTES = 2**22  # a disk with fewer free bytes counts as full


def exit_with_status(
    program: str, job: Callable[[list[str]], int | None], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run ``job`` and exit with the status that it returns (None counts as 0), or with that of its error.

    SIGTERM and SIGHUP interrupt like Ctrl-C. Where the reader of standard output has gone (``| head -1``), the job goes
    on without it.

    Args:
        program: name of the command or study; its messages begin with it.
        job: takes the arguments without ``--traceback``.
        arguments: arguments of the command line; default: those of this process.
    """
    output.keep_going()
    interruption.install()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        preflight.require_usable_folder()
        status = job([argument for argument in given if argument != TRACEBACK]) or 0
        waiting.done()
    except KeyboardInterrupt as error:
        waiting.done()
        print(f"{program}: interrupted", file=sys.stderr)
        status = interruption.status_of(error)
    except SystemExit as error:
        if not _is_raised_by_user(error):  # the command has ended itself, as with --help
            raise
        waiting.done()
        status = BUG
        print(format_error(program, error, whole=TRACEBACK in given), file=sys.stderr)
    except Exception as error:
        waiting.done()
        status = BAD_INPUT if is_bad_input(error) else BUG
        print(format_error(program, error, whole=TRACEBACK in given), file=sys.stderr)
    sys.exit(status)


def tell_scripts_errors_in_one_line() -> None:
    """Let a script end as a command does where its own lines raise a ``SeprayError``: one line, exit status 2.

    That is for what is raised outside of ``exit_with_status``, such as a description that is refused as it is built.
    Nothing is changed where neither a script of the user's nor ``python -c`` runs: in a notebook, at a prompt, below a
    command. Nor is a hook that the user has set. Every other error is shown as before, with Python's own exit status.
    """
    script = getattr(sys.modules["__main__"], "__file__", None) or ""
    is_script = script.endswith(".py") and _is_users(script)
    by_user = (getattr(sys.excepthook, "__module__", None) or "").partition(".")[0] not in _HOOK_SETTERS
    if (is_script or sys.argv[:1] == ["-c"]) and not (by_user or hasattr(sys, "ps1") or sys.flags.interactive):
        sys.excepthook = _ending_with_status(sys.excepthook)


def _ending_with_status(former: _Hook) -> _Hook:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, SeprayError):
            return former(kind, error, trace)
        program = "sepray" if sys.argv[0] == "-c" else Path(sys.argv[0]).name
        print(format_error(program, error), file=sys.stderr)
        sys.exit(BAD_INPUT)  # if a hook exits, the process gets its status

    return hook


def _is_raised_by_user(error: SystemExit) -> bool:
    """Say whether a separator or task of the user's has ended the process."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _is_users(frames[-1].filename)


def wants_whole_traceback() -> bool:
    """Say whether ``--traceback`` was given on the command line of this process."""
    return TRACEBACK in sys.argv[1:]


def format_error(program: str, error: BaseException, whole: bool | None = None) -> str:
    """Return the text that is printed of an error, without secrets: one line for bad input, a traceback for a bug.

    A message that is a list (``SeprayError.in_lines``) keeps its lines.

    The traceback holds the frames of the user's own files; where there are none, those of sepray and the one that
    raised the error. The errors that caused it are shown in the same way.

    Args:
        program: name of the command or study.
        error: the error, with its traceback.
        whole: whether to return the whole traceback, of bad input too. None: whether ``--traceback`` was given.
    """
    if wants_whole_traceback() if whole is None else whole:
        return escape_controls(mask("".join(traceback.format_exception(error)))).rstrip()
    if is_bad_input(error):
        text = str(error) if isinstance(error, SeprayError) and error.in_lines else bad_input_line(error)
        if is_disk_full(error):
            where = "there" if getattr(error, "filename", None) else _full_disks()
            text += f"; free some space {where}, and run the same command again"
        return f"{program}: {escape_controls(mask(text))}"
    formatted = traceback.TracebackException.from_exception(error)
    formatted.stack = traceback.StackSummary.from_list(formatted.stack[1:] or formatted.stack)  # not this module's
    own = [_keep_own_frames(part) for part in _chain(formatted)]
    if any(own):
        hint = f"this is a bug in the code shown above; {TRACEBACK} shows the whole traceback"
    else:
        hint = f"this is a bug in sepray; report it with the whole traceback, which {TRACEBACK} shows"
    return escape_controls(mask("".join(formatted.format()))).rstrip() + f"\n{program}: {hint}"


def _full_disks() -> str:
    """Return a phrase that names the folders without space left, of those that every command writes to."""
    folders = {str(Path.cwd()), tempfile.gettempdir(), os.path.expanduser("~")}
    full = []
    for folder in sorted(folders):
        with contextlib.suppress(OSError):
            full += [folder] * (shutil.disk_usage(folder).free < _LEAST_BYTES)
    return f"in {' and '.join(full)}" if full else "on the disk that is written to"


def show_survived_bug(program: str, error: BaseException) -> None:
    """Print the traceback of a bug that does not end the command, to standard error.

    Nothing is printed of bad input, which the command tells in a line of its own, unless ``--traceback`` was given.

    Args:
        program: name of the command or study.
        error: the error, with its traceback.
    """
    if wants_whole_traceback() or not is_bad_input(error):
        print(format_error(program, error), file=sys.stderr)


def shorten_traceback(text: str) -> str:
    """Return a traceback that came as text, e.g. from another process, with the frames that ``format_error`` shows.

    Where none is of the user's own files, an error that the user can put right is its message alone. With
    ``--traceback`` the text is returned as it is.
    """
    if wants_whole_traceback():
        return text
    frames = list(re.finditer(r'^  File "(?P<file>[^"]+)", line \d+.*\n(?:    .*\n)*', text, re.MULTILINE))
    users = [frame for frame in frames if _is_users(frame["file"])]
    refusal = re.search(rf"^{re.escape(SeprayError.__module__)}\.\w+: (.*)\Z", text.rstrip(), re.MULTILINE)
    if refusal and not users:
        return refusal[1]
    kept = users or [*(frame for frame in frames[:-1] if _is_sepray(frame["file"])), *frames[-1:]]
    for frame in reversed(frames):
        if frame not in kept:
            text = text[: frame.start()] + text[frame.end() :]
    return text


def _chain(error: traceback.TracebackException) -> list[traceback.TracebackException]:
    """Return an error, those that caused it, and those that they group."""
    chain: list[traceback.TracebackException] = []
    left: list[traceback.TracebackException | None] = [error]
    while left:
        part = left.pop()
        if part is not None:
            chain.append(part)
            context = None if part.__suppress_context__ else part.__context__
            left += [part.__cause__ or context, *(part.exceptions or ())]
    return chain


def _keep_own_frames(error: traceback.TracebackException) -> bool:
    """Drop the frames that do not help to find an error; say whether the error lies in a file of the user's own."""
    frames = list(error.stack)
    users = [frame for frame in frames if _is_users(frame.filename)]
    if not users and _is_users(getattr(error, "filename", None) or "<"):  # a SyntaxError names a file
        error.stack = traceback.StackSummary()
        return True
    sepray = [frame for frame in frames[:-1] if _is_sepray(frame.filename)]
    error.stack = traceback.StackSummary.from_list(users or [*sepray, *frames[-1:]])
    return bool(users)


def _is_sepray(filename: str) -> bool:
    return Path(filename).resolve().is_relative_to(_SEPRAY)


def _is_users(filename: str) -> bool:
    """Say whether a file of Python is neither sepray's, nor a library's, nor generated (``<string>``).

    An installed package that announces separators or tasks is no library.
    """
    path = Path(filename).resolve()
    if filename.startswith("<") or path.is_relative_to(_SEPRAY):
        return False
    if not _INSTALLED.isdisjoint(path.parts):
        return any(path == folder.with_suffix(".py") or path.is_relative_to(folder) for folder in _plugin_folders())
    return not path.is_relative_to(_STANDARD_LIBRARY)


def _plugin_folders() -> list[Path]:
    """Return the folders of packages that announce separators or tasks; of a single module the path without suffix."""
    points = [point for group in _PLUGIN_GROUPS for point in importlib.metadata.entry_points(group=group)]
    tops = [(point.dist, point.module.partition(".")[0]) for point in points]
    return [Path(str(dist.locate_file(top))).resolve() for dist, top in tops if dist is not None]


def command_line(without: Collection[str] = ()) -> str:
    """Return the command that started this process, as a shell takes it: ``python study.py --trials 3``.

    ``***`` stands in the place of secrets.

    Args:
        without: flags without values that are left out.
    """
    _, *given = words([word for word in sys.orig_argv if word.replace("_", "-") not in without])
    if given and Path(given[0]).name == "sepray":  # the script that installers put beside Python
        return from_this_shell(shlex.join(["sepray", *given[1:]]))
    return from_this_shell(shlex.join(["python", *given]))


def how_to_go_on() -> str:
    """Return the sentence that says how a study that was interrupted goes on, for a command or a notebook."""
    if hasattr(sys, "ps1") or "ipykernel" in sys.modules:
        return "Running the same study again goes on where it stopped."
    command = command_line(without=ONE_TIME)
    hidden = f", with your secrets where {HIDDEN} stands" if HIDDEN in command else ""
    return f"The same command goes on where it stopped{hidden}:\n  {command}"

"""``--on-finish COMMAND``: a command of the user's own that runs when a study has ended, however it has ended.

The command is run by the shell, with the result of the study in environment variables; those without a value are empty:

| variable | value |
| --- | --- |
| ``SEPRAY_STUDY`` | name of the study |
| ``SEPRAY_STATUS`` | exit status of the study: 0, 1, 2, 3, or 129, 130, 143 after a signal |
| ``SEPRAY_OUTCOME`` | exit status in words: done, nothing to register, bad input, a bug, interrupted |
| ``SEPRAY_FOLDER`` | folder of the study |
| ``SEPRAY_REPORT`` | path of the study's report.html |
| ``SEPRAY_MODEL`` | address of the registered model, e.g. models:/cass-ecg/3, or the folder of the packaged one |
| ``SEPRAY_CONCLUSION`` | the last sentences of the study about its result, or its error in one line |

Single quotes keep this shell from filling the variables in before the study has begun:

    --on-finish 'notify-send "$SEPRAY_STUDY: $SEPRAY_OUTCOME" "$SEPRAY_CONCLUSION"'
    --on-finish 'echo "$SEPRAY_CONCLUSION" | mail -s "$SEPRAY_STUDY: $SEPRAY_OUTCOME" me@example.org'
    --on-finish 'curl -s -d "$SEPRAY_STUDY: $SEPRAY_OUTCOME" https://example.org/my-hook'
    --on-finish 'test $SEPRAY_STATUS = 0 && python -m webbrowser "$SEPRAY_REPORT"'

What the command prints is shown. A command that fails, or that Ctrl-C ends, leaves a note and changes no exit status.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..console import interruption
from ..console.exit_status import BAD_INPUT, BUG
from ..console.terminal import console
from ..errors import mask, one_line
from ..fault import is_bad_input
from ..plain_text import escape_controls

OUTCOMES = {0: "done", 1: "nothing to register", BAD_INPUT: "bad input", BUG: "a bug"}
OUTCOMES |= dict.fromkeys(interruption.STATUSES, "interrupted")
"""Exit status of a study -> what it means, in words."""


def run_on_finish(
    command: str,
    study: str,
    status: int,
    *,
    folder: Path | None = None,
    report: Path | None = None,
    model: str | None = None,
    conclusion: str = "",
) -> None:
    """Run the user's command at the end of a study; a command that fails raises no error.

    Args:
        command: command for the shell; nothing is run where it is empty.
        study: name of the study.
        status: exit status of the study.
        folder: folder of the study, if it has one.
        report: report of the study, if it was made.
        model: address of the registered model, or the folder of the packaged one, if there is one.
        conclusion: the sentences that the study ended with, or its error; passwords are masked, and control
            characters, which a terminal would obey, escaped.
    """
    if not command.strip():
        return
    values = {
        "STUDY": study,
        "STATUS": status,
        "OUTCOME": OUTCOMES.get(status, f"status {status}"),
        "FOLDER": folder or "",
        "REPORT": report or "",
        "MODEL": model or "",
        "CONCLUSION": escape_controls(mask(conclusion)),
    }
    environment = {**os.environ, **{f"SEPRAY_{name}": str(value) for name, value in values.items()}}
    try:
        ended = subprocess.run(command, shell=True, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    except KeyboardInterrupt:
        _note(command, "was interrupted")
    except (OSError, ValueError) as error:  # no shell, or a value that no environment takes
        _note(command, f"could not be run: {one_line(error)}")
    else:
        if ended:
            _note(command, f"ended with status {ended}" if ended > 0 else f"was killed by signal {-ended}")


@contextlib.contextmanager
def run_on_error(command: str, study: str) -> Iterator[None]:
    """Run the user's command if the study in this context ends with an error; the error is then raised again.

    Args:
        command: command for the shell; nothing is run where it is empty.
        study: name of the study.
    """
    try:
        yield
    except BaseException as error:
        run_on_finish(command, study, _status_of(error), conclusion=one_line(error))
        raise


def _status_of(error: BaseException) -> int:
    """Return the exit status of a study that ended with this error."""
    if isinstance(error, KeyboardInterrupt):
        return interruption.status_of(error)
    return BAD_INPUT if is_bad_input(error) else BUG


def _note(command: str, what: str) -> None:
    console.print(f"note: --on-finish {shlex.quote(mask(command))} {what}", soft_wrap=True)

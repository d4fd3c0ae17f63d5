"""Tells trials that ended in an error which the user can put right from trials that ended in a bug."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from ..console.exit_status import BAD_INPUT, BUG, TRACEBACK, shorten_traceback, wants_whole_traceback
from ..errors import mask
from ..search.outcomes import is_refused, outcome, reason


def with_errors(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials whose code raised an error."""
    return [trial for trial in trials if outcome(trial) == "error"]


def exit_status(trials: Iterable[FrozenTrial]) -> int:
    """Return the exit status of a study that has nothing to register because of these trials.

    3 where one of them ended in a bug, 2 where all errors are ones that the user can put right, 1 without errors.
    """
    found = with_errors(trials)
    return (BAD_INPUT if all(map(is_refused, found)) else BUG) if found else 1


def words(trials: Iterable[FrozenTrial]) -> list[str]:
    """Return the paragraphs that a command prints on the errors that ended these trials; none without errors.

    A bug is shown by the frames of the user's own files, or whole with ``--traceback``. An error that the user can put
    right is shown in one line that names the trial. Of several the last one is shown, of the bugs if there are any.
    """
    found = with_errors(trials)
    if not found:
        return []
    bugs = [trial for trial in found if not is_refused(trial)]
    last, count = (bugs or found)[-1], len(bugs or found)
    trace = str(last.user_attrs.get("traceback", ""))
    noun = "trial" if count == 1 else "trials"
    is_whole = wants_whole_traceback()
    if bugs or is_whole:
        first = mask(shorten_traceback(trace)).rstrip()
    else:
        name = last.user_attrs.get("label") or f"trial {last.number}"
        more = f" ({count} trials ended in such an error)" if count > 1 else ""
        return [mask(f"{name}: {reason(last)}{more}")]
    whole = "" if is_whole else f"{TRACEBACK} shows the whole traceback, and "
    return [
        first,
        f"{count} {noun} ended in an error of the code, the last one as shown above; {whole}every trial's run has its "
        "own as traceback.txt",
    ]

"""Says how far a study is, from its stores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial

from ..console.exit_status import INTERRUPTED
from ..driver import failed_trials
from ..driver.saved_study import SavedStudy
from ..plain_text import plural
from ..search.outcomes import UNFINISHED, is_feasible, outcome

FINISHED = "finished"
RUNNING = "running"
STOPPED = "not finished"
EMPTY = "nothing to register"

Stages = Mapping[str, Sequence[FrozenTrial]]
"""Optuna's trials of each stage that was begun (``saved_study.STAGES``)."""


def state(saved: SavedStudy, stages: Stages, is_registered: bool, is_running: bool = False) -> str:
    """Return how far a study is.

    Args:
        saved: the study.
        stages: its trials.
        is_registered: whether the study has tried to register its champion.
        is_running: whether a driver on this machine runs it.

    Returns:
        FINISHED, RUNNING, STOPPED (the same command continues it), or EMPTY (it has ended without a model).
    """
    searched, finals = stages["search"], stages.get("finals")
    unfinished = any(outcome(trial) == UNFINISHED for trial in (*searched, *(finals or ())))
    is_short = len(searched) < int(saved.description["trials"])
    if is_running:  # perhaps only an ablation path is being trained, or the report made again
        return FINISHED if is_registered and not unfinished and not is_short else RUNNING
    if unfinished or (finals is None and is_short):
        return STOPPED
    if is_registered:
        return FINISHED
    if not any(map(is_feasible, searched)) or (finals and not any(map(is_feasible, finals))):
        return EMPTY
    return STOPPED


def in_words(found: str, saved: SavedStudy, stages: Stages) -> str:
    """Return the state of a study as a clause that begins with its name."""
    searched = stages["search"]
    ended = sum(outcome(trial) != UNFINISHED for trial in searched)
    wanted = max(int(saved.description["trials"]), len(searched))
    if found == EMPTY:
        if any(map(is_feasible, searched)):
            why = "none of the best configurations could be trained again"
        else:
            why = "no trial has run its whole budget"
        return f"{saved.name} has nothing to register: {why}"
    if found == FINISHED:
        return f"{saved.name} is finished"
    retraining = "" if "finals" not in stages else ", and the best were being trained again"
    so_far = f"{ended} of {plural(wanted, 'trial')} have ended{retraining}"
    if found == RUNNING:
        return f"{saved.name} is running: {so_far}"
    return f"{saved.name} is not finished: {so_far}; the same command continues it"


def exit_status(found: str, stages: Stages, is_packaged: bool) -> int | None:
    """Return the exit status of the study's command; None while it runs.

    Args:
        found: state of the study.
        stages: its trials.
        is_packaged: False if the champion could not be packaged.

    Returns:
        0: done. 1: nothing to register, or not packaged. 2 or 3: nothing to register because trials raised errors
        (``failed_trials.exit_status``). 130: not finished.
    """
    if found == RUNNING:
        return None
    if found == STOPPED:
        return INTERRUPTED
    if found == FINISHED:
        return 0 if is_packaged else 1
    stage = "finals" if any(map(is_feasible, stages["search"])) else "search"
    return failed_trials.exit_status(stages[stage])

"""Decides from a trial's results whether it goes on, and if not, how it ends. Imports nothing from sepray."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

COLLAPSE_ENERGY = 1e-4
"""Share of the reference's energy (-40 dB) below which the estimates of a source count as collapsed."""
COLLAPSE_PATIENCE = 5
"""Epochs in a row after which a collapsed source, or a failure that the separator itself names, ends the trial."""

GOES_ON = ("", "")


def judge(
    history: Sequence[Mapping[str, Any]],
    max_epochs: int,
    sources: Sequence[str],
    failure: Callable[[Mapping[str, Any]], str | None],
) -> tuple[str, str]:
    """Return outcome and reason of a trial after the last epoch of ``history``.

    The first of these that applies:

    1. ``diverged``: a value of the last result is not finite;
    2. ``collapsed``: the same source has collapsed in each of the last ``COLLAPSE_PATIENCE`` epochs;
    3. ``collapsed``: the separator has named a failure of its own in each of them, whatever its words;
    4. ``complete``: the budget is used up;
    5. empty: the trial goes on.

    Args:
        history: results of all epochs so far, each with ``epoch`` (from 1) and ``validation/<source>/energy_ratio``.
        max_epochs: budget of the trial.
        sources: names of the sources.
        failure: the separator's own ``failure``: what is wrong after an epoch, from its result; None: nothing.
    """
    if not history:
        return GOES_ON
    last = history[-1]
    for name, value in last.items():
        if isinstance(value, float) and not math.isfinite(value):
            return "diverged", f"{name} is {value} at epoch {last['epoch']}"
    recent = history[-COLLAPSE_PATIENCE:]
    failures = [failure(result) for result in recent]  # from the first epoch on, so that a bug in it shows at once
    reasons = [f"the estimate of {s} has collapsed" for s in sources if all(_collapsed(r, s) for r in recent)]
    if all(failures):
        reasons.append(str(failures[-1]))
    if reasons and len(recent) == COLLAPSE_PATIENCE:
        return "collapsed", f"{reasons[0]} ({COLLAPSE_PATIENCE} epochs in a row, at epoch {last['epoch']})"
    return ("complete", "") if last["epoch"] >= max_epochs else GOES_ON


def _collapsed(result: Mapping[str, Any], source: str) -> bool:
    return bool(result[f"validation/{source}/energy_ratio"] < COLLAPSE_ENERGY)

"""Words and numbers of the report's sentences, axes and tables."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from ..choices import MEASURES, Objective
from ..plain_text import in_figure

OUTCOMES = {
    "complete": "ran the whole budget",
    "pruned": "stopped early",
    "collapsed": "collapsed",
    "failed": "failed",
    "unfinished": "not finished",
}
"""Outcome of a trial -> words for it; all failures are ``failed``."""


def objective_words(objective: Objective) -> str:
    """Return an objective for a reader, e.g. ``fetal relative L2 error``."""
    return objective.words


def objective_axis(objective: Objective) -> str:
    """Return the label of an objective's axis, for matplotlib: the objective and its unit."""
    return in_figure(f"{objective_words(objective)} ({unit(objective.key)})")


def unit(key: str) -> str:
    """Return the unit of a measure, or of an objective by its key; ``ratio`` if it has none."""
    metric = MEASURES.get(key.rpartition("/")[2])
    return (metric.unit if metric else "") or "ratio"


def number(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:.4g}"


def trial_name(trial: FrozenTrial) -> str:
    """Return a trial's number and, if it has one, its label, e.g. ``trial 3 (published)``."""
    label = trial.user_attrs.get("label")
    return f"trial {trial.number}" + (f" ({label})" if label else "")

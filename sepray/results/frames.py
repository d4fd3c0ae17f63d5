"""A study's trials, failures and final table as pandas DataFrames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from ..driver.saved_study import STAGES, SavedStudy
from ..scoring import explanation_words
from ..scoring.explanation import Explanation
from ..search.ledger import settings
from ..search.outcomes import has_failed, outcome, reason

if TYPE_CHECKING:
    import pandas

_FAILURES = ("number", "stage", "label", "outcome", "reason", "traceback")


def trials_frame(saved: SavedStudy, stages: Mapping[str, Sequence[FrozenTrial]]) -> pandas.DataFrame:
    """Return a row for each trial, those of the search first, with the columns of Optuna's ``Study.trials_dataframe``.

    These are ``number``, ``value``, ``datetime_start``, ``datetime_complete``, ``duration``, ``params_NAME`` (every
    hyperparameter of the training, also those outside the search space) and ``state``. With several objectives there is
    ``values_SOURCE/MEASURE`` for each instead of ``value``, or ``values_0``, ... in a study of an older version.
    Further columns are ``stage`` (one of ``saved_study.STAGES``), ``label``, ``outcome`` (``outcomes.outcome``),
    ``epochs``, ``seed`` and ``reason``.

    Args:
        saved: the study.
        stages: Optuna's trials by stage.
    """
    import pandas

    names = _value_columns(saved)
    trials = [(stage, trial) for stage in STAGES for trial in stages.get(stage, ())]
    parameters = list(dict.fromkeys(name for _, trial in trials for name in settings(trial)))
    rows = []
    for stage, trial in trials:
        values, trained = trial.values or [], settings(trial)
        row: dict[str, Any] = {"stage": stage, "number": trial.number, "label": trial.user_attrs.get("label")}
        row |= {name: values[k] if k < len(values) else math.nan for k, name in enumerate(names)}
        row |= {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
        row |= {"duration": trial.duration}
        row |= {f"params_{name}": trained.get(name) for name in parameters}
        row |= {"state": trial.state.name, "outcome": outcome(trial), "epochs": trial.last_step or 0}
        rows.append(row | {"seed": trial.user_attrs.get("seed"), "reason": reason(trial)})
    first = ["stage", "number", "label", *names, "datetime_start", "datetime_complete", "duration"]
    end = ["state", "outcome", "epochs", "seed", "reason"]
    return pandas.DataFrame(rows, columns=[*first, *(f"params_{name}" for name in parameters), *end])


def failures_frame(stages: Mapping[str, Sequence[FrozenTrial]]) -> pandas.DataFrame:
    """Return a row for each trial that failed, those of the search first.

    Columns: ``number``, ``stage``, ``label``, ``outcome`` (``diverged``, ``error``, ``out_of_memory`` or ``lost``),
    ``reason`` in one line, and ``traceback``, empty unless the code raised an error.
    """
    import pandas

    rows = []
    for stage in STAGES:
        for trial in (t for t in stages.get(stage, ()) if has_failed(t)):
            told = trial.user_attrs
            why, trace = reason(trial), told.get("traceback", "")
            rows.append((trial.number, stage, told.get("label"), outcome(trial), why, trace))
    return pandas.DataFrame(rows, columns=list(_FAILURES))


def result_frame(result: Mapping[str, Any] | None) -> pandas.DataFrame:
    """Return the final table: a row for each system (the index, ``system``), the champion first.

    There is a column for each source and ``mean`` for all sources, with the mean over test items. Each is followed by
    the ends of its 95% interval, ``SOURCE_low`` and ``SOURCE_high``. A source that the measure is not defined for has
    no columns. ``attrs`` has the ``measure`` and the ``split``. Without a result the table is empty.

    All columns have different names, and none has that of the index. Where a source is called like the end of another's
    interval (``drum`` and ``drum_low``), all ends get a second underscore: ``drum__low``. Where a source is called
    ``system``, the index is called ``system_``.

    Args:
        result: content of ``result.json``, if there is one.
    """
    import pandas

    rows = result["rows"] if result else []
    columns = list(dict.fromkeys(name for row in rows for name in row["values"]))
    columns = [name for name in columns if name != "mean"] + ["mean"] * ("mean" in columns)
    joint = "_"
    while {f"{name}{joint}{end}" for name in columns for end in ("low", "high")} & set(columns):
        joint += "_"
    index = "system"
    while index in columns:
        index += "_"
    named = [f"{name}{end}" for name in columns for end in ("", f"{joint}low", f"{joint}high")]
    cells = [[x for name in columns for x in row["values"].get(name, (math.nan,) * 3)] for row in rows]
    systems = pandas.Index([row["system"] for row in rows], name=index, dtype=object)
    table = pandas.DataFrame(cells, index=systems, columns=named)
    table.attrs = {"measure": result["metric"], "split": "test"} if result else {}
    return table


def explanation_frame(path: Explanation | None) -> pandas.DataFrame:
    """Return a row for each step of an ablation path (the index, ``step``); step 0 is its beginning.

    Columns:

    - ``setting``: name of the setting that changes; ``old`` and ``new``: its values.
    - ``mean``: mean over seeds, on validation.
    - ``difference``: difference to the step before; ``low`` and ``high``: ends of its 95% interval over seeds.
    - ``share``: its share of the whole difference; NaN if the whole is within the spread of the seeds.
    - ``verdict``: the share in words, or ``within the seeds' spread``.

    ``attrs`` has ``start``, ``measure``, ``order``, ``seeds``, ``epochs`` and the ``sentence``. Without a path the
    table is empty.

    Args:
        path: the path, if one was trained.
    """
    import pandas

    columns = ["setting", "old", "new", "mean", "difference", "low", "high", "share", "verdict"]
    rows: list[list[Any]] = []
    if path is not None:
        rows.append(["", None, None, path.first, None, None, None, None, ""])
        for step in path.steps:
            gap = (None, None, None) if step.gap is None else (step.gap.difference, step.gap.low, step.gap.high)
            verdict = explanation_words.verdict(step, path.direction)
            rows.append([step.change.name, step.change.old, step.change.new, step.mean, *gap, step.share, verdict])
    table = pandas.DataFrame(rows, columns=columns, index=pandas.RangeIndex(len(rows), name="step"))
    table = table.astype(dict.fromkeys(("mean", "difference", "low", "high", "share"), float))
    if path is not None:
        table.attrs = {name: getattr(path, name) for name in ("start", "measure", "order", "seeds", "epochs")}
        table.attrs["sentence"] = explanation_words.sentence(path)
    return table


def _value_columns(saved: SavedStudy) -> list[str]:
    count = len(saved.objectives)
    if count == 1:
        return ["value"]
    named = saved.studies["search"].metric_names or range(count)
    return [f"values_{name}" for name in named]

"""Makes one JSON document of a study's result, for ``sepray show --json`` and ``sepray run STUDY --json``."""

from __future__ import annotations

from typing import Any

from ..errors import mask
from ..identity import plain
from ..scoring import explanation_words
from ..scoring.explanation import Explanation
from .findings import Findings


def path(found: Explanation) -> dict[str, Any]:
    """Return an ablation path as JSON values, with its sentence."""
    return {**found.plain(), "sentence": explanation_words.sentence(found)}


def settings(result: Findings) -> dict[str, Any]:
    """Return the champion's settings as JSON values.

    Raises:
        UsageError: the study has no champion.
    """
    found = result.settings()
    origin = {"study": found.study, "trial": found.trial, "task": found.task}
    return {"separator": found.separator, "hyperparameters": dict(found.hyperparameters), "origin": origin}


def study(result: Findings) -> dict[str, Any]:
    """Return all findings on a study as JSON values."""
    return {
        "study": result.name,
        "separator": result.saved.separator,
        "task": result.saved.task,
        "state": result.state,
        "status": result.status,
        "answer": None if result.answer is None else result.answer.plain(),
        "conclusion": result.conclusion,
        "explanation": None if result.ablation_path is None else path(result.ablation_path),
        "settings": None if result.result is None else settings(result),
        "edges": result.edges,
        "table": _rows(result.table.reset_index()),
        "measure": result.table.attrs.get("measure"),
        "trials": _rows(result.trials),
        "failures": _rows(result.failures),
        "best": [trial.number for trial in result.best],
        "objectives": result.saved.objectives,
        "description": plain(result.saved.description),
        "storage": mask(result.saved.storage),
        "folder": str(result.folder),
        "checkpoints": mask(result.saved.checkpoints),
        "report": str(result.report) if result.report else None,
        "experiment": result.saved.model_name,
        "run_id": result.run_id,
        "runs_page": result.runs_page,
        "model": result.model_uri,
        "disk": dict(result.disk),
    }


def _rows(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a DataFrame as JSON values: times in ISO 8601, durations in seconds, null if missing."""
    return [{name: _value(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _value(value: Any) -> Any:
    import pandas  # imported only if there is a table

    if pandas.isna(value):
        return None
    if isinstance(value, pandas.Timedelta):
        return value.total_seconds()
    return value.isoformat() if isinstance(value, pandas.Timestamp) else value

"""What operations hold, as MLflow stores it: texts without secrets, numbers, times, data sets."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import mask

Text = TypeVar("Text")

NOTE = "mlflow.note.content"
"""Tag that is shown as the description of a run or a logged model."""


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return parameters or tags as texts, which is what MLflow stores, without secrets."""
    return {str(name): mask(str(value)) for name, value in values.items()}


def inherited(tags: Mapping[str, Text]) -> dict[str, Text]:
    """Return those tags of a run that runs and models made from it have too: MLflow's own, of source, commit, user."""
    return {name: value for name, value in tags.items() if name.startswith(("mlflow.source.", "mlflow.user"))}


def dataset(name: str, fingerprint: str, description: Mapping[str, object], context: str) -> dict[str, Any]:
    """Return the operation that logs data as an input of a run; the arguments are those of ``Tracker.log_dataset``."""
    profile = as_json({**description, "fingerprint": fingerprint})
    source = as_json({"task": name, "fingerprint": fingerprint})
    return {"name": name, "digest": digest(fingerprint), "source": source, "profile": profile, "context": context}


def digest(fingerprint: str) -> str:
    """Return what MLflow keeps of a fingerprint of data."""
    return fingerprint[:36]


def finite_or_nan(value: float) -> float:
    """Return a metric's value as it is logged: infinity becomes NaN."""
    return float(value) if math.isfinite(value) else math.nan


def as_json(values: Mapping[str, object]) -> str:
    """Return values as JSON without secrets."""
    return mask(json.dumps(values, default=str))

"""Turns values into the form in which MLflow stores or takes them: texts without secrets, numbers, times, data sets."""

from __future__ import annotations

import json
import math
import posixpath
import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from ..secrecy import mask, masked

Text = TypeVar("Text")

NOTE = "mlflow.note.content"
"""Tag that is shown as the description of a run or a logged model."""

CHANGED_CODE = "changed_code"
"""Tag with the modules whose files have changed since a study's first trainings."""
_REFUSED = re.compile(r"[^/\w.\- :]")
_ESCAPE = re.compile(r"_x([0-9a-f]+)_")


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return parameters or tags as texts, which is what MLflow stores, without secrets."""
    return {str(name): str(masked(str(value), str(name))) for name, value in values.items()}


def as_key(name: str) -> str:
    """Return a key that MLflow accepts for the name of a metric, parameter or tag; ``name_of`` inverts it.

    MLflow accepts letters, digits, ``/ _ . - :`` and spaces, in a normalised path: no ``..``, no slash at either end,
    no two in a row. Every other character becomes ``_x<its code in hexadecimal>_``.
    """
    path = posixpath.normpath(name)
    if not _REFUSED.search(name) and path == name and not path.startswith(("/", "..")) and path != ".":
        return name if not _ESCAPE.search(name) else _escaped(name, r"_(?=x)")
    segments = r"^\.\.|(?<![^/])\.{1,2}(?![^/])|^/|/$|/(?=/)"  # "." and "..", and slashes that MLflow would drop
    return _escaped(name, rf"_(?=x)|[^/\w.\- :]|{segments}")


def _escaped(name: str, characters: str) -> str:
    return re.sub(characters, lambda found: "".join(f"_x{ord(c):x}_" for c in found[0]), name)


def name_of(key: str) -> str:
    """Return the name for which ``as_key`` returns this key."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), key)


def quoted(text: str) -> str:
    """Return a text as a literal of MLflow's filters."""
    return "'{}'".format(text.replace("'", "''"))


def inherited(tags: Mapping[str, Text]) -> dict[str, Text]:
    """Return those tags of a run that the runs of its trials and its models get too.

    They are MLflow's own tags of source, commit and user, and the tag with the modules that have changed.
    """
    return {k: v for k, v in tags.items() if k.startswith(("mlflow.source.", "mlflow.user")) or k == CHANGED_CODE}


def dataset(name: str, fingerprint: str, description: Mapping[str, object], context: str) -> dict[str, Any]:
    """Return the operation that logs data as an input of a run; the arguments are those of ``Tracker.log_dataset``."""
    profile = as_json({**description, "fingerprint": fingerprint})
    source = as_json({"task": name, "fingerprint": fingerprint})
    return {"name": name, "digest": digest(fingerprint), "source": source, "profile": profile, "context": context}


def digest(fingerprint: str) -> str:
    """Return the part of a fingerprint of data that MLflow keeps: the first 36 characters."""
    return fingerprint[:36]


def finite_or_nan(value: float) -> float:
    """Return a metric's value as it is logged: infinity becomes NaN."""
    return float(value) if math.isfinite(value) else math.nan


def as_json(values: Mapping[str, object]) -> str:
    """Return values as JSON without secrets."""
    return json.dumps(masked(values), default=lambda value: mask(str(value)))

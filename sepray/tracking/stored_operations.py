"""Checks operations of an outbox before they are sent to MLflow.

The outbox lies in the study's folder, which a group may write into (``--shared``). The user who delivers them may read
files that the group may not. So an operation may name no file except a copy that the outbox has made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from typing import Any

from ..shapes import is_text

_Check = Callable[[Any], bool]

_COPY = re.compile(r"[0-9a-f]{32}/[^/\0]+")
_LARGEST = 2.0**62  # the largest number that MLflow's columns take; it keeps out infinity and NaN
_STATES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


def is_copy(name: Any) -> bool:
    """Say whether a text is the path of a copy below the outbox's own folder, as the outbox makes them."""
    return isinstance(name, str) and bool(_COPY.fullmatch(name)) and not name.endswith(("/.", "/.."))


def is_sound(kind: str, body: Any) -> bool:
    """Say whether an operation has the form in which sepray writes it, with no further values.

    Args:
        kind: kind of the operation.
        body: its values, as JSON gives them.
    """
    return kind in _KINDS and isinstance(body, Mapping) and body.keys() <= _NAMES[kind] and _KINDS[kind](body)


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(is_text, value.values()))


def _is_metric(row: Any) -> bool:
    return (
        isinstance(row, list | tuple)
        and len(row) == 4
        and is_text(row[0])
        and (isinstance(row[1], float) or _is_time(row[1]))
        and all(map(_is_time, row[2:]))
    )


def _is_inside(name: Any) -> bool:
    """Say whether a name, perhaps with folders, stays below the folder that it is put into."""
    parts = name.split("/") if isinstance(name, str) else [""]
    return not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)


def _is_artifact(body: Mapping[str, Any]) -> bool:
    content = is_text(body["text"]) if "text" in body else is_copy(body.get("file"))
    return _is_inside(body.get("name")) and content and not {"text", "file"} <= body.keys()


_NAMES: dict[str, Set[str]] = {
    "run": {"name", "start", "tags", "experiment"},
    "log": {"metrics", "params", "tags"},
    "status": {"status", "end"},
    "name": {"name"},
    "artifact": {"name", "text", "file"},
    "dataset": {"name", "digest", "source", "profile", "context"},
}
_KINDS: dict[str, _Check] = {
    "run": lambda body: (
        is_text(body.get("name"))
        and _is_time(body.get("start"))
        and _is_texts(body.get("tags"))
        and is_text(body.get("experiment", ""))
    ),
    "log": lambda body: (
        isinstance(body.get("metrics", []), list | tuple)
        and all(map(_is_metric, body.get("metrics", ())))
        and _is_texts(body.get("params", {}))
        and _is_texts(body.get("tags", {}))
    ),
    "status": lambda body: body.get("status") in _STATES and (body.get("end") is None or _is_time(body["end"])),
    "name": lambda body: is_text(body.get("name")),
    "artifact": _is_artifact,
    "dataset": lambda body: all(is_text(body.get(name)) for name in ("name", "digest", "source", "profile", "context")),
}

"""Reads the files that a study writes at its end: ``result.json`` and ``registration.json`` in its folder.

A group may write into that folder (``--shared``). A file that sepray cannot have written counts as absent, and is made
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ..choices import MEASURES
from ..disk.files import read_json
from ..scoring.answers import Answer
from ..scoring.explanation import Explanation
from ..scoring.units import ITEMS, TRACKS, Units
from ..shapes import fits, is_table

RESULT, REGISTRATION = "result.json", "registration.json"
NO_MODEL = "No model is registered"
"""Beginning of the sentence in ``registration.json`` if the champion could not be packaged; stored studies have it."""

_Table = list[list[float]]


class _Member(TypedDict, total=False):
    trial: int
    base: int
    seed: int
    scores: _Table | None
    others: Mapping[str, _Table | None]


class _Pairs(TypedDict):
    contrasts: list[tuple[str, str]]
    systems: Mapping[str, list[_Member]]


class _Row(TypedDict):  # scoring.tables.ResultRow
    system: str
    values: Mapping[str, tuple[float, float, float]]
    bold: NotRequired[bool]


class _Units(TypedDict):
    names: list[str]
    of_items: list[list[str]]
    told: bool


class _Registration(TypedDict, total=False):
    name: str
    version: str | None
    champion: bool
    sentence: str
    waits: bool
    commands: list[str]


_FIELDS: dict[str, Any] = {
    "member": int,
    "role": str,
    "hyperparameters": Mapping[str, str | float | bool | None],
    "validation": float,
    "metric": str,
    "scores": Mapping[str, _Table],
    "rows": list[_Row],
}
_LATER_FIELDS: dict[str, Any] = {
    "validation_scores": Mapping[str, _Table],
    "units": _Units | None,
    "scored": str,
    "columns": list[str],
    "pairs": _Pairs,
    "best_of_arms": list[int],
    "answer": Answer | None,
    "edges": list[str],
    "samples": str,
    "references": list[int],
    "explanation": Explanation | None,
}
"""Fields that results of older versions may lack."""


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the result of a study (``driver.final_scores.KeptResult``); None if there is no sound one.

    Args:
        folder: the study's local folder.
    """
    result = read_json(folder / RESULT)
    return result if isinstance(result, dict) and _is_result(result) else None


def read_registration(folder: Path) -> dict[str, Any]:
    """Return the outcome of registering the champion; empty if there is no sound file.

    Args:
        folder: the study's local folder.
    """
    told = read_json(folder / REGISTRATION)
    return told if isinstance(told, dict) and fits(told, _Registration) else {}


def _is_result(result: Mapping[str, Any]) -> bool:
    if not _FIELDS.keys() <= result.keys():
        return False
    known = {**_FIELDS, **_LATER_FIELDS}
    if not all(fits(result[name], kind) for name, kind in known.items() if name in result):
        return False
    scores = [*result["scores"].values(), *result.get("validation_scores", {}).values()]
    is_scored = result["metric"] in MEASURES and result["metric"] in result["scores"]
    if not (is_scored and all(map(is_table, scores)) and result.get("scored", ITEMS) in (ITEMS, TRACKS)):
        return False
    rows, pairs, units = result["rows"], result.get("pairs"), result.get("units")
    if units and not all(len(unit) == len(units["names"]) > 0 for unit in units["of_items"]):
        return False
    if not rows or not all("mean" in row["values"] for row in rows):
        return False
    return (pairs is None or _are_pairs(pairs)) and _is_told(result)


def _are_pairs(pairs: Mapping[str, Any]) -> bool:
    members = [member for members in pairs["systems"].values() for member in members]
    tables = [table for member in members for table in (member.get("scores"), *member.get("others", {}).values())]
    return (
        all(name in pairs["systems"] for names in pairs["contrasts"] for name in names)
        and all({"trial", "base", "seed", "scores"} <= member.keys() for member in members)
        and all(table is None or is_table(table) for table in tables)
    )


def _is_told(result: Mapping[str, Any]) -> bool:
    """Say whether units, answer and explanation can be restored from their parts of a result."""
    try:
        Units.restored(result.get("units"), len(result["scores"][result["metric"]]))
        answer = Answer.restored(result["answer"]) if result.get("answer") else None
        if result.get("explanation"):
            Explanation.restored(result["explanation"])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return False
    parts = answer.parts if answer is not None else ()
    return all(
        part.metric in MEASURES and all(part.column in each.effects for each in part.contrasts) for part in parts
    )

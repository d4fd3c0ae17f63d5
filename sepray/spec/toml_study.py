"""A study as a TOML file, run by ``sepray run study.toml``.

Keys are the fields of ``StudySpec``; those of its four parts may stand in tables of their own or at the top::

    name = "cass-small"
    separator = {name = "cass", width = 8}     # or separator = "cass:small"
    task = "ecg"
    objective = ["relative_l2"]
    trials = 8

    [search]
    sampler = "gp"

    [space]                                    # left out: the separator's published search space
    adversarial = {choices = [1, 0]}
    beta = {low = 1e-5, high = 0.2, log = true}

    [reference_points.CASS]
    adversarial = 1
    beta = 0.1

    [arms."no adversaries"]                    # alternatives that the study is about, the control first
    settings = {adversarial = 0}
    searched = []

    [arms.CASS]
    settings = {adversarial = 1}
    searched = ["beta"]
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pydantic
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from .. import registry
from ..arms import Arm
from ..errors import UsageError
from .field_types import FieldError
from .keys import read_toml, refuse_unknown
from .parts import Budget, Resources, Search, Stores
from .study import StudySpec

_PARTS: dict[str, type] = {"budget": Budget, "search": Search, "resources": Resources, "stores": Stores}
_NAMED = {"separator": "sepray.separators", "task": "sepray.tasks"}
_TABLES = ("reference_points", "controls", "first_settings")  # of tables: name -> hyperparameter -> value
_RANGE = ("low", "high", "log", "step", "integer")
_VALUE = (bool, int, float, str)


def read_study(path: str | Path) -> StudySpec:
    """Return the study that a TOML file describes.

    Separator and task stay names where they have no fields of their own, so that torch is not imported.

    Raises:
        UsageError: the file cannot be read or is not TOML; a key is unknown, missing, or has a value of a wrong type or
            out of range. The message names the file and the nearest known key.
    """
    try:
        return _study(read_toml(Path(path)))
    except FieldError as error:
        content = read_toml(Path(path))
        table = next((f"{part}." for part in _PARTS if error.field in content.get(part, {})), "")
        raise UsageError(f"study file {path}: {table}{error.field} {error.why}") from None
    except UsageError as error:
        raise UsageError(f"study file {path}: {error}") from None


def _study(content: Mapping[str, Any]) -> StudySpec:
    owners = {f.name: (part, f) for part, kind in _PARTS.items() for f in fields(kind)}
    own = {f.name: f for f in fields(StudySpec)}
    refuse_unknown(content, [*own, *owners])
    for name in ("name", "separator", "task"):
        if name not in content:
            raise UsageError(f"{name} is missing")
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name in _NAMED:
            values[name] = _config(name, value)
        elif name == "space":
            values[name] = {key: _distribution(f"space.{key}", v) for key, v in _table(name, value).items()}
        elif name in _TABLES:
            tables = _table(name, value)
            values[name] = {label: _point(f"{name}.{label}", point) for label, point in tables.items()}
        elif name == "arms":
            values[name] = {label: _arm(f"arms.{label}", arm) for label, arm in _table(name, value).items()}
        elif name in ("fixed_settings", "reference_epochs"):
            values[name] = _point(name, value)
        elif name in _PARTS:
            known = {f.name: f for f in fields(_PARTS[name])}
            refuse_unknown(_table(name, value), list(known), f"{name}.")
            for key, inner in value.items():
                if key in content:
                    raise UsageError(f"{key} is given twice, at the top and in [{name}]")
                values[key] = _typed(f"{name}.{key}", inner, _type(_PARTS[name], known[key]))
        elif name in owners:
            part, field = owners[name]
            values[name] = _typed(name, value, _type(_PARTS[part], field))
        elif name in ("objective", "choose") and isinstance(value, str):
            values[name] = (value,)
        else:  # name, objective, choose, start, seed
            values[name] = _typed(name, value, _type(StudySpec, own[name]))
    return StudySpec(**values)


def _type(owner: type, field: Field[Any]) -> Any:
    return typing.get_type_hints(owner)[field.name]


def _table(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a table, [{name}], not {value!r}")
    return value


def _config(part: str, value: object) -> Any:
    """Return a name, or the ``Config`` that a table with ``name`` and fields describes."""
    if isinstance(value, str):
        return value
    table = dict(_table(part, value))
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"{part}.name is missing: {part} is a name, or a table with a name and fields")
    registry.check(_NAMED[part], name)
    config = registry.config(_NAMED[part], name)
    known = {f.name: f for f in fields(config)}
    refuse_unknown(table, list(known), f"{part}.")
    changes = {k: _typed(f"{part}.{k}", v, _type(type(config), known[k])) for k, v in table.items()}
    return replace(config, **changes)


def _distribution(name: str, value: object) -> BaseDistribution:
    table = _table(name, value)
    if "choices" in table:
        refuse_unknown(table, ["choices"], f"{name}.")
        choices = table["choices"]
        if not isinstance(choices, list) or not choices or not all(isinstance(c, _VALUE) for c in choices):
            raise UsageError(f"{name}.choices must be a list of numbers, texts or truth values, not {choices!r}")
        return CategoricalDistribution(choices)
    refuse_unknown(table, ["choices", *_RANGE], f"{name}.")
    for bound in ("low", "high"):
        if bound not in table:
            raise UsageError(f"{name}.{bound} is missing: give low and high, or choices")
    number: type = int if _typed(f"{name}.integer", table.get("integer", False), bool) else float
    low, high = (_typed(f"{name}.{bound}", table[bound], number) for bound in ("low", "high"))
    log = _typed(f"{name}.log", table.get("log", False), bool)
    step = _typed(f"{name}.step", table["step"], number) if "step" in table else None
    try:
        if number is int:
            return IntDistribution(low, high, log=log, step=step or 1)
        return FloatDistribution(low, high, log=log, step=step)
    except ValueError as error:
        raise UsageError(f"{name}: {str(error).rstrip('.')}") from None


def _point(name: str, value: object) -> Mapping[str, Any]:
    table = _table(name, value)
    for key, setting in table.items():
        if isinstance(setting, dict):
            raise UsageError(f'{name}.{key} is a table; a name with a dot in it needs quotes: "{key}.x" = 1')
        if not isinstance(setting, _VALUE):
            raise UsageError(f"{name}.{key} must be a number, a text or a truth value, not {setting!r}")
    return table


def _arm(name: str, value: object) -> Arm:
    table = _table(name, value)
    refuse_unknown(table, [f.name for f in fields(Arm)], f"{name}.")
    searched = _typed(f"{name}.searched", table.get("searched", []), tuple[str, ...])
    return Arm(_point(f"{name}.settings", table.get("settings", {})), searched)


def _typed(name: str, value: object, kind: Any) -> Any:
    """Return a value as the type of its field: a list as a tuple, a whole number as a float; refuse another type."""
    try:
        # JSON's strict rules are those of TOML: an array may be a tuple, but a text is no number.
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        indices = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        why = first["msg"][:1].lower() + first["msg"][1:]
        raise UsageError(f"{name}{indices} = {json.dumps(first['input'], default=str)}: {why}") from None
    except pydantic.PydanticSchemaGenerationError:
        raise UsageError(f"{name} cannot be given in a TOML file; write the study in Python") from None

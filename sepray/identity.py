"""Canonical JSON, digests and differences of configurations, and templates of search spaces.

A study is identified by the digest of its objectives, space, task and fixed configuration; a data set by the digest of
its content.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, TypeVar

from .errors import UsageError
from .secrecy import masked

T = TypeVar("T")
_ABSENT = "(absent)"
_DISTRIBUTIONS = ("FloatDistribution", "IntDistribution", "CategoricalDistribution")


def python_number(value: Any) -> Any:
    """Return a number or truth value of numpy or another library as Python's, which JSON has; other values as they are.

    Numbers are those of ``numbers.Integral`` and ``numbers.Real``.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    kind = type(value)
    return bool(value) if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_") else value


def plain(value: Any) -> Any:
    """Return ``value`` as nested dicts, lists, strings, numbers, booleans and None: what JSON can hold.

    Dataclasses become dicts of their fields, enumerations their values, paths strings, sets sorted lists, and Optuna
    distributions what ``optuna.distributions.distribution_to_json`` writes. Numbers of numpy become Python's
    (``python_number``); those that are not finite become the strings ``"nan"``, ``"inf"`` and ``"-inf"``, which JSON
    lacks.

    So that identities stay the same from version to version, a dict also has the class's ``FORMER_FIELDS``: fields that
    older versions of the class had, with the values that they would have now. A dict lacks a field at its value in
    ``LATER_FIELDS``: fields that older versions lack, with what these versions did.

    Raises:
        TypeError: a value's type has no canonical form, or a key is not a string.
    """
    value = python_number(value)
    if isinstance(value, enum.Enum) and not isinstance(value, str):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        later = getattr(value, "LATER_FIELDS", {})
        values = {name: plain(given) for name, given in own.items() if name not in later or given != later[name]}
        return values | plain(getattr(value, "FORMER_FIELDS", {}))
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"a key must be a string to have a canonical form, not {wrong[0]!r}")
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=canonical_json)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    if type(value).__module__.startswith("optuna.distributions"):
        return _plain_distribution(value)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"a value of type {kind} has no canonical form: {value!r}")


def _plain_distribution(distribution: Any) -> Any:
    from optuna.distributions import distribution_to_json  # here, because a data set's digest needs no Optuna

    return plain(json.loads(distribution_to_json(distribution)))


def without_secrets(value: Any) -> Any:
    """Return ``plain`` of a value without secrets, as stored studies, models and messages have configurations.

    A configuration that is made from it lacks the secrets (``loading.load_task`` refuses one that had any).
    """
    return masked(plain(value))


def canonical_json(value: Any) -> str:
    """Return the JSON text of ``value``: sorted keys, no blanks, ASCII, the shortest floats that read back equal."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of ``canonical_json(value)``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def differences(old: Any, new: Any) -> list[str]:
    """Return a line ``dotted.path: old -> new`` for every leaf that differs, in the order of the paths.

    Lists of equal length are compared item by item (``path[2]``), others as a whole. A key that only one side has is
    ``(absent)`` on the other. Distributions are told in words: ``1e-05 to 0.2 (log) -> fixed to 0.1``.
    """
    return list(_differences("", plain(old), plain(new)))


def _differences(path: str, old: Any, new: Any) -> list[str]:
    told_whole = _is_distribution(old) or _is_distribution(new)
    if isinstance(old, dict) and isinstance(new, dict) and not told_whole:
        lines = []
        for key in sorted(old.keys() | new.keys()):
            inner = f"{path}.{key}" if path else key
            lines += _differences(inner, old.get(key, _ABSENT), new.get(key, _ABSENT))
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(f"{path}[{i}]", a, b)]
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return [] if same else [f"{path or 'value'}: {_shown(old)} -> {_shown(new)}"]


def _shown(value: Any) -> str:
    if _is_distribution(value):
        return _in_words(value["name"], value["attributes"])
    return str(value) if value == _ABSENT else json.dumps(value, sort_keys=True)


def _is_distribution(value: Any) -> bool:
    """Say whether a plain value is a distribution as Optuna writes it."""
    return isinstance(value, dict) and value.keys() == {"name", "attributes"} and str(value["name"]) in _DISTRIBUTIONS


def _in_words(name: str, attributes: Mapping[str, Any]) -> str:
    if "choices" in attributes:
        choices = [json.dumps(choice) for choice in attributes["choices"]]
        return f"fixed to {choices[0]}" if len(choices) == 1 else f"one of {', '.join(choices)}"
    low, high, step = (attributes[key] for key in ("low", "high", "step"))
    if low == high:
        return f"fixed to {low:.12g}"
    whole = name == "IntDistribution"
    steps = "" if step is None or (whole and step == 1) else f"in steps of {step:.12g}"
    manner = ", ".join(text for text in ("whole numbers" * whole, steps, "log" * attributes["log"]) if text)
    return f"{low:.12g} to {high:.12g}" + (f" ({manner})" if manner else "")


def expand(space: Mapping[str, T], sources: Sequence[str]) -> dict[str, T]:
    """Return ``space`` with the names of the sources put into the templates among its keys.

    ``{i}`` alone stands for each source, ``{i}`` with ``{j}`` for each ordered pair of different sources:
    ``cross.{i}_to_{j}`` over ``("maternal", "fetal")`` gives ``cross.maternal_to_fetal`` and
    ``cross.fetal_to_maternal`` (the ordered pairs of CASS eq. 9). Other keys stay; the order of keys is kept.

    Raises:
        UsageError: two keys become equal.
    """
    expanded: dict[str, T] = {}
    for template, value in space.items():
        names = [template]
        if "{i}" in template and "{j}" in template:
            pairs = itertools.permutations(sources, 2)
            names = [template.replace("{i}", i).replace("{j}", j) for i, j in pairs]
        elif "{i}" in template:
            names = [template.replace("{i}", i) for i in sources]
        for name in names:
            if name in expanded:
                raise UsageError(f"{template!r} expands to {name!r}, which another key of the space gives too")
            expanded[name] = value
    return expanded

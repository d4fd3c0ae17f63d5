"""Says whether JSON values have the form that a type annotation describes, for files that others may have written.

Imports nothing from sepray.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

_LARGEST = 10**30  # whole number: floats have no room for some


def fits(value: Any, kind: Any) -> bool:
    """Say whether a JSON value has the form of a type.

    Args:
        value: what a JSON file has given.
        kind: ``int``, ``float`` (whole numbers too), ``str``, ``bool``, ``None``, ``Any``, ``list[...]``,
            ``tuple[...]`` (lists), ``Mapping[str, ...]``, unions of them, a class of ``TypedDict``, or a dataclass, of
            which the value has the fields.

    Raises:
        TypeError: the type is another one.
    """
    if kind is Any:
        return True
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float):
        if isinstance(value, int):
            return not isinstance(value, bool) and -_LARGEST < value < _LARGEST
        return kind is float and isinstance(value, float)
    if kind in (str, bool):
        return isinstance(value, kind)
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return _has_fields(value, kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.NotRequired:
        return fits(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is tuple and inner[1:] != (...,):
        is_list = isinstance(value, list | tuple) and len(value) == len(inner)
        return is_list and all(fits(part, each) for part, each in zip(value, inner, strict=True))
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(fits(part, inner[0]) for part in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(part, inner[1]) for part in value.values())
    raise TypeError(f"no form is known for {kind}")


def is_text(value: Any) -> bool:
    """Say whether a JSON value is a text."""
    return isinstance(value, str)


def is_table(value: Any) -> bool:
    """Say whether a JSON value is a table of numbers: lists of one length, at least one, none of them empty."""
    if not fits(value, list[list[float]]) or not value:
        return False
    return len({len(row) for row in value}) == 1 and bool(value[0])


def _has_fields(value: Any, kind: Any) -> bool:
    hints = typing.get_type_hints(kind, include_extras=True)
    if typing.is_typeddict(kind):  # whose __required_keys__ are wrong where annotations are texts
        needed = {
            n for n, hint in hints.items() if kind.__total__ and typing.get_origin(hint) is not typing.NotRequired
        }
    else:
        missing = dataclasses.MISSING
        fields = dataclasses.fields(kind)
        needed = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return (
        isinstance(value, Mapping)
        and needed <= value.keys() <= hints.keys()
        and all(fits(part, hints[name]) for name, part in value.items())
    )

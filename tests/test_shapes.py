"""The check of whether JSON values have the form of a type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import pytest

from sepray.shapes import fits, is_table


@dataclass(frozen=True)
class Inner:
    a: int
    b: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    by_name: Mapping[str, Inner]


class Record(TypedDict):
    needed: str
    other: NotRequired[list[int]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(
            (1, int),
            (1, float),
            (1.5, float),
            (math.nan, float),
            ("", str),
            (True, bool),
            (None, None),
            (None, int | None),
        ),
        *(([], Any), ([1, "a"], tuple[int, str]), ([1.5], tuple[float, ...]), ([], list[int]), ({}, Mapping[str, int])),
        *(({"a": 1}, Inner), ({"a": 1, "b": [1, 2.5]}, Inner), ({"inner": None, "by_name": {"x": {"a": 1}}}, Outer)),
        *(({"needed": "x"}, Record), ({"needed": "x", "other": [1]}, Record)),
    ],
)
def test_what_fits(value, kind):
    assert fits(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *(
            (1.0, int),
            (True, int),
            (False, float),
            (1, str),
            (1, bool),
            (0, None),
            ("x", int | None),
            ([[1]], list[int]),
            (10**30, int),
            (-(10**400), float),
        ),
        *(([1], tuple[int, str]), ([1, "a", 2], tuple[int, str]), ("ab", list[str]), ("a", tuple[str, ...])),
        *(([], Mapping[str, int]), ({"a": "b"}, Mapping[str, int]), ({}, Inner), ({"a": 1, "c": 2}, Inner)),
        *(({"a": "1"}, Inner), ({"inner": {}, "by_name": {}}, Outer), ({"inner": None, "by_name": {"x": 5}}, Outer)),
        *(({"other": []}, Record), ({"needed": 5}, Record), ({"needed": "x", "more": 1}, Record), (5, Record)),
    ],
)
def test_what_does_not(value, kind):
    assert not fits(value, kind)


def test_kinds_that_are_not_known_are_an_error():
    with pytest.raises(TypeError, match="no form is known"):
        fits(b"", bytes)


def test_tables_have_numbers_in_rows_of_one_length():
    assert is_table([[1, 2.5], [math.nan, -1]])
    for value in (None, [], [[]], [[1], [1, 2]], [1, 2], [["a"]], [[None]], [[True]], "ab", {"a": [1]}):
        assert not is_table(value)

import dataclasses
import enum
import hashlib
import re
from pathlib import PurePosixPath

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sepray.errors import UsageError
from sepray.identity import canonical_json, differences, digest, expand, plain


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int
    betas: tuple[float, float] = (0.5, 0.9)


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    colour: Colour = Colour.RED


def test_canonical_json_is_one_text():
    value = Outer("é", Inner(3))
    assert canonical_json(value) == '{"colour":"red","inner":{"betas":[0.5,0.9],"width":3},"name":"\\u00e9"}'
    assert canonical_json({"b": 1, "a": {2, 1}}) == '{"a":[1,2],"b":1}'
    assert canonical_json([1.0, 1, True, None]) == "[1.0,1,true,null]"
    assert canonical_json(float("nan")) == '"nan"'
    assert canonical_json(PurePosixPath("a/b")) == '"a/b"'


def test_digest_is_sha256_of_the_canonical_text():
    assert digest({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
    assert digest({"a": 2, "b": 1}) == digest({"b": 1, "a": 2})
    assert digest({"a": 2, "b": 1.5}) != digest({"a": 2, "b": 1})


def test_distributions_are_what_optuna_writes():
    assert plain({"x": FloatDistribution(0.1, 1.0, log=True)}) == {
        "x": {"name": "FloatDistribution", "attributes": {"low": 0.1, "high": 1.0, "log": True, "step": None}}
    }


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (object, "a value of type builtins.type has no canonical form: <class 'object'>"),
        (b"bytes", "a value of type builtins.bytes has no canonical form: b'bytes'"),
        (Inner, "a value of type builtins.type has no canonical form: "),
        ([1, {"a": 1j}], "a value of type builtins.complex has no canonical form: 1j"),
        ({1: 2}, "a key must be a string to have a canonical form, not 1"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value, line):
    with pytest.raises(TypeError, match="^" + re.escape(line)):
        canonical_json(value)


def test_numbers_that_json_lacks_become_texts():
    values = [float("nan"), float("inf"), -float("inf"), np.float64(0.5), np.float64("inf")]
    assert plain(values) == ["nan", "inf", "-inf", 0.5, "inf"]


def test_differences_name_every_path():
    old = {"space": {"a": FloatDistribution(0.0, 1.0), "b": CategoricalDistribution([1, 2])}, "n": 1, "flag": True}
    new = {"space": {"a": FloatDistribution(0.0, 2.0), "b": CategoricalDistribution([1, 3])}, "flag": 1, "m": None}
    assert differences(old, new) == [
        "flag: true -> 1",
        "m: (absent) -> null",
        "n: 1 -> (absent)",
        "space.a: 0 to 1 -> 0 to 2",
        "space.b: one of 1, 2 -> one of 1, 3",
    ]
    assert differences([1, 2], [1, 2, 3]) == ["value: [1, 2] -> [1, 2, 3]"]
    assert (
        differences(Outer("x", Inner(3)), {"name": "x", "inner": {"width": 3, "betas": [0.5, 0.9]}, "colour": "red"})
        == []
    )


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (FloatDistribution(1e-5, 0.2, log=True), "1e-05 to 0.2 (log)"),
        (FloatDistribution(0, 1, step=0.25), "0 to 1 (in steps of 0.25)"),
        (FloatDistribution(0.1, 0.1), "fixed to 0.1"),
        (IntDistribution(1, 64, log=True), "1 to 64 (whole numbers, log)"),
        (IntDistribution(1, 9, step=2), "1 to 9 (whole numbers, in steps of 2)"),
        (CategoricalDistribution([0.1]), "fixed to 0.1"),
        (CategoricalDistribution(["a", True]), 'one of "a", true'),
    ],
)
def test_distributions_that_differ_are_told_in_words(distribution, words):
    other = FloatDistribution(0.5, 2)
    assert differences({"beta": distribution}, {"beta": other}) == [f"beta: {words} -> 0.5 to 2"]
    assert differences({}, {"beta": distribution}) == [f"beta: (absent) -> {words}"]
    assert differences({"beta": distribution}, {"beta": distribution}) == []


def test_templates_expand_over_sources_and_ordered_pairs():
    space = {"alpha": 1, "cross.{i}_to_{j}": 2, "critic.{i}": 3}
    assert expand(space, ("maternal", "fetal")) == {
        "alpha": 1,
        "cross.maternal_to_fetal": 2,
        "cross.fetal_to_maternal": 2,
        "critic.maternal": 3,
        "critic.fetal": 3,
    }
    assert list(expand({"{i}>{j}": 0}, "abc")) == ["a>b", "a>c", "b>a", "b>c", "c>a", "c>b"]


def test_templates_that_give_a_key_twice_are_refused():
    with pytest.raises(UsageError, match=r"^'w\.{i}' expands to 'w\.a', which another key of the space gives too$"):
        expand({"w.a": 1, "w.{i}": 2}, ("a", "b"))


def test_numbers_of_numpy_are_python_s():
    found = plain({"size": np.int64(8), "rate": np.float32(0.5), "wrong": np.float32("nan"), "on": np.bool_(True)})
    assert found == {"size": 8, "rate": 0.5, "wrong": "nan", "on": True}
    assert [type(value) for value in found.values()] == [int, float, str, bool]
    assert digest(np.int64(8)) == digest(8)
    with pytest.raises(TypeError, match=r"^a value of type numpy\.ndarray has no canonical form"):
        plain(np.zeros(1, bool))

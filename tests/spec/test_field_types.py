"""Values of a wrong type are refused in one line that names the field and the type wanted."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from sepray.arms import Arm
from sepray.errors import UsageError
from sepray.spec import field_types
from sepray.spec.field_types import FieldError, UnknownFieldError

SOME = object()


@pytest.mark.parametrize(
    ("kind", "good", "bad", "words"),
    [
        (int, (3, np.int64(3)), (3.0, True, "3", None), "a whole number (int)"),
        (float, (3, 0.5, np.float32(2)), (True, "0.5", None), "a number (float)"),
        (bool, (True, False), (1, 0, "yes", None), "True or False (bool)"),
        (str, ("", "a"), (3, b"a", None), "a text (str)"),
        (Path, (Path("a"),), ("a", None), "a path (pathlib.Path)"),
        (str | None, ("a", None), (3, Path("a")), "a text (str) or None"),
    ],
)
def test_types_of_fields(kind, good, bad, words):
    for value in good:
        field_types.require_type("trials", value, kind)
    for value in bad:
        with pytest.raises(UsageError, match=f"^{re.escape(f'trials must be {words}, not {value!r}')}$"):
            field_types.require_type("trials", value, kind)


@dataclass
class Part:
    trials: int = 1
    names: tuple[str, ...] = ()


def test_each_field_of_a_part_is_looked_at():
    field_types.require_types(Part(2, ("a",)))
    with pytest.raises(UsageError, match=r"^trials must be a whole number \(int\), not '2'$"):
        field_types.require_types(Part("2"))
    with pytest.raises(UsageError, match=r"^names must be a tuple of texts \(str\), not \['a'\]$"):
        field_types.require_types(Part(2, ["a"]))


@pytest.mark.parametrize("name", ["objective", "measures"])
def test_texts_are_a_tuple_of_texts(name):
    field_types.require_texts(name, ("si_sdr", ""))
    for value in ("si_sdr", ["si_sdr"], ("si_sdr", 3), None):
        wanted = f"{name} must be a tuple of names, such as ('si_sdr',), not {value!r}"
        with pytest.raises(UsageError, match=f"^{re.escape(wanted)}$"):
            field_types.require_texts(name, value)


def test_parts_are_of_their_classes():
    field_types.require_parts({"budget": Part(), "more": 1}, {"budget": Part})
    with pytest.raises(UsageError, match=r"^budget must be a Part, not 3$"):
        field_types.require_parts({"budget": 3}, {"budget": Part})


def test_unknown_keyword_is_a_type_error_with_the_nearest_name():
    field_types.require_known(["trials"], ["trials", "epochs"])
    with pytest.raises(UnknownFieldError, match=r"^unknown field trial; .*'?trials'?") as refusal:
        field_types.require_known(["trials", "trial"], ["trials", "epochs"])
    assert isinstance(refusal.value, TypeError)
    assert isinstance(refusal.value, UsageError)


def test_error_of_a_field_names_its_flag():
    error = FieldError("max_epochs", "must be at least 1, not 0")
    assert str(error) == "--max-epochs must be at least 1, not 0"
    assert (error.field, error.why) == ("max_epochs", "must be at least 1, not 0")


@pytest.mark.parametrize(
    ("check", "good", "bad", "start"),
    [
        (
            field_types.require_space,
            {"beta": FloatDistribution(0, 1)},
            {"beta": (0, 1)},
            "space['beta'] must be a distribution of Optuna, such as FloatDistribution(1e-3, 1), not (0, 1)",
        ),
        (
            lambda value: field_types.require_settings("controls", value),
            {"plain": {"beta": 0}},
            {"plain": ["beta"]},
            "controls['plain'] must be a dictionary of hyperparameters, not ['beta']",
        ),
        (
            field_types.require_arms,
            {"plain": Arm({}, ())},
            {"plain": {}},
            "arms['plain'] must be an Arm (sepray.arms), not {}",
        ),
    ],
)
def test_dictionaries_of_things(check, good, bad, start):
    check(good)
    check({})
    with pytest.raises(UsageError, match=f"^{re.escape(start)}$"):
        check(bad)


@pytest.mark.parametrize("value", [[("a", 1)], {1: "a"}, None, "a"])
def test_names_are_the_keys_of_a_dictionary(value):
    assert field_types.require_names("arms", {"a": SOME}, "x") == [("a", SOME)]
    wanted = f"arms must be a dictionary that gives each name a thing, not {value!r}"
    with pytest.raises(UsageError, match=f"^{re.escape(wanted)}$"):
        field_types.require_names("arms", value, "a thing")

"""Refuses values of a wrong type in the description of a study: one line names the field and the type wanted."""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ..arms import Arm
from ..errors import UsageError
from .keys import refuse_unknown


class FieldError(UsageError):
    """The value of a field is out of range; the message names its flag, for which a reader of files puts its own key.

    Attributes:
        field: name of the field.
        why: what is wrong with its value, e.g. ``"must be at least 1, not 0"``.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field, self.why = field, why

    def __str__(self) -> str:
        """Return the message: the flag, and what is wrong."""
        return f"--{self.field.replace('_', '-')} {self.why}"


class UnknownFieldError(UsageError, TypeError):
    """A keyword that is no field of a study or comparison; Python has a ``TypeError`` for unknown keywords."""


# Type of a field -> the classes of its values, and what a message calls it.
_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number (int)"),
    float: ((Real,), "a number (float)"),
    bool: ((bool,), "True or False (bool)"),
    str: ((str,), "a text (str)"),
    Path: ((Path,), "a path (pathlib.Path)"),
    str | Path: ((str, Path), "a path (pathlib.Path) or a text (str)"),
    str | None: ((str, type(None)), "a text (str) or None"),
}


def require_types(part: object) -> None:
    """Refuse a part of a description (``Budget`` ...) with a value that is not of its field's type.

    Raises:
        UsageError: a value has a wrong type.
    """
    for name, kind in typing.get_type_hints(type(part)).items():
        if kind == tuple[str, ...]:
            require_texts(name, getattr(part, name))
        else:
            require_type(name, getattr(part, name), kind)


def require_type(name: str, value: object, kind: Any) -> None:
    """Refuse a value of a field that is not of the type ``kind``, one of ``_KINDS``.

    Raises:
        UsageError: the value is of another type; a truth value is no number.
    """
    classes, words = _KINDS[kind]
    if not isinstance(value, classes) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{name} must be {words}, not {value!r}")


def require_texts(name: str, value: object) -> None:
    """Refuse a value that is no tuple of texts.

    Raises:
        UsageError: the value is no tuple, or one of its entries no text.
    """
    if type(value) is not tuple or not all(isinstance(text, str) for text in value):
        such_as = " of names, such as ('si_sdr',)" if name in ("objective", "measures") else " of texts (str)"
        raise UsageError(f"{name} must be a tuple{such_as}, not {value!r}")


def require_parts(given: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    """Refuse parts that are not of their class.

    Args:
        given: name of a part -> what was given for it.
        kinds: name of a part -> its class.

    Raises:
        UsageError: a part is of another class.
    """
    for name, kind in kinds.items():
        if not isinstance(given[name], kind):
            raise UsageError(f"{name} must be a {kind.__name__}, not {given[name]!r}")


def require_known(names: Collection[str], known: Collection[str]) -> None:
    """Refuse keywords that are no fields.

    Raises:
        UnknownFieldError: a keyword is no field; the message has the nearest known name, and all of them.
    """
    try:
        refuse_unknown(names, known, "unknown field ")
    except UsageError as error:
        raise UnknownFieldError(str(error)) from None


def require_space(space: object) -> None:
    """Refuse a search space that does not give an Optuna distribution for every hyperparameter.

    Raises:
        UsageError: the space is no dictionary, or a value no distribution.
    """
    wanted = "a distribution of Optuna, such as FloatDistribution(1e-3, 1)"
    for name, value in require_names("space", space, wanted):
        from optuna.distributions import BaseDistribution  # already imported, where all is well

        if not isinstance(value, BaseDistribution):
            raise UsageError(f"space[{name!r}] must be {wanted}, not {value!r}")


def require_settings(name: str, value: object) -> None:
    """Refuse a field that does not give a dictionary of hyperparameters for every name.

    Raises:
        UsageError: the field is no dictionary of dictionaries.
    """
    wanted = "a dictionary of hyperparameters"
    for label, point in require_names(name, value, wanted):
        if not isinstance(point, Mapping):
            raise UsageError(f"{name}[{label!r}] must be {wanted}, not {point!r}")


def require_arms(arms: object) -> None:
    """Refuse arms that do not give an ``Arm`` for every name.

    Raises:
        UsageError: the arms are no dictionary, or a value no ``Arm``.
    """
    for label, arm in require_names("arms", arms, "an Arm (sepray.arms)"):
        if not isinstance(arm, Arm):
            raise UsageError(f"arms[{label!r}] must be an Arm (sepray.arms), not {arm!r}")


def require_names(name: str, value: object, wanted: str) -> list[tuple[str, Any]]:
    """Return the items of a dictionary with names as its keys; refuse anything else.

    Args:
        name: name of the field.
        value: what was given.
        wanted: what each name must have, in words.

    Raises:
        UsageError: the value is no such dictionary.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{name} must be a dictionary that gives each name {wanted}, not {value!r}")
    return list(value.items())

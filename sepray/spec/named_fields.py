"""The fields of ``StudySpec`` that are no plain values: configurations given by name, and fields without a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import tyro

from .. import registry, shipped
from ..arms import Arm
from ..errors import UsageError
from ..identity import python_number
from . import published_settings
from .field_types import require_arms, require_names, require_settings, require_space, require_texts, require_type
from .settings import separator_name

Given = Annotated[
    Mapping[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="",
        instance_from_str=lambda texts: {},
        is_instance=lambda value: isinstance(value, Mapping),
        str_from_instance=lambda value: [""],
    ),
    tyro.conf.Suppress,
]
"""Type of a field without a flag, which tyro must not look inside."""


class NamedConfig:
    """A field that takes a ``Config``, or the name of a module that has one (``module:name`` for a named one).

    The module is imported when the field is first read, so that everything else that is wrong with a command can be
    refused before torch is imported, which takes seconds.
    """

    def __init__(self, package: str) -> None:
        self.package = package

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: Any) -> None:
        if type(value).__module__ == "__main__":
            raise UsageError(f"put the Config of the {self.name} into a file of its own: models and workers import it")
        instance.__dict__[self.name] = value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError(self.name)  # so it has no default
        value = instance.__dict__[self.name]
        if isinstance(value, str):
            value = instance.__dict__[self.name] = registry.config(self.package, value)
        return value


def with_python_numbers(value: Any) -> Any:
    """Return a field without a flag with Python's numbers in the place of numpy's, which no storage takes.

    Args:
        value: a number, a distribution, an arm, or a dictionary of those or of dictionaries; whatever else it is, it is
            returned as it is.
    """
    if isinstance(value, Mapping):
        return {name: with_python_numbers(each) for name, each in value.items()}
    if isinstance(value, Arm):
        return replace(value, settings=with_python_numbers(value.settings))
    if isinstance(choices := getattr(value, "choices", None), tuple):
        return type(value)([python_number(choice) for choice in choices])
    return python_number(value)


def require_own_types(values: Mapping[str, Any]) -> None:
    """Refuse values of a study's own fields that are of a wrong type.

    Raises:
        UsageError: a value has a wrong type.
    """
    require_type("name", values["name"], str)
    require_type("seed", values["seed"], int)
    require_type("start", values["start"], str)
    require_texts("objective", values["objective"])
    require_texts("choose", values["choose"])
    require_space(values["space"])
    require_arms(values["arms"])
    require_names("fixed_settings", values["fixed_settings"], "a value")
    for name in ("reference_points", "controls", "first_settings"):
        require_settings(name, values[name])
    published_settings.require_epochs(values["reference_epochs"])


def published_space(separator: Any) -> shipped.SearchSpace:
    """Return the published search space of a separator, given by its name or its configuration.

    Raises:
        UsageError: there is no such separator, or it has no search space.
    """
    found = shipped.search_space(separator)
    if found is None:
        if isinstance(separator, str):
            registry.check("sepray.separators", separator)
        name = separator if isinstance(separator, str) else separator_name(separator)
        raise UsageError(
            f"{name} has no published search space: give the study a `space`, or put SPACE into "
            f"search_spaces/{name.rpartition('.')[2]}.py or into the separator's own file"
        )
    return found

"""The settings of a trained separator as a file: hyperparameters by name, and the study that found them.

The file is TOML. It is written here and read by ``tomllib``, which gives back equal values of equal types::

    separator = "cass"

    [hyperparameters]
    beta = 0.1
    "cross.maternal_to_fetal" = 0.01

    [origin]
    study = "cass-ecg"
    trial = "trial 7"
    task = "ecg"
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..disk.files import replace_file
from ..errors import UsageError
from ..identity import python_number
from ..module_names import given_name
from .keys import read_toml, refuse_unknown

Value = bool | int | float | str
"""Type of a hyperparameter."""

_HEADER = """\
# Settings of a separator, found by sepray; [origin] says in which study.
# Use them in a study of the same separator:
#   sepray run STUDY --settings FILE
# A name with a dot in it stands in quotes.
"""
_ORIGIN = ("study", "trial", "task")
_TOP = ("separator", "hyperparameters", "origin")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class SettingsError(UsageError):
    """Settings that a study was given do not fit its separator, which is known once the task's data is loaded.

    Attributes:
        field: ``"fixed_settings"`` or ``"first_settings"``.
        why: what is wrong with them, e.g. ``"has beta = 'x'; it must be a number"``.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field, self.why = field, why

    def __str__(self) -> str:
        """Return the message."""
        return f"{self.field} {self.why}"


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of a separator, and where they come from.

    Attributes:
        separator: name of the separator, as ``StudySpec`` takes it: ``cass``, ``cass:published``, or a module of the
            user's own.
        hyperparameters: hyperparameter -> its value, a number, a text or a truth value.
        study: name of the study that found them; empty where they come from elsewhere.
        trial: name that these settings have in that study, e.g. ``trial 7``; empty where they come from elsewhere.
        task: name of the task that they were found on; empty where they come from elsewhere.

    Raises:
        UsageError: a value cannot be written: it is not finite, or of another type.
    """

    separator: str
    hyperparameters: Mapping[str, Any]
    study: str = ""
    trial: str = ""
    task: str = ""

    def __post_init__(self) -> None:
        """Refuse values that a file cannot hold; keep a copy of the rest."""
        for name in ("separator", *_ORIGIN):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"{name} must be a text, not {getattr(self, name)!r}")
        if not self.separator:
            raise UsageError("separator is empty")
        object.__setattr__(self, "hyperparameters", {k: _checked(k, v) for k, v in self.hyperparameters.items()})

    def __str__(self) -> str:
        """Return the text of the file."""
        return self.toml()

    def toml(self) -> str:
        """Return the text of the file, which begins with a comment on what it is and how to use it."""
        lines = [_HEADER, f"separator = {_text(self.separator)}", "", "[hyperparameters]"]
        lines += [f"{_key(name)} = {_written(value)}" for name, value in self.hyperparameters.items()]
        if origin := [f"{name} = {_text(getattr(self, name))}" for name in _ORIGIN if getattr(self, name)]:
            lines += ["", "[origin]", *origin]
        return "\n".join(lines) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the settings to a file, whole or not at all; a file that is there is replaced.

        Raises:
            OSError: the file cannot be written.
        """
        replace_file(Path(path), self.toml())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the settings in a file.

        Raises:
            UsageError: the file cannot be read, is not TOML, has an unknown key or lacks one, or a value has the wrong
                type.
        """
        try:
            return cls._parsed(read_toml(Path(path)))
        except UsageError as error:
            raise UsageError(f"settings file {path}: {error}") from None

    @classmethod
    def _parsed(cls, content: Mapping[str, Any]) -> Self:
        refuse_unknown(content, _TOP, "")
        for name in _TOP[:2]:
            if name not in content:
                shown = name if name == "separator" else f"the table [{name}]"
                raise UsageError(f"{shown} is missing; a file that works: sepray show STUDY --settings")
        origin = content.get("origin", {})
        for name, table in (("hyperparameters", content["hyperparameters"]), ("origin", origin)):
            if not isinstance(table, dict):
                raise UsageError(f"{name} must be a table, [{name}], not {table!r}")
        refuse_unknown(origin, _ORIGIN, "origin.")
        return cls(content["separator"], content["hyperparameters"], **origin)

    def check(self, separator: str) -> None:
        """Refuse settings that are for another separator than the one of this name (``separator_name``).

        Raises:
            UsageError: the settings are for another separator.
        """
        if separator != self.separator:
            raise UsageError(f"the settings are for {self.separator}, not for {separator}")


def separator_name(config: Any) -> str:
    """Return the name of a separator's configuration as ``StudySpec`` takes it (``given_name``)."""
    return given_name(type(config).__module__)


def _checked(name: str, value: object) -> Value:
    """Return a hyperparameter's value; refuse one that TOML cannot give back, or that no separator takes."""
    value = python_number(value)
    if isinstance(value, dict):
        raise UsageError(f'hyperparameter {name} is a table; a name with a dot in it needs quotes: "{name}.x" = 1')
    if not isinstance(value, Value):
        raise UsageError(f"hyperparameter {name} must be a number, a text or true or false, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"hyperparameter {name} must be finite, not {value}")
    return value


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)  # the shortest float that reads back equal


def _text(value: str) -> str:
    """Return a TOML string: it has the escapes of JSON, but TOML wants U+007F (delete) escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)

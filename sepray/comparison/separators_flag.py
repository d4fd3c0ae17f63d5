"""Reads an entry of ``--separators``: a name, a separator, its configuration or published setting, and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .. import registry
from ..errors import UsageError

WARM_START = "start"
"""Field of a ``Config`` that names another separator, whose own settings are given as ``start.FIELD=VALUE``."""
_FORM = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9._-]*)=)?(\S.*?)((?:\s+[^\s=]+=\S*)*)\s*")
_FORM_WORDS = "[NAME=]SEPARATOR[:CONFIGURATION or :SETTING] [FIELD=VALUE ...]"


@dataclass(frozen=True)
class NamedSeparator:
    """An entry of ``--separators``: ``[NAME=]SEPARATOR[:CONFIGURATION or :SETTING] [FIELD=VALUE ...]``.

    Attributes:
        name: name that it was given; empty for none.
        separator: name of the separator, or of a user's own module.
        wanted: name of a configuration or of a published setting; empty for none.
        settings: field or hyperparameter -> value, as texts.
    """

    name: str
    separator: str
    wanted: str
    settings: Mapping[str, str]

    @property
    def short(self) -> str:
        """Name of the separator without the package of a user's own module."""
        return self.separator.rpartition(".")[2]

    @property
    def words(self) -> str:
        """Separator and settings, without the user's name for them: ``neural_egg:paper, start glo_masking:paper``."""
        what = f"{self.short}:{self.wanted}" if self.wanted else self.short
        return ", ".join([what, *(f"{name} {value}" for name, value in self.settings.items())])

    @property
    def key(self) -> str:
        """Name of the entry in the comparison, in the characters that names of studies and metrics may have."""
        return slug(self.name or self.words)


def read(text: str) -> NamedSeparator:
    """Return an entry of ``--separators``.

    The names of published settings may have blanks, so settings are what is at the end: ``FT=cass:CASS with cross
    adversarial training width=8``.

    Raises:
        UsageError: the text does not have that form.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"--separators {text!r} does not have the form {_FORM_WORDS}")
    name, what, given = found.groups()
    separator, _, wanted = what.partition(":")
    settings = {field: value for field, _, value in (each.partition("=") for each in given.split())}
    return NamedSeparator(name or "", separator, wanted, settings)


def refuse_stray_settings(separators: Iterable[str]) -> None:
    """Refuse a setting that the shell has split from its separator, because the two were not in one pair of quotes.

    Raises:
        UsageError: an entry has the name of a field of another one's ``Config``.
    """
    before = ""
    for text in separators:
        entry = read(text)
        if entry.name and before:
            fields = registry.fields("sepray.separators", read(before).separator) or ()
            if entry.name.replace("-", "_") in fields:
                raise UsageError(f"--separators: put a separator and its settings in quotes: '{before} {text}'")
        before = text


def slug(text: str) -> str:
    """Return a text in the characters that names of studies and metrics may have."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")

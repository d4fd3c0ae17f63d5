"""Checks of configurations of separators, each refused in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from ..errors import UsageError

_LAYERS = ("blocks", "depth", "layers", "levels", "stages")  # last words of the names of fields that count layers
_MOST_LAYERS = 1000


def check_counts(config: object, names: Iterable[str]) -> None:
    """Check that these fields are at least 1, that numbers of layers are possible, and that Adam's moments decay.

    Raises:
        UsageError: a field is below 1; a field that counts layers is above 1000 (the settings of another user's model
            may say millions, and building them takes hours); or one of ``betas``, if there are any, is outside [0, 1).
    """
    for name in names:
        if getattr(config, name) < 1:
            raise UsageError(f"{name} must be at least 1, not {getattr(config, name)}")
        if name.rpartition("_")[2] in _LAYERS and getattr(config, name) > _MOST_LAYERS:
            raise UsageError(f"{name} must be at most {_MOST_LAYERS}, not {getattr(config, name)}")
    betas = getattr(config, "betas", ())
    if not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"betas must be at least 0 and below 1, not {betas}")


def check_choice(config: object, name: str, literal: Any) -> None:
    """Check that a field has one of the values of a ``Literal``.

    Raises:
        UsageError: the field has another value.
    """
    value, choices = getattr(config, name), get_args(literal)
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

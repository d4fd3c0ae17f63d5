"""Checks of the values in a task's configuration. Imports nothing from sepray but the vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from ..contracts import SPLITS
from ..errors import UsageError
from ..task_checks import LEAST_ITEMS

Limits = Mapping[str, tuple[float, float]]
"""Lowest and highest value of each field."""

SEED = (0, 2**63 - 1)
"""Lowest and highest random seed."""


def items(most: int) -> dict[str, tuple[float, float]]:
    """Return the limits of the fields ``train``, ``validation`` and ``test``: the number of mixtures in each split."""
    return dict.fromkeys(SPLITS, (LEAST_ITEMS, most))


def check(config: Any, limits: Limits) -> None:
    """Refuse fields of a dataclass that are out of their limits, or declared ``int`` and not whole numbers.

    Raises:
        UsageError: a field is out of its limits; one line names the first.
    """
    whole = {field.name for field in dataclasses.fields(config) if field.type in ("int", int)}
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if name in whole and not isinstance(value, Integral):
            raise UsageError(f"{name} must be a whole number between {low} and {high}, not {value}")
        if not low <= value <= high:
            raise UsageError(f"{name} must be between {low} and {high}, not {value}")


def check_ranges(config: Any, limits: Limits) -> None:
    """Refuse fields that are not a lowest and a highest value, in this order, within their limits.

    Raises:
        UsageError: a field is no such pair; one line names the first.
    """
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if len(value) != 2 or not low <= value[0] <= value[1] <= high:
            raise UsageError(f"{name} must be two rising numbers between {low} and {high}, not {value}")


def check_chosen(names: tuple[str, ...], mixture: str | None, known: tuple[str, ...] | None, kind: str) -> None:
    """Refuse sources that cannot be chosen from a recording, and a mixture of one source alone.

    Args:
        names: the chosen sources.
        mixture: "chosen" (the chosen sources are mixed) or "all" (everything in the recording is); None for a task
            without such a field, which mixes the chosen sources.
        known: names of the sources of a recording; None: any.
        kind: what a source is called, e.g. "instrument".

    Raises:
        UsageError: unknown, none or repeated names, another ``mixture``, or one name in a "chosen" mixture.
    """
    of_known = "" if known is None else f" of {', '.join(known)}"
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{kind}s must be one or more{of_known}, each once, not {', '.join(names) or 'none'}")
    if known is not None and (unknown := set(names) - set(known)):
        raise UsageError(f"there is no {kind} {min(unknown)!r}; there are: {', '.join(known)}")
    if mixture not in ("chosen", "all", None):
        raise UsageError(f"mixture must be chosen or all, not {mixture!r}")
    if len(names) == 1 and mixture != "all":
        other = "" if mixture is None else ", or mixture = all"
        raise UsageError(f"one {kind} alone is no mixture: choose more{other}")

"""Published settings in a study: the number of epochs that they are trained for, and the names of their rows."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UsageError
from .field_types import FieldError, require_names

PUBLISHED, STUDY, NONE = "published", "study", "none"
BUDGETS = (PUBLISHED, STUDY, NONE)
"""Values of ``--reference-budget``."""


def check_budget(value: str) -> None:
    """Refuse a value that ``--reference-budget`` does not take.

    Raises:
        FieldError: the value is none of ``BUDGETS``.
    """
    if value not in BUDGETS:
        raise FieldError("reference_budget", f"must be one of {', '.join(BUDGETS)}, not {value!r}")


def require_epochs(epochs: object) -> None:
    """Refuse published budgets that are no whole numbers of epochs, by the name of the setting.

    Raises:
        UsageError: an entry is no whole number of epochs.
    """
    for label, value in require_names("reference_epochs", epochs, "a number of epochs"):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"reference_epochs[{label!r}] must be a whole number above 0, not {value!r}")


def own_epochs(label: str, budget: str, published: Mapping[str, int]) -> int | None:
    """Return for how many epochs a published setting is trained; None: for as many as the study's trials are."""
    return published.get(label) if budget == PUBLISHED else None


def trained_words(trained: int, published: int | None) -> str:
    """Return for how many epochs a published setting was trained, beside its paper's: ``20 of 500 epochs``."""
    epochs = f"{trained} epoch{'' if trained == 1 else 's'}"
    if published is None:
        return f"{epochs}; no published number"
    return epochs if trained >= published else f"{trained} of {published} epochs"


def row_title(label: str, trained: int, published: int | None) -> str:
    """Return the name of a row: only one that was trained for as long as in the paper is called the paper's."""
    whole = published is not None and trained >= published
    return f"{'paper: ' if whole else ''}{label} ({trained_words(trained, published)})"

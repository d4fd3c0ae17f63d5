"""Tune's callbacks without a state that Tune could save: sepray never lets it restore an experiment."""

from __future__ import annotations

from typing import Any

from ray import tune


class UnsavedCallback(tune.Callback):  # type: ignore[misc] # Ray has no types
    """Base of the callbacks that Tune would otherwise pickle with all that they hold."""

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state for Tune to pickle."""
        return {}

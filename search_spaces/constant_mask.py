"""Search space of the constant mask: empty, as it has no hyperparameters."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

PAPER: dict[str, dict[str, float]] = {"constant mask": {}}

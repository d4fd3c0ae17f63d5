"""The constant mask has no hyperparameters: a study of it gives its figures, and there is nothing to search."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

PAPER: dict[str, dict[str, float]] = {"constant mask": {}}

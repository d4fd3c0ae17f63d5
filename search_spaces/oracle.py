"""An oracle has no hyperparameters; which one it is, and its transform, are its configuration."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

PAPER: dict[str, dict[str, float]] = {"oracle": {}}

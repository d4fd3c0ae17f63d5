"""Search space of one mask for each bin: empty, as it has no hyperparameters."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

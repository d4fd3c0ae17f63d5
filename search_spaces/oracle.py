"""Search space of the oracles: empty, as kind and spectrogram are configuration, and there are no hyperparameters."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

PAPER: dict[str, dict[str, float]] = {"oracle": {}}

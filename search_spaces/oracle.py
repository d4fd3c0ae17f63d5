"""Search space of the oracles: empty, as kind and spectrogram are fields of the configuration."""

from optuna.distributions import BaseDistribution

SPACE: dict[str, BaseDistribution] = {}

PAPER: dict[str, dict[str, float]] = {"oracle": {}}

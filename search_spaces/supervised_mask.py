"""Search space of the supervised mask; the learning rates of the authors' code and of the paper's text come first."""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(1e-5, 1e-2, log=True)}

PAPER: dict[str, dict[str, float]] = {
    "authors' code": {"learning_rate": 1e-3},
    "paper's text": {"learning_rate": 1e-2},
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs for the supervised baseline."""

"""Search space of ``cass:published``, and the settings of the authors' code, tried first.

The code's learning rate is meant for a thousand epochs; the ranges hold both that and rates that work in a few dozen.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "l1_weight": FloatDistribution(0.5, 50.0, log=True),
    "feature_weight": FloatDistribution(0.0, 5.0),
    "gan_weight": FloatDistribution(0.0, 1.0),
    "code_weight": FloatDistribution(1e-4, 1.0, log=True),
    "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0),
    "autoencoder_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-6, 5e-3, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "authors' code": {
        "l1_weight": 5.0,
        "feature_weight": 1.0,
        "gan_weight": 0.1,
        "code_weight": 0.01,
        "cross.{i}_to_{j}": 0.1,
        "autoencoder_learning_rate": 2e-5,
        "discriminator_learning_rate": 2e-5,
    },
}

PAPER_EPOCHS: dict[str, int] = {"authors' code": 1000}
"""Largest number of epochs: the authors' code stops after 20 of them without a better error."""

_AUTOENCODER = ("l1_weight", "code_weight", "autoencoder_learning_rate")
_ADVERSARY = (*_AUTOENCODER, "feature_weight", "gan_weight", "discriminator_learning_rate")
ARMS: dict[str, Arm] = {
    "without adversary": Arm({"gan_weight": 0.0, "feature_weight": 0.0}, _AUTOENCODER),
    "without cross terms": Arm({"cross.*": 0.0}, _ADVERSARY),
    "with cross terms": Arm({}, (*_ADVERSARY, "cross.{i}_to_{j}")),
}

"""Search space of CASS, the paper's settings (section 4), tried first, and its arms: which critics see what.

``cross.{i}_to_{j}`` stands for every ordered pair of the task's sources. The paper's learning rates are meant for 500
epochs and too small for the few dozen of a study; the ranges hold both those and rates that work in a study.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "beta": FloatDistribution(1e-5, 0.2, log=True),
    "cross.{i}_to_{j}": FloatDistribution(0.0, 1.0),
    "autoencoder_learning_rate": FloatDistribution(1e-5, 3e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-6, 5e-3, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "baseline autoencoder": {
        "adversarial": 0,
        "beta": 0.1,
        "cross.{i}_to_{j}": 0.0,
        "autoencoder_learning_rate": 1e-5,
        "discriminator_learning_rate": 1e-6,
    },
    "CASS": {
        "adversarial": 1,
        "beta": 0.1,
        "cross.{i}_to_{j}": 0.0,
        "autoencoder_learning_rate": 1e-5,
        "discriminator_learning_rate": 1e-6,
    },
    "CASS with cross adversarial training": {
        "adversarial": 1,
        "beta": 0.1,
        "cross.{i}_to_{j}": 0.01,
        "autoencoder_learning_rate": 1e-5,
        "discriminator_learning_rate": 1e-6,
    },
}

PAPER_EPOCHS: dict[str, int] = dict.fromkeys(PAPER, 500)
"""The epochs of figures 4 and 5; the paper's text gives none."""

_CASS = ("beta", "autoencoder_learning_rate", "discriminator_learning_rate")
ARMS: dict[str, Arm] = {
    "no adversaries": Arm({"adversarial": 0}, ("autoencoder_learning_rate",)),
    "CASS": Arm({"adversarial": 1, "cross.*": 0.0}, _CASS),
    "cross {i} to {j}": Arm({"adversarial": 1, "cross.*": 0.0}, (*_CASS, "cross.{i}_to_{j}")),
    "cross all": Arm({"adversarial": 1}, (*_CASS, "cross.{i}_to_{j}")),
}

"""Search space of S-SepGAN; the settings of the paper's notebook come first."""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "identity_weight": FloatDistribution(0.0, 5.0),
    "adversarial_weight": FloatDistribution(0.0, 2.0),
    "paired_weight": FloatDistribution(1.0, 100.0, log=True),
    "rejection_weight": FloatDistribution(0.0, 2.0),
    "generator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "S-SepGAN": {
        "identity_weight": 0.5,
        "adversarial_weight": 1.0,
        "paired_weight": 10.0,
        "rejection_weight": 1.0,
        "generator_learning_rate": 2e-4,
        "discriminator_learning_rate": 2e-4,
    },
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs."""

_GENERATORS = ("identity_weight", "paired_weight", "generator_learning_rate")
_ADVERSARY = (*_GENERATORS, "adversarial_weight", "discriminator_learning_rate")
ARMS: dict[str, Arm] = {
    "no adversary": Arm({"adversarial_weight": 0.0}, _GENERATORS),
    "mixtures not rejected": Arm({"rejection_weight": 0.0}, _ADVERSARY),
    "S-SepGAN": Arm({}, (*_ADVERSARY, "rejection_weight")),
}

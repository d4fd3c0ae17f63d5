"""Search space of CycleGAN on waveforms; the settings of the S-SepGAN paper's notebook come first."""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "identity_weight": FloatDistribution(0.0, 20.0),
    "adversarial_weight": FloatDistribution(0.0, 2.0),
    "cycle_weight": FloatDistribution(0.1, 100.0, log=True),
    "generator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "CycleGAN": {
        "identity_weight": 0.5,
        "adversarial_weight": 1.0,
        "cycle_weight": 10.0,
        "generator_learning_rate": 2e-4,
        "discriminator_learning_rate": 2e-4,
    },
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs."""

_ADVERSARY = ("adversarial_weight", "cycle_weight", "generator_learning_rate", "discriminator_learning_rate")
ARMS: dict[str, Arm] = {
    "no adversary": Arm({"adversarial_weight": 0.0}, ("identity_weight", "cycle_weight", "generator_learning_rate")),
    "no identity term": Arm({"identity_weight": 0.0}, _ADVERSARY),
    "CycleGAN": Arm({}, (*_ADVERSARY, "identity_weight")),
}

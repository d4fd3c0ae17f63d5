"""Search space of SSGAN, and the paper's setting (Table 1), tried first.

``critic_weight.{i}`` stands for every source of the task. The published setting leaves these weights at their defaults:
the paper's 0.25, 0.25, 0.4 and 0.1 for bass, drums, vocals and other, and 1/K for any other K sources. The paper gives
no ``noise``; 0.1 is sepray's choice. The ranges of the learning rates hold the paper's 1e-4 and rates that learn within
a study's few epochs.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "critic_weight.{i}": FloatDistribution(0.0, 1.0),
    "energy_weight": FloatDistribution(0.0, 20.0),
    "gradient_penalty": FloatDistribution(0.1, 100.0, log=True),
    "noise": FloatDistribution(0.0, 1.0),
    "separator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "critic_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "SSGAN": {
        "energy_weight": 10.0,
        "gradient_penalty": 10.0,
        "noise": 0.1,
        "separator_learning_rate": 1e-4,
        "critic_learning_rate": 1e-4,
    },
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs."""

_GAN = ("critic_weight.{i}", "gradient_penalty", "noise", "separator_learning_rate", "critic_learning_rate")
# Where the energy term is alone, its weight scales the whole loss, which makes no difference to Adam.
ARMS: dict[str, Arm] = {
    "energy term alone (ENG)": Arm(
        {"critic_weight.*": 0.0, "energy_weight": 10.0}, ("noise", "separator_learning_rate")
    ),
    "without energy term (GAN)": Arm({"energy_weight": 0.0}, _GAN),
    "SSGAN": Arm({}, (*_GAN, "energy_weight")),
}

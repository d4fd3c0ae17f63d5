"""Search space of adversarial semi-supervised separation, and the published setting, tried first.

The ranges of the learning rates hold the published 5e-5 and rates that learn within a study's few epochs.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {
    "alpha": FloatDistribution(1e-5, 1.0, log=True),
    "beta": FloatDistribution(1e-5, 1.0, log=True),
    "gradient_penalty": FloatDistribution(0.1, 100.0, log=True),
    "separator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "critic_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "adversarial semi-supervised": {
        "alpha": 1e-3,
        "beta": 1e-3,
        "gradient_penalty": 10.0,
        "separator_learning_rate": 5e-5,
        "critic_learning_rate": 5e-5,
    },
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: neither the text nor any code that is known gives a number of epochs."""

ARMS: dict[str, Arm] = {
    "paired items alone": Arm({"unpaired": 0}, ("separator_learning_rate",)),
    "adversarial semi-supervised": Arm({"unpaired": 1}, tuple(SPACE)),
}

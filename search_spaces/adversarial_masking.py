"""Search space of adversarial masking. The paper's magnitude weight is 1; it gives no learning rates."""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "magnitude_weight": FloatDistribution(0.01, 10.0, log=True),
    "mask_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "discriminator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "adversarial masking": {
        "magnitude_weight": 1.0,
        "mask_learning_rate": 2e-4,
        "discriminator_learning_rate": 2e-4,
    },
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs for adversarial masking."""

"""Search space of GLO masking. The paper gives no values.

``mixture_weight`` is its lambda (eq. 6), which two-stage training does without.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "mixture_weight": FloatDistribution(0.1, 10.0, log=True),
    "learning_rate": FloatDistribution(1e-4, 3e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "GLO masking": {"mixture_weight": 1.0, "learning_rate": 2e-3},
    "learning rate of the paper's NES": {"mixture_weight": 1.0, "learning_rate": 1e-2},
}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper gives no number of epochs for GLO masking."""

"""Search space of the latent GAN: the GANs' updates, and the weights of the terms of the search for codes.

The learning rates are published, and so is a sweep of the critics' weight: 0, and from 2^-8 to 2.
"""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "gradient_penalty": FloatDistribution(0.1, 100.0, log=True),
    "critic_weight": FloatDistribution(0.0, 2.0),
    "smoothness": FloatDistribution(0.0, 10.0),
    "generator_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "critic_learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
}

PAPER: dict[str, dict[str, float]] = {
    "latent GAN": {
        "gradient_penalty": 10.0,
        "critic_weight": 2.0**-6,
        "smoothness": 0.1,
        "generator_learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
    },
    "likelihood alone": {
        "gradient_penalty": 10.0,
        "critic_weight": 0.0,
        "smoothness": 0.0,
        "generator_learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
    },
}

PAPER_EPOCHS: dict[str, int] = dict.fromkeys(PAPER, 400)
"""Epochs of the public code; the paper's text gives no number."""

"""Search space of CycleGAN on waveforms; the settings of the S-SepGAN paper's notebook come first."""

from optuna.distributions import BaseDistribution, FloatDistribution

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

CONTROLS: dict[str, dict[str, float]] = {
    "no identity term": {"identity_weight": 0.0},
    "no adversary": {"adversarial_weight": 0.0},
}

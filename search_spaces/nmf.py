"""Search space of sparse NMF, and the published sparsity of 1 (Neural Egg Separation, appendix B)."""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {"sparsity": FloatDistribution(0.0, 8.0)}

PAPER: dict[str, dict[str, float]] = {"sparse NMF": {"sparsity": 1.0}}

CONTROLS: dict[str, dict[str, float]] = {"plain NMF": {"sparsity": 0.0}}

"""Search space of sparse NMF, and the published sparsity of 1 (Neural Egg Separation, appendix B)."""

from optuna.distributions import BaseDistribution, FloatDistribution

from sepray.arms import Arm

SPACE: dict[str, BaseDistribution] = {"sparsity": FloatDistribution(0.0, 8.0)}

PAPER: dict[str, dict[str, float]] = {"sparse NMF": {"sparsity": 1.0}}

PAPER_EPOCHS: dict[str, int] = {}
"""Empty: the paper's factors are updated until convergence (appendix B)."""

ARMS: dict[str, Arm] = {"plain NMF": Arm({"sparsity": 0.0}), "sparse NMF": Arm({}, ("sparsity",))}

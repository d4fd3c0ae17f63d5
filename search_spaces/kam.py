"""Search space of kernel additive modelling: its iterations and the sizes of its kernels. Nothing is learned.

A size matters only where a source has that kernel, so a study is best given the sizes that its sources need. The paper
leaves the sizes to the user, so no settings are called published: the separator's defaults are sepray's choice.
"""

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "iterations": IntDistribution(1, 8),
    "horizontal_seconds": FloatDistribution(0.05, 2.0, log=True),
    "vertical_hertz": FloatDistribution(50.0, 2000.0, log=True),
    "cross_seconds": FloatDistribution(0.02, 0.5, log=True),
    "cross_hertz": FloatDistribution(10.0, 400.0, log=True),
    "repetitions": IntDistribution(1, 8),
}

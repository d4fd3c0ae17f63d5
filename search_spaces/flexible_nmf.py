"""Search space of the flexible framework: its spectral patterns, and its iterations on a mixture.

The paper's own settings differ from one data set to another, so none are called published: the separator's defaults are
sepray's choice.
"""

from optuna.distributions import BaseDistribution, IntDistribution

SPACE: dict[str, BaseDistribution] = {
    "components": IntDistribution(4, 100, log=True),
    "iterations": IntDistribution(5, 200, log=True),
}

"""Search space of neural egg separation.

``start_fraction`` is the paper's C, the share of a mixture that the constant start gives to the unobserved source; with
another start it is not used. The learning rates of the authors' code and of the paper's text come first.

The starts are no arms. An arm gives values to hyperparameters, which a trial can choose. The estimates of another
separator are data: the driver has that separator trained once for the search, whose trials share its estimates, and
once for each seed of the retrainings, which are charged for it.
So each start is a study of its own. A comparison gives these studies equal budgets and the same seeds::

    sepray run compare_separators --separators NES=neural_egg "FT=neural_egg:paper start=glo_masking:paper"
"""

from optuna.distributions import BaseDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "start_fraction": FloatDistribution(0.05, 1.0),
}

PAPER: dict[str, dict[str, float]] = {
    "authors' code, speech": {"learning_rate": 1e-3, "start_fraction": 0.5},
    "authors' code, music": {"learning_rate": 1e-3, "start_fraction": 0.1},
    "paper's text": {"learning_rate": 1e-2, "start_fraction": 0.5},
}

PAPER_EPOCHS: dict[str, int] = dict.fromkeys(PAPER, 250)
"""10 iterations of 25 epochs (section 3)."""

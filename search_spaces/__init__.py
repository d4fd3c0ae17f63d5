"""One file for each separator: its search space as Optuna distributions, and its published settings."""

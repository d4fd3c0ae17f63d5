"""Optuna: the trials of a study, the next ones, and how each of them ended."""

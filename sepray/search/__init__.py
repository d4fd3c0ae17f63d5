"""Optuna: which trials exist, which come next, and how each one ended."""

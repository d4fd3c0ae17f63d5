"""Distributed hyperparameter studies of adversarial source separators."""

__version__ = "0.1.0"

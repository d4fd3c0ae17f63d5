"""Separators, one file for each method: its Config, losses and phases. The registry finds a file by its name."""

"""One file a separator: what a study may vary, as Optuna distributions, and the published settings."""

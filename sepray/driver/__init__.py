"""Runs a study from its description to its registered model, and tells Optuna, Ray and MLflow about each other."""

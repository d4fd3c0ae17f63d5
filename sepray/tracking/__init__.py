"""MLflow: runs through a durable outbox, packaged models, the registry. The only package that imports mlflow."""

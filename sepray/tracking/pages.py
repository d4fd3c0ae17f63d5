"""Addresses of MLflow's pages. Imports no mlflow."""

from __future__ import annotations

from urllib.parse import urlsplit

LOCAL = "http://127.0.0.1:5000"
"""Address at which ``mlflow ui`` without arguments shows a local database."""


def is_server(uri: str) -> bool:
    """Say whether an address is that of a server, which has pages; a database needs ``mlflow ui`` to show it."""
    return uri.startswith(("http://", "https://"))


def runs_page(uri: str, experiment_id: str) -> str:
    """Return the address of the page with an experiment's runs; it holds no login.

    Args:
        uri: MLflow's address.
        experiment_id: id of the experiment.
    """
    server = LOCAL
    if is_server(uri):
        parts = urlsplit(uri)
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"

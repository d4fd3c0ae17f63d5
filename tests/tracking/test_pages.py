"""Addresses of MLflow's pages: those of a server are its own, without a login."""

import pytest

from sepray.tracking.pages import is_server, runs_page


@pytest.mark.parametrize(
    ("uri", "server", "place"),
    [
        ("sqlite:///mlflow.db", False, "http://127.0.0.1:5000"),
        ("http://lab:5001", True, "http://lab:5001"),
        ("https://me:pass@lab/mlflow/", True, "https://lab/mlflow"),
        ("https://a@b@lab/?x=1", True, "https://lab"),
        ("httpx://lab", False, "http://127.0.0.1:5000"),
    ],
)
def test_page_is_of_the_server_or_of_mlflow_ui(uri, server, place):
    assert is_server(uri) is server
    assert runs_page(uri, "17") == f"{place}/#/experiments/17/runs?workflowType=machine_learning"

"""A folder of the test's own, and two packaged models of a user's separator."""

import pytest

from .packaged import two_models


@pytest.fixture(scope="session")
def packaged(tmp_path_factory):
    with two_models(tmp_path_factory.mktemp("models")) as models:
        yield models


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

"""Files go to a folder of this machine only where it is one of their experiment's, and logins to MLflow alone."""

import pytest

from sepray.tracking.artifact_locations import (
    TRUSTED,
    refusal,
    refusal_of_host,
    refusal_outside_experiment,
    trusted_hosts_only,
)
from sepray.tracking.connection import import_mlflow


@pytest.mark.parametrize(
    ("place", "experiment"),
    [
        ("/a/mlruns/e/run/artifacts", "/a/mlruns/e"),
        ("file:///a/b%20c/run", "/a/b c"),
        ("mlruns/0/run/artifacts", "./mlruns/0"),
        ("s3://bucket/0/run", "s3://bucket/0"),
        ("mlflow-artifacts:/0/run", "mlflow-artifacts:/0"),
    ],
)
def test_places_of_the_experiment_are_taken(place, experiment):
    assert refusal_outside_experiment(place, experiment) == ""


@pytest.mark.parametrize(
    ("place", "experiment"),
    [
        ("/home/me", "/a/mlruns/e"),
        ("/a/mlruns/e/../../../home/me", "/a/mlruns/e"),
        ("file:///home/me", "/a/mlruns/e"),
        ("file://host/home/me", "/a/mlruns/e"),
        ("../home", "/a/mlruns/e"),
        ("/home/me", "s3://bucket/0"),
    ],
)
def test_other_folders_are_refused(place, experiment):
    assert refusal_outside_experiment(place, experiment).startswith(
        f"its files would go to {place}, which is not below its exp"
    )


def test_links_below_the_experiments_folder_are_refused(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "mlruns").symlink_to("disk")
    assert refusal_outside_experiment(f"{tmp_path}/mlruns/e/run", f"{tmp_path}/mlruns/e") == ""
    (tmp_path / "disk" / "e").mkdir()
    (tmp_path / "disk" / "e" / "run").symlink_to(tmp_path)
    assert "e/run is a link" in refusal_outside_experiment(f"{tmp_path}/mlruns/e/run/artifacts", f"{tmp_path}/mlruns/e")


LAB = "http://me:secret@mlflow.lab:5000/prefix"


@pytest.mark.parametrize(
    "place",
    [
        "mlflow-artifacts:/0/run",
        "mlflow-artifacts://mlflow.lab:5000/0/run",
        "http://MLflow.lab:5000/api/2.0/mlflow-artifacts/artifacts/0",
        "http://me:secret@mlflow.lab:5000/api",
        "s3://bucket/0",
        "abfss://files@lab.dfs.core.windows.net/0",
        "models:/m-0a",
        "/a/mlruns/e",
    ],
)
def test_hosts_that_get_a_login_are_those_of_mlflow(place):
    assert refusal_of_host(place, LAB) == ""


@pytest.mark.parametrize(
    "place",
    [
        "http://elsewhere/api/2.0/mlflow-artifacts/artifacts/0",
        "HTTPS://elsewhere/api",
        "http://mlflow.lab/api",
        "http://mlflow.lab:5000@elsewhere/api",
        "http://mlflow.lab:5000\\@elsewhere/api",
        "http:elsewhere/api",
        "mlflow-artifacts://elsewhere/0/run",
        "abfss://files@lab.dfs.core.windows.net.elsewhere.org/0",
        "abfss://files@lab.elsewhere.org/0",
    ],
)
def test_hosts_of_others_get_no_login(place):
    assert f"{TRUSTED}=" in refusal_of_host(place, LAB)
    assert "secret" not in refusal_of_host(place, LAB)


def test_a_login_that_was_encrypted_stays_so():
    assert refusal_of_host("https://mlflow.lab/api", "https://mlflow.lab") == ""
    assert refusal_of_host("http://mlflow.lab:443/api", "https://mlflow.lab") != ""


def test_hosts_that_the_user_trusts_are_asked(monkeypatch):
    monkeypatch.setenv(TRUSTED, "files.lab, other.lab:81")
    for place in ("https://files.lab/api", "http://other.lab:81/api", "abfss://a@files.lab/0"):
        assert refusal_of_host(place, LAB) == ""
    assert refusal_of_host("http://other.lab/api", LAB) != ""


def test_mlflow_asks_no_other_host_for_what_a_database_names():
    mlflow = import_mlflow()
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    other = "http://elsewhere/api/2.0/mlflow-artifacts/artifacts/0"
    for _ in range(2):
        with trusted_hosts_only("http://mlflow.lab:5000"):
            with pytest.raises(mlflow.MlflowException, match="not the host of MLflow's address"):
                get_artifact_repository(other)
            own = get_artifact_repository("mlflow-artifacts:/0/run", tracking_uri="http://mlflow.lab:5000")
            assert own.artifact_uri == "http://mlflow.lab:5000/api/2.0/mlflow-artifacts/artifacts/0/run"
        assert get_artifact_repository(other).artifact_uri == other


@pytest.mark.parametrize(
    ("experiment", "default", "is_taken"),
    [
        ("/shared/mlruns/7", "/shared/mlruns/0", True),
        ("file:///shared/mlruns/7", "/shared/mlruns/0", True),
        ("/home/me", "/shared/mlruns/0", False),
        ("/shared/mlruns/../../home/me", "/shared/mlruns/0", False),
        ("/home/me", "mlflow-artifacts:/0", False),
        ("/home/me", "/0", False),
        ("/home/me", None, False),
        ("/trusted/7", None, True),
        ("mlflow-artifacts:/7", None, True),
        ("s3://bucket/7", None, True),
    ],
)
def test_an_experiment_of_a_server_chooses_no_folder_of_this_machine(experiment, default, is_taken, monkeypatch):
    """Everybody who may create an experiment there may say where its files go."""
    monkeypatch.setenv(TRUSTED, "lab, /trusted")
    assert (refusal(f"{experiment}/run/artifacts", experiment, LAB, lambda: default) == "") is is_taken


def test_a_local_database_says_where_its_experiments_are():
    assert refusal("/a/mlruns/e/run", "/a/mlruns/e", "sqlite:////a/mlflow.db", lambda: "/elsewhere/0") == ""

import re
from pathlib import Path

import pytest

from sepray.errors import mask
from sepray.tracking.environment import artifact_location, environment_tags, resolve_uri


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:pw@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("cannot reach https://tok_123@host/x, sorry", "cannot reach https://***@host/x, sorry"),
        ("mysql+pymysql://a:p@ss/w@h/d", "mysql+pymysql://a:***@h/d"),
        ("https://h/p?token=abc&x=1", "https://h/p?token=***&x=1"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ("http://host:5000/a?x=1", "http://host:5000/a?x=1"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("me@example.org has 3 = 3", "me@example.org has 3 = 3"),
    ],
)
def test_secrets_leave_and_all_else_stays(text, masked):
    assert mask(text) == masked


def test_the_default_is_the_database_that_a_bare_mlflow_ui_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    assert resolve_uri("runs.db") == f"sqlite:///{tmp_path.resolve()}/runs.db"
    assert resolve_uri("sqlite:////elsewhere/m.db") == "sqlite:////elsewhere/m.db"
    assert resolve_uri("http://host:5000") == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert resolve_uri(None) == "http://other"


def test_artifacts_lie_beside_a_local_database_and_where_a_server_says():
    assert artifact_location("sqlite:////a/mlflow.db", "cass ecg/1") == "/a/mlruns/cass-ecg-1"
    assert artifact_location("http://host", "x") is None


def test_tags_name_versions_the_commit_and_the_lock_file(tmp_path):
    lock = tmp_path / "run.txt"
    lock.write_bytes(b"abc")
    tags = environment_tags(lock, Path(__file__).parent)
    assert tags["lock_file.sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert re.fullmatch(r"\d+\.\d+\.\d+", tags["version.python"])
    assert {"version.torch", "version.mlflow", "version.optuna", "version.ray", "platform"} <= set(tags)
    assert "mlflow.source.git.commit" not in environment_tags(None, tmp_path)

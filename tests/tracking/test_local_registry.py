"""The registry's file is read as MLflow itself writes it."""

import shutil
import sqlite3

import pytest

from sepray.tracking.connection import connect
from sepray.tracking.local_registry import missing_part


@pytest.fixture(scope="module")
def registry(empty_database, tmp_path_factory):
    """A registry with version 1 of the model ``cass``, which has the alias ``champion``, and a model without any."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    shutil.copyfile(empty_database, path)
    client = connect(f"sqlite:///{path}")
    client.create_registered_model("cass")
    client.create_registered_model("empty")
    client.create_model_version("cass", str(path.parent))
    client.set_registered_model_alias("cass", "champion", "1")
    return path


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("models:/cass@champion", None),
        ("models:/cass/1", None),
        ("models:/cas@champion", "there is no registered model 'cas'"),
        ("models:/cas/1", "there is no registered model 'cas'"),
        ("models:/cass@best", "no version of cass has the alias 'best'"),
        ("models:/empty@champion", "no version of empty has the alias 'champion'"),
        ("models:/cass/2", "cass has no version 2"),
        ("models:/empty/1", "empty has no version 1"),
        ("models:/m-0123456789abcdef", None),  # left to MLflow
        ("runs:/0123/model", None),
    ],
)
def test_it_says_what_is_missing(registry, model, missing):
    assert missing_part(model, f"sqlite:///{registry}") == missing


def test_what_it_does_not_understand_is_left_to_mlflow(registry, tmp_path):
    assert missing_part("models:/cas/1", "http://host:5000") is None
    assert missing_part("models:/cas/1", f"sqlite:///{tmp_path / 'none.db'}") is None
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("no database" * 100)
    assert missing_part("models:/cas/1", f"sqlite:///{tmp_path / 'text.db'}") is None
    shutil.copyfile(registry, tmp_path / "other.db")
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    other.execute("DROP TABLE registered_model_aliases")  # as another version of MLflow may have it
    other.close()
    assert missing_part("models:/cass@champion", f"sqlite:///{tmp_path / 'other.db'}") is None

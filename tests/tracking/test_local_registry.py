"""The registry's file is read as MLflow itself writes it."""

import shutil
import sqlite3

import pytest

from sepray.tracking.connection import connect
from sepray.tracking.local_registry import missing_part, model_folder


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


@pytest.fixture
def located(registry, tmp_path):
    """A copy of the registry whose version 1 has its files in ``tmp_path``, and a way to change its tables."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(registry, path)
    (tmp_path / "MLmodel").touch()

    def change(statement, *values):
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.execute(statement, values)
        connection.close()

    change("update model_versions set source = ?, storage_location = null", str(tmp_path))
    return f"sqlite:///{path}", change


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("models:/cass@champion", True),
        ("models:/cass/1", True),
        ("models:/cass/2", False),
        ("models:/cass@best", False),
        ("models:/cas/1", False),
        ("models:/m-0123456789abcdef", False),
        ("runs:/0123/model", False),
    ],
)
def test_folder_of_a_version_is_found_by_number_and_alias(located, tmp_path, model, found):
    assert model_folder(model, located[0]) == (tmp_path if found else None)


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("{folder}", True),
        ("file://{folder}", True),
        ("file://localhost{folder}", True),
        ("file://elsewhere{folder}", False),
        ("s3://bucket{folder}", False),
        ("mlflow-artifacts:{folder}", False),
        (".", False),  # of which folder?
        ("{folder}/none", False),
    ],
)
def test_only_folders_of_this_machine_with_a_model_are_found(located, tmp_path, monkeypatch, location, found):
    monkeypatch.chdir(tmp_path)
    uri, change = located
    change("update model_versions set source = 's3://x', storage_location = ?", location.format(folder=tmp_path))
    assert model_folder("models:/cass/1", uri) == (tmp_path if found else None)


def test_blanks_in_the_address_of_a_folder_are_decoded(located, tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "MLmodel").touch()
    located[1]("update model_versions set source = ?", f"file://{tmp_path}/a%20b")
    assert model_folder("models:/cass/1", located[0]) == tmp_path / "a b"


def test_files_of_a_logged_model_are_found_by_its_id(located, tmp_path):
    uri, change = located
    change("update model_versions set source = 'models:/m-0a1b', storage_location = ''")
    assert model_folder("models:/cass/1", uri) is None
    change(
        "insert into logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, "
        "last_updated_timestamp_ms, status, lifecycle_stage) values ('m-0a1b', 1, 'cass', ?, 0, 0, 2, 'active')",
        str(tmp_path),
    )
    assert model_folder("models:/cass/1", uri) == model_folder("models:/m-0a1b", uri) == tmp_path


def test_deleted_versions_and_names_of_several_workspaces_are_left_to_mlflow(located):
    uri, change = located
    change("update model_versions set current_stage = 'Deleted_Internal'")
    assert model_folder("models:/cass/1", uri) is None
    change("update model_versions set current_stage = 'None'")
    assert model_folder("models:/cass/1", uri) is not None
    change("create table copies as select * from model_versions")
    change("drop table model_versions")
    change("alter table copies rename to model_versions")
    change("insert into model_versions select * from model_versions")
    assert model_folder("models:/cass/1", uri) is None


def test_registries_that_are_no_local_files_are_left_to_mlflow(tmp_path):
    (tmp_path / "text.db").write_text("no database" * 100)
    for uri in ("http://host:5000", f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/text.db"):
        assert model_folder("models:/cass/1", uri) is None
    assert not (tmp_path / "none.db").exists()


def test_a_path_is_no_query(registry, tmp_path):
    """Another file was opened where a folder's name has a mark of URIs."""
    (tmp_path / "a?b#c%20").mkdir()
    shutil.copyfile(registry, tmp_path / "a?b#c%20" / "mlflow.db")
    missing = missing_part("models:/cas/1", f"sqlite:///{tmp_path / 'a?b#c%20' / 'mlflow.db'}")
    assert missing == "there is no registered model 'cas'"

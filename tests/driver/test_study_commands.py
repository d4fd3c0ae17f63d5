"""Commands on a study have the flags that say where its stores are, each alone and no more than are needed."""

from pathlib import Path

import pytest

from sepray.driver.study_commands import on_study
from sepray.spec.parts import Stores
from sepray.spec.study import StudySpec

SPEC = StudySpec(name="small", separator="cass", task="ecg", stores=Stores(tracking_uri="sqlite:///mlflow.db"))


def arguments(spec, *flags):
    line = on_study("show", spec, *flags)
    assert line.count("sepray show small") == 1
    return line.partition("sepray show small")[2].strip()


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SEPRAY_STORAGE", raising=False)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"storage": "sqlite:///b.db"}, "--storage sqlite:///b.db"),
        ({"storage": "postgresql://me:pw@h/b"}, "--storage 'postgresql://me:***@h/b'"),
        ({"storage_path": "s3://bucket"}, "--storage-path s3://bucket"),
        ({"tracking_uri": "http://lab"}, "--tracking-uri http://lab"),
        ({"tracking_uri": "http://me:pw@lab"}, ""),
        ({"tracking_uri": ""}, ""),
        ({"cache": Path("/data")}, "--cache /data"),
        (
            {"cache": Path("a b"), "tracking_uri": "http://lab", "storage_path": "c", "storage": "sqlite:///b.db"},
            "--storage sqlite:///b.db --storage-path c --tracking-uri http://lab --cache 'a b'",
        ),
    ],
)
def test_store_is_named_where_it_is_not_the_usual_one(changes, told):
    assert arguments(SPEC.changed(**changes)) == told


def test_flags_of_the_command_come_first():
    assert arguments(SPEC.changed(storage_path="c"), "--settings") == "--settings --storage-path c"


def test_server_of_the_environment_is_the_usual_one(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab")
    assert arguments(SPEC.changed(tracking_uri="http://lab")) == ""
    assert arguments(SPEC) == "--tracking-uri sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert arguments(SPEC) == ""


def test_storage_of_the_environment_is_the_usual_one(monkeypatch):
    monkeypatch.setenv("SEPRAY_STORAGE", "postgresql://me:pw@h/b")
    assert arguments(SPEC.changed(storage="postgresql://me:pw@h/b")) == ""
    assert arguments(SPEC.changed(storage="sqlite:///optuna.db")) == "--storage sqlite:///optuna.db"

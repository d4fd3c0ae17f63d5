"""Addresses of models are checked by their form, and in the registry."""

import contextlib
import sqlite3

import pytest

from sepray.errors import UnreachableError, UsageError
from sepray.models import address


@pytest.mark.parametrize(
    "model",
    ["models:/cass-ecg@champion", "models:/cass-ecg/3", "models:/m-0a1b2c3d", "runs:/0a1b/model", "pretrained:ecg"],
)
def test_addresses_of_models_pass(model):
    address.check_address(model)


@pytest.mark.parametrize(
    "model", ["models:cass", "models:/cass", "models:/cass/3/4", "models:/cass@", "runs:/", "none"]
)
def test_others_are_refused(model):
    with pytest.raises(
        UsageError, match=r"is (not the address of a model; give|neither a folder with a model .* nor an address)"
    ):
        address.check_address(model)


def test_models_that_do_not_come_with_sepray_are_refused_and_those_that_do_need_no_mlflow():
    with pytest.raises(UsageError, match=r"^no model 'pretrained:eeg' comes with sepray; there are: .*pretrained:ecg"):
        address.check_address("pretrained:eeg")
    assert address.require_models("http://127.0.0.1:9", "pretrained:ecg") == "http://127.0.0.1:9"  # which is not asked


def test_folder_with_a_model_passes(packaged):
    address.check_address(packaged.half)
    assert address.require_models("http://127.0.0.1:9", packaged.half) == "http://127.0.0.1:9"  # which is not asked


def test_registry_must_exist_and_have_the_model(tmp_path):
    with pytest.raises(UsageError, match=r"^there is no MLflow database sqlite:///.*/none\.db: is this the folder"):
        address.require_models("sqlite:///none.db", "models:/cass/1")
    with contextlib.closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute("create table registered_models (name text)")
    with pytest.raises(UsageError) as refusal:
        address.require_models(None, "folder", "models:/cass/1")
    assert str(refusal.value) == (
        f"models:/cass/1: there is no registered model 'cass' in sqlite:///{tmp_path}/mlflow.db"
    )


def test_address_of_mlflow_is_absolute_and_without_secrets_in_messages(tmp_path):
    (tmp_path / "own.db").touch()
    assert address.require_tracking("own.db") == f"sqlite:///{tmp_path}/own.db"
    with pytest.raises(UnreachableError) as refusal:
        address.require_tracking("http://me:secret@127.0.0.1:9")
    assert str(refusal.value).startswith("the tracking server http://me:***@127.0.0.1:9 does not answer: ")

"""Models that come with sepray: their names, where they lie, and when they are damaged."""

import hashlib
import json

import pytest

from sepray.errors import UsageError
from sepray.tracking import pretrained
from sepray.tracking.packaged_model import DIGEST, ModelError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two models, and a folder that is none."""
    for name in ("ppg", "ecg"):
        data = tmp_path / name / "separator"
        data.mkdir(parents=True)
        (data / "separator.json").write_text(f'{{"module": "separators.{name}"}}')
        (data / "weights.safetensors").write_bytes(b"weights")
        (tmp_path / name / "model.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


def digest(name):
    content = b"separator/separator.json\0" + f'{{"module": "separators.{name}"}}'.encode() + b"\0"
    return hashlib.sha256(content + b"separator/weights.safetensors\0weights\0").hexdigest()


def test_names_are_those_of_the_folders_with_a_description(folder):
    assert pretrained.names() == ["ecg", "ppg"]


def test_the_model_of_ecg_comes_with_sepray():
    assert "ecg" in pretrained.names()


@pytest.mark.parametrize(
    ("address", "is_one"), [("pretrained:ecg", True), ("models:/pretrained:ecg", False), ("", False)]
)
def test_addresses_begin_with_a_word(address, is_one):
    assert pretrained.is_pretrained(address) is is_one


def test_unknown_name_is_refused_with_the_known_ones(folder, monkeypatch):
    assert pretrained.folder_of("pretrained:ecg") == folder / "ecg"
    with pytest.raises(UsageError) as refusal:
        pretrained.folder_of("pretrained:eeg")
    known = "there are: pretrained:ecg, pretrained:ppg"
    assert str(refusal.value) == f"no model 'pretrained:eeg' comes with sepray; {known}"
    monkeypatch.setattr(pretrained, "FOLDER", folder / "notes")
    with pytest.raises(UsageError, match=r"there are: none$"):
        pretrained.folder_of("pretrained:ecg")


def test_description_that_cannot_be_read_is_told(folder):
    (folder / "ecg" / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"^pretrained:ecg cannot be read: install sepray again \("):
        pretrained.describe("pretrained:ecg")


def test_digest_is_of_configuration_and_weights_by_their_names(folder):
    assert pretrained.digest_of(folder / "ecg") == digest("ecg")
    assert pretrained.digest_of(folder / "ppg") == digest("ppg") != digest("ecg")


def test_model_is_built_by_what_is_installed_here_where_its_digest_is_right(folder, monkeypatch):
    monkeypatch.setattr(pretrained, "built_here", lambda data: ("built", data))
    (folder / "ecg" / "model.json").write_text(json.dumps({DIGEST: digest("ecg"), "metric": "si_sdr"}))
    loaded = pretrained.load("pretrained:ecg")
    assert loaded.separation == ("built", folder / "ecg" / "separator")
    assert (loaded.folder, loaded.metadata["metric"], loaded.run_id) == (folder / "ecg", "si_sdr", None)


def test_another_digest_or_none_is_damage(folder, monkeypatch):
    monkeypatch.setattr(pretrained, "built_here", lambda data: pytest.fail("built"))
    for described in ({}, {DIGEST: digest("ppg")}):
        (folder / "ecg" / "model.json").write_text(json.dumps(described))
        with pytest.raises(ModelError, match=r"^pretrained:ecg is damaged \(another digest\): install sepray again$"):
            pretrained.load("pretrained:ecg")


def test_module_that_only_the_model_names_is_not_imported(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    (folder / "somebodys_module.py").write_text("raise ValueError('imported')")
    told = {"module": "user.somebodys_module", "config": {}, "signal": {}}
    (folder / "ecg" / "separator" / "separator.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="somebodys_module"):
        pretrained.built_here(folder / "ecg" / "separator")

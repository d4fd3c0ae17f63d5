"""A model that comes with sepray is made of a packaged one, loads with the code that is here, and tells damage."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.identity import plain
from sepray.models import make_pretrained
from sepray.models.evaluation import evaluate
from sepray.models.model import load_model
from sepray.scoring.offsets import source_baseline
from sepray.separators import cass
from sepray.tasks import ecg_varied
from sepray.tracking import models, packaging, pretrained
from sepray.tracking.packaged_model import ModelError

TASK = replace(ecg_varied.DEBUG, template=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained model's package, and the folder of models that one was made in from it."""
    folder = tmp_path_factory.mktemp("shipped")
    data = TASK.load(folder)
    torch.manual_seed(0)
    separator = cass.DEBUG.build(data.signal).eval()
    (folder / "package" / "data").mkdir(parents=True)
    packaging._write_data(folder / "package" / "data" / "separator", separator, cass.DEBUG, "sepray.separators.cass")
    described = {
        "digest": "12ab",
        "metric": "relative_l2",
        "sources": ["maternal", "fetal"],
        "sample_rate": 250.0,
        "supervision": "paired",
        "task": "sepray.tasks.ecg_varied",
        "task_config": plain(TASK),
        "data_fingerprint": data.fingerprint,
        "hyperparameters": {"beta": 0.5},
        "mixture_level": {"low": -0.1, "usual": 0.0, "high": 0.1},
        "n_fft": 16,
        "hop": 8,
        "study": "abdomen",
        "seed": 7,
        "storage": "sqlite:////home/me/optuna.db",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_pretrained, "check_address", lambda _: None)
        patch.setattr(make_pretrained, "require_models", lambda uri, _: uri)
        patch.setattr(models, "files_of", lambda *_: (folder / "package", described))
        into = folder / "installed" / "pretrained"
        into.parent.mkdir()
        result = make_pretrained.ship("ecg", "models:/abdomen/1", cache=folder, into=into, real="| record | right |")
    return folder, data, separator, result


@pytest.fixture
def installed(made, tmp_path, monkeypatch):
    """A copy of the folder of models, in the place of sepray's own."""
    copy = shutil.copytree(made[3].folder.parent, tmp_path / "pretrained")
    monkeypatch.setattr(pretrained, "FOLDER", copy)
    return copy / "ecg"


def test_it_separates_as_the_model_that_it_was_made_of(made, installed):
    folder, data, separator, result = made
    assert pretrained.names() == ["ecg"]
    model = load_model("pretrained:ecg")
    assert (model.name, model.sources, model.sample_rate, model.run_id) == (
        "pretrained:ecg",
        ("maternal", "fetal"),
        250.0,
        None,
    )
    mixture = data.test.mixture[:2]
    np.testing.assert_allclose(model.separate(mixture.numpy()), separator.separate(mixture).numpy(), atol=1e-6)
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (result.folder, *result.folder.rglob("*"))}
    assert modes == {True: 0o755, False: 0o644}  # others read it too, whatever the study's own files allow
    assert result.size == (installed / "separator" / "weights.safetensors").stat().st_size
    assert pretrained.digest_of(installed) == result.digest == model.metadata["digest"]
    assert make_pretrained.check_of(model, folder) == model.metadata["check"]
    assert len(model.metadata["check"]) == make_pretrained.CHECKED


def test_it_keeps_how_it_was_made_and_what_it_scores_and_no_addresses(made, installed):
    folder = made[0]
    described = json.loads((installed / "model.json").read_text())
    assert {key: described[key] for key in ("study", "seed", "made_of", "hyperparameters", "data_fingerprint")} == {
        "study": "abdomen",
        "seed": 7,
        "made_of": "12ab",
        "hyperparameters": {"beta": 0.5},
        "data_fingerprint": made[1].fingerprint,
    }
    assert described["mixture_level"] == {"low": -0.1, "usual": 0.0, "high": 0.1}  # or offsets would go unnoticed
    assert described["source_baseline"] == source_baseline(made[1].train.sources.numpy(), 55 / 60 / 250)
    assert "/home/me" not in "".join(path.read_text() for path in installed.iterdir() if path.is_file())
    scores = evaluate("pretrained:ecg", cache=folder)
    (own,) = (row for row in scores.rows["relative_l2"] if row.system == "pretrained:ecg")
    assert described["on_test"] == pytest.approx(own.values["mean"][0])
    card = (installed / "README.md").read_text()
    (line,) = (one for one in card.splitlines() if one.startswith("| relative L2") and "pretrained:ecg" in one)
    assert "{:.4g} [{:.4g}, {:.4g}]".format(*own.values["fetal"]) in line
    for told in (
        "## Limits",
        "no medical device",
        "55 to 115",
        "Apache 2.0",
        described["digest"],
        "| record | right |",
    ):
        assert told in card


@pytest.mark.parametrize("file", ["separator/weights.safetensors", "separator/separator.json"])
def test_a_damaged_file_is_told_by_its_digest(installed, file):
    content = bytearray((installed / file).read_bytes())
    content[-2] ^= 1
    (installed / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"^pretrained:ecg is damaged \(another digest\): install sepray again$"):
        load_model("pretrained:ecg")


def test_a_missing_file_is_told(installed):
    (installed / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"^pretrained:ecg cannot be read: install sepray again"):
        load_model("pretrained:ecg")


def test_what_others_could_not_load_or_is_too_large_is_refused(made, monkeypatch, tmp_path):
    folder, *_ = made
    package = shutil.copytree(folder / "package", tmp_path / "package")
    monkeypatch.setattr(make_pretrained, "check_address", lambda _: None)
    monkeypatch.setattr(make_pretrained, "require_models", lambda uri, _: uri)
    monkeypatch.setattr(models, "files_of", lambda *_: (package, {"metric": "relative_l2"}))
    description = package / "data" / "separator" / "separator.json"
    kept = description.read_text()
    description.write_text(kept.replace('"width": 4', '"width": 8', 1))
    with pytest.raises(UsageError, match=r"^m: its weights or settings do not fit the code that is installed"):
        make_pretrained.ship("ecg", "m", into=tmp_path / "into")
    description.write_text(kept)
    monkeypatch.setattr(make_pretrained, "LARGEST", 1000)
    with pytest.raises(UsageError, match=r"^m has 0\.\d MB of weights, more than 0\.0009\d*$"):
        make_pretrained.ship("ecg", "m", into=tmp_path / "into")
    description.write_text(kept.replace("separators.cass", "user.mine"))
    with pytest.raises(UsageError, match=r"^the separator of m is not one of sepray's"):
        make_pretrained.ship("ecg", "m", into=tmp_path / "into")
    assert not (tmp_path / "into").exists()


OWN = [path.parent for path in sorted(Path(pretrained.__file__).parents[1].glob("pretrained/*/model.json"))]


@pytest.mark.parametrize("folder", OWN, ids=lambda folder: folder.name)
def test_those_that_come_with_sepray_are_what_their_command_made(folder):
    """Files, size and card; that they separate as they did is a test of their scores."""
    described = json.loads((folder / "model.json").read_text())
    assert pretrained.digest_of(folder) == described["digest"]
    assert (folder / "separator" / "weights.safetensors").stat().st_size <= 2 * 2**20
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "README.md",
        "model.json",
        "separator.json",
        "weights.safetensors",
    ]
    card = (folder / "README.md").read_text()
    assert described["digest"] in card
    assert described["data_fingerprint"] in card
    assert "## Scores on real records" in card


@pytest.mark.parametrize("folder", OWN, ids=lambda folder: folder.name)
def test_code_makes_of_their_weights_the_model_that_was_scored(folder, tmp_path):
    """A separator or a task that has changed would make another model of them, or other data."""
    model = load_model(f"pretrained:{folder.name}", device="cpu")
    found, kept = np.array(make_pretrained.check_of(model, tmp_path)), np.array(model.metadata["check"])
    np.testing.assert_allclose(found, kept, atol=2e-3)


def test_card_that_is_shipped_has_the_limits_that_a_new_one_would_have():
    card = (pretrained.FOLDER / "ecg" / pretrained.CARD).read_text(encoding="utf-8")
    facts = {"maternal_bpm": "55 to 115", "fetal_bpm": "105 to 185", "length": 4.0, "rate": 250.0}
    assert card.endswith("## Limits\n\n" + make_pretrained.LIMITS["ecg"].format(**facts))

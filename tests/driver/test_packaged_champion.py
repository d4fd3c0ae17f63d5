"""The champion's model: what it says of itself, and when it is packaged again."""

import dataclasses
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from sepray.driver import packaged_champion
from sepray.driver.finished_trials import Finished
from sepray.driver.packaged_champion import ensure_packaged, is_packaged, package, remove
from sepray.execution import weights
from sepray.scoring.offsets import offset_range, source_baseline
from sepray.separators import cass
from sepray.tasks import ecg
from sepray.tracking import load_check
from sepray.tracking.packaged_model import ModelError
from sepray.tracking.packaging import is_whole
from sepray.tracking.sources import PackagingError

from .endings import DATA, SIGNAL
from .hearts import HEARTS, SPEC, save_weights
from .hearts import SIGNAL as OF_HEARTS


def test_packaged_model_separates_as_the_champion_and_says_what_it_is(study, registry, screen):
    study.finish()
    loaded = __import__("mlflow").pyfunc.load_model(str(study.folder / "model"))
    mixture = DATA.test.mixture.numpy()
    expected = weights.load_separator(cass.DEBUG, SIGNAL, study.finals[0].folder).separate(DATA.test.mixture)
    np.testing.assert_allclose(loaded.predict(mixture), expected.numpy(), atol=1e-6)
    described = loaded.metadata.metadata
    assert (described["study"], described["metric"], described["sources"]) == ("sweep", "relative_l2", ["low", "high"])
    assert (described["task"], described["data_fingerprint"]) == ("sepray.tasks.ecg", DATA.fingerprint)
    assert described["hyperparameters"] == {"beta": 0.2}
    assert (described["n_fft"], described["hop"]) == (cass.DEBUG.n_fft, cass.DEBUG.hop)
    assert described["task_config"]["train"] == ecg.DEBUG.train


def test_package_has_an_example_of_one_validation_item_and_says_what_it_was_trained_on(tmp_path, monkeypatch):
    packaged = {}
    monkeypatch.setattr(packaged_champion, "package_model", lambda to, **given: packaged.update(given, folder=to))
    member = Finished(2, None, {"beta": 0.25}, 0.1, save_weights(tmp_path / "trial", 2), {"seed": 77})
    monkeypatch.chdir(tmp_path)
    package(SPEC, HEARTS, member, tmp_path / "model")
    np.testing.assert_array_equal(packaged["example"], HEARTS.validation.mixture[:1].numpy())
    assert packaged["folder"] == tmp_path / "model"
    assert packaged["config"] is SPEC.separator
    assert set(packaged) == {"folder", "separator", "config", "example", "metadata"}
    metadata = packaged["metadata"]
    assert (metadata["study"], metadata["sources"], metadata["sample_rate"]) == ("hearts", ["heart", "breath"], 32.0)
    assert (metadata["trial"], metadata["seed"]) == ("final-2", 77)
    assert metadata["storage"] == f"sqlite:///{tmp_path.resolve()}/optuna.db"
    assert (metadata["metric"], metadata["task_config"]["train"]) == (SPEC.metric, SPEC.task.train)
    assert (metadata["hyperparameters"], metadata["supervision"]) == ({"beta": 0.25}, "paired")
    assert (metadata["task"], metadata["data_fingerprint"]) == ("sepray.tasks.ppg", HEARTS.fingerprint)
    assert metadata["mixture_level"] == offset_range(HEARTS.train.mixture.numpy())
    assert (metadata["n_fft"], metadata["hop"]) == (SPEC.separator.n_fft, SPEC.separator.hop)


def test_package_says_where_the_study_is_kept_without_a_password(tmp_path, monkeypatch):
    packaged = {}
    monkeypatch.setattr(packaged_champion, "package_model", lambda folder, **given: packaged.update(given))
    member = Finished(2, None, {}, 0.1, save_weights(tmp_path / "trial", 2), {})
    package(SPEC.changed(storage="postgresql://me:secret@host/db"), HEARTS, member, tmp_path / "model")
    assert packaged["metadata"]["storage"] == "postgresql://me:***@host/db"


@pytest.fixture
def member(tmp_path, monkeypatch):
    monkeypatch.setattr(load_check, "require_working", lambda *_: None)  # a process of its own, for seconds
    return Finished(2, None, {"beta": 0.25}, 0.1, save_weights(tmp_path / "trial", 2), {"seed": 77})


@pytest.fixture
def model(member, tmp_path):
    """A folder with a packaged model."""
    assert ensure_packaged(SPEC, HEARTS, member, tmp_path / "model") == ""
    return tmp_path / "model"


def test_model_that_is_there_is_not_packaged_again(model, member, monkeypatch):
    monkeypatch.setattr(packaged_champion, "package", lambda *_: pytest.fail("packaged twice"))
    assert is_packaged(model, SPEC, 2)
    assert ensure_packaged(SPEC, HEARTS, member, model) == ""


@pytest.mark.parametrize("loss", ["folder", "description"])
def test_model_that_is_gone_is_packaged_again(model, member, loss):
    shutil.rmtree(model) if loss == "folder" else (model / "MLmodel").write_text("")
    assert not is_packaged(model, SPEC, 2)
    assert ensure_packaged(SPEC, HEARTS, member, model) == ""
    assert (model / "MLmodel").stat().st_size > 0


@pytest.mark.parametrize("how", ["damaged", "truncated", "missing", "foreign"])
def test_model_that_is_damaged_is_packaged_again(model, member, how):
    weights = model / "data" / "separator" / "weights.safetensors"
    before = weights.read_bytes()
    if how == "missing":
        weights.unlink()
    elif how == "foreign":
        save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    else:
        weights.write_bytes(before[:-8] + (bytes(8) if how == "damaged" else b""))
    assert not is_packaged(model, SPEC, 2)
    assert ensure_packaged(SPEC, HEARTS, member, model) == ""
    assert weights.read_bytes() == before


@pytest.mark.parametrize("what", ["study", "uid", "trial"])
def test_whole_model_of_another_study_or_trial_is_replaced(model, member, monkeypatch, what):
    own = packaged_champion._origin
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(packaged_champion, "_origin", lambda *given: {**own(*given), what: "another"})
        package(SPEC, HEARTS, member, model)
    assert is_whole(model)
    assert not is_packaged(model, SPEC, 2)
    assert ensure_packaged(SPEC, HEARTS, member, model) == ""
    assert is_packaged(model, SPEC, 2)


def test_whole_model_that_cannot_be_described_is_packaged_again(model, member, monkeypatch):
    def refuse(folder, name):
        raise ModelError(f"{name} cannot be loaded")

    with monkeypatch.context() as other:
        other.setattr(packaged_champion, "describe_folder", refuse)
        assert not is_packaged(model, SPEC, 2)
        assert ensure_packaged(SPEC, HEARTS, member, model) == ""
    assert is_packaged(model, SPEC, 2)


def test_model_of_a_version_that_told_no_uid_is_kept(member, tmp_path, monkeypatch):
    own = packaged_champion._origin
    with monkeypatch.context() as older:
        older.setattr(packaged_champion, "_origin", lambda *given: {**own(*given), "uid": None})
        package(SPEC, HEARTS, member, tmp_path / "model")
    description = tmp_path / "model" / "MLmodel"
    description.write_text(description.read_text().replace("  uid: null\n", ""))
    assert is_packaged(tmp_path / "model", SPEC, 2)


def test_link_in_a_model_is_not_written_through(model, member, tmp_path):
    (tmp_path / "elsewhere").write_text("of somebody else")
    weights = model / "data" / "separator" / "weights.safetensors"
    weights.unlink()
    weights.symlink_to(tmp_path / "elsewhere")
    assert not is_packaged(model, SPEC, 2)
    assert ensure_packaged(SPEC, HEARTS, member, model) == ""
    assert not weights.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "of somebody else"


def test_reason_why_there_is_no_model_comes_back_in_words(member, tmp_path, monkeypatch):
    def refused(*_):
        raise PackagingError("the separator imports secret_library, which does not travel with it")

    monkeypatch.setattr(packaged_champion, "package", refused)
    reason = "the separator imports secret_library, which does not travel with it"
    assert ensure_packaged(SPEC, HEARTS, member, tmp_path / "model") == reason
    assert not is_packaged(tmp_path / "model", SPEC, 2)


def test_removed_model_is_gone_and_what_a_link_leads_to_stays(tmp_path):
    (tmp_path / "study" / "model").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "study" / "model" / "link").symlink_to(tmp_path / "file")
    for _ in range(2):  # nothing to remove is no error
        remove(tmp_path / "study" / "model")
    assert [path.name for path in (tmp_path / "study").iterdir()] == []
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(("pulses", "kept"), [((), True), (("heart",), False), (("heart", "breath"), False)])
def test_package_says_how_large_the_slow_part_of_hearts_is_where_all_sources_are_ecgs(pulses, kept):
    rates = (("heart", 60.0, 120.0), ("breath", 90.0, 180.0))
    data = dataclasses.replace(HEARTS, signal=dataclasses.replace(OF_HEARTS, heart_rates=rates, pulse_sources=pulses))
    found = packaged_champion._hearts(data)
    assert found["hearts"] == {"rates": [["heart", 60, 120], ["breath", 90, 180]], "pulses": list(pulses)}
    assert ("source_baseline" in found) is kept
    if kept:
        assert found["source_baseline"] == source_baseline(HEARTS.train.sources.numpy(), 1 / 32) > 1  # it breathes

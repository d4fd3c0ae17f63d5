"""A packaged model is loaded from its folder as MLflow would load it; what is damaged is refused in one line."""

import importlib
import shutil
import sys

import mlflow
import numpy as np
import pytest
import yaml

from sepray.tracking import load_check
from sepray.tracking.packaged_model import ModelError, describe_folder, load_folder

from . import scaled
from .scaled import EXPECTED, MIXTURES


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A packaged model; making it takes seconds."""
    folder = tmp_path_factory.mktemp("packaged")
    scaled.write(folder / "theirs" / "mine", scaled.FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "theirs"))
        patch.setattr(load_check, "require_working", lambda *_: None)
        separator = scaled.built(importlib.import_module("mine.separator").Config())
        scaled.package(folder / "model", separator, sources=["maternal", "fetal"])
        for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
            del sys.modules[name]
    return folder / "model"


@pytest.fixture
def folder(tmp_path, packaged):
    return shutil.copytree(packaged, tmp_path / "model")


def test_it_separates_as_by_mlflow(folder):
    loaded = load_folder(folder, "it")
    np.testing.assert_allclose(loaded.predict(MIXTURES), EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(loaded.predict(MIXTURES), mlflow.pyfunc.load_model(str(folder)).predict(MIXTURES))
    assert (loaded.folder, loaded.run_id) == (folder, None)
    assert loaded.metadata["sources"] == ["maternal", "fetal"]
    assert (loaded.metadata, loaded.run_id) == describe_folder(folder, "it")


def test_path_of_imports_is_as_before(folder):
    before = list(sys.path)
    load_folder(folder, "it")
    assert sys.path == before


def test_device_is_passed_on(folder):
    with pytest.raises(RuntimeError, match="nonsense"):
        load_folder(folder, "it").predict(MIXTURES, {"device": "nonsense"})


@pytest.mark.parametrize("shape", [(2, 9), (2, 2, 9), (2, 1, 3, 3)])
def test_mixtures_of_another_shape_are_refused(folder, shape):
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it").predict(np.zeros(shape, np.float32))
    assert str(refusal.value) == f"the model takes mixtures [batch, channel, time] of 1 channel, not {list(shape)}"


def edited(folder, **changes):
    path = folder / "MLmodel"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def without_python(folder):
    edited(folder, flavors={"sklearn": {}})


def with_loader(folder, name, text):
    (folder / "code" / f"{name}.py").write_text(text)
    edited(folder, flavors={"python_function": {"loader_module": name, "data": "data/separator", "code": "code"}})


def needs_a_module(folder):
    with_loader(folder, "needing_loader", "import no_such_module")


def with_a_secret(folder):
    with_loader(folder, "telling_loader", "raise ValueError('no http://me:secret@host\\nsecond line')")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda folder: (folder / "MLmodel").write_text("a: ["), "it cannot be loaded: ParserError: while parsing "),
        (lambda folder: (folder / "MLmodel").write_text("text"), "it cannot be loaded: its file MLmodel describes no "),
        (lambda folder: (folder / "MLmodel").unlink(), "it cannot be loaded: FileNotFoundError: [Errno 2] "),
        (without_python, "it cannot be loaded: its file MLmodel describes no model of Python"),
        (lambda folder: edited(folder, metadata=None), "it is a model of MLflow, but not one that sepray packaged"),
        (needs_a_module, "it cannot be loaded: it needs the module no_such_module, which is not installed"),
        (with_a_secret, "it cannot be loaded: ValueError: no http://me:***@host"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(folder, damage, line):
    damage(folder)
    before = list(sys.path)
    with pytest.raises(ModelError) as refusal:
        load_folder(folder, "it")
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert sys.path == before


def test_run_of_a_logged_model_is_told(folder):
    edited(folder, run_id="0a1b")
    assert load_folder(folder, "it").run_id == describe_folder(folder, "it")[1] == "0a1b"

"""A model is loaded from a folder or a registry, and separates arrays."""

import re
import shutil
import sys

import numpy as np
import pytest

from sepray.errors import UsageError
from sepray.models import model as module
from sepray.models.model import Model, check_model, load_model, loaded
from sepray.tracking.connection import connect
from sepray.tracking.packaged_model import PackagedModel

from .functions import FIRST, SIGNAL, model, shares_of_the_mixture


def test_model_of_a_folder_says_what_it_is_and_separates(packaged):
    half = load_model(packaged.half)
    assert (half.name, half.sources, half.sample_rate) == (packaged.half, ("maternal", "fetal"), 128.0)
    assert (half.channels, half.shape, half.device, half.run_id) == (1, (96,), "auto", None)
    assert (half.metadata["study"], half.metadata["metric"]) == ("shares", "relative_l2")
    mixtures = np.arange(3 * 50, dtype=np.float64).reshape(3, 1, 50)
    most = load_model(packaged.most).separate(mixtures)
    assert (most.shape, most.dtype) == ((3, 2, 1, 50), np.float32)
    np.testing.assert_allclose(most[:, 0], 0.9 * mixtures, rtol=1e-6)
    np.testing.assert_allclose(most[:, 1], 0.1 * mixtures, rtol=1e-5)
    assert repr(half) == f"Model({packaged.half!r}: maternal, fetal; 1 channel(s); 128 Hz)"


def test_model_of_a_local_registry_is_loaded_without_mlflow(packaged, tmp_path, monkeypatch, empty_database):
    """The registry is as sepray makes it: an SQLite file, with the model's own folder."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    client = connect(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_registered_model("shares")
    client.create_model_version("shares", packaged.half)
    client.create_model_version("shares", packaged.most)
    client.set_registered_model_alias("shares", "champion", "2")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.setitem(sys.modules, name, None)  # to import it is an error now
    ones = np.ones((1, 1, 96))
    assert load_model("models:/shares@champion").separate(ones)[0, 0, 0, 0] == pytest.approx(0.9)
    assert load_model("models:/shares/1", f"sqlite:///{tmp_path}/mlflow.db").separate(ones)[0, 0, 0, 0] == 0.5


@pytest.mark.parametrize("shape", [(1000,), (4, 50), (4, 2, 50), (4, 1, 5, 5)])
def test_mixtures_of_another_shape_are_refused(packaged, shape):
    with pytest.raises(UsageError) as refusal:
        load_model(packaged.half).separate(np.zeros(shape))
    assert str(refusal.value) == f"the model takes mixtures [batch, channel, time] of 1 channel, not {list(shape)}"


def test_device_reaches_the_model(packaged, monkeypatch):
    asked = []
    half = load_model(packaged.half, device="cpu")
    monkeypatch.setattr(PackagedModel, "predict", lambda self, data, params: asked.append(params) or data[:, None])
    half.separate(np.zeros((1, 1, 9)))
    assert (half.device, asked) == ("cpu", [{"device": "cpu"}])


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cpu:0", "", "auto "])
def test_what_is_no_name_of_a_device_is_refused_before_torch(device, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError) as refusal:
        check_model(shares_of_the_mixture(FIRST, 0.5), device)
    assert str(refusal.value) == f"unknown device {device!r}; there are cpu, cuda, cuda:1 ..., mps and auto"


def test_device_that_is_not_there_is_refused(packaged):
    with pytest.raises(UsageError) as refusal:
        load_model(packaged.half, device="cuda:63")
    assert re.match(r"there is no device 'cuda:63': this machine has \d+ GPUs", str(refusal.value))
    with pytest.raises(UsageError) as refusal:
        load_model(packaged.half, device="xpu:63")
    assert str(refusal.value) == "there is no device 'xpu:63'; `sepray doctor` lists the devices of this machine"


def test_addresses_and_models_are_taken_alike(packaged, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "load_model", lambda *given: asked.append(given))
    ready = shares_of_the_mixture(FIRST, 0.5)
    assert loaded(ready, "uri", "cpu") is ready
    loaded(packaged.half, "uri", "cpu")
    assert asked == [(packaged.half, "uri", "cpu")]
    check_model(ready, "cpu")
    with pytest.raises(UsageError, match=r"^nowhere is neither a folder with a model"):
        check_model("nowhere", "cpu")


def test_model_of_images_has_no_rate():
    images = model("m", lambda data: data, shape=(8, 8), sample_rate=None)
    assert (images.sample_rate, images.shape) == (None, (8, 8))
    assert repr(images) == "Model('m': heart, breath; 1 channel(s); images)"
    images.sources = ("\x1b[31mheart", "a\nb")  # as another's model may call them
    assert repr(images) == r"Model('m': \x1b[31mheart, a b; 1 channel(s); images)"
    assert isinstance(images, Model)
    assert images.channels == SIGNAL.channels

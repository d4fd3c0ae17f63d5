"""Models of several leads: of estimates per lead that see the residual of a template, and of one component."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from sepray.errors import UsageError
from sepray.identity import plain
from sepray.models.evaluation import evaluate
from sepray.models.model import Model
from sepray.models.separation import separate
from sepray.separators import cass
from sepray.signals.template_input import network_input
from sepray.tasks import ecg_varied
from sepray.tracking import loader, packaging
from sepray.tracking.packaged_model import PackagedModel

TASK = replace(ecg_varied.DEBUG, channels=2, template=True)


ONE = replace(ecg_varied.DEBUG, channels=2, one_component=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The data, a separator, and the model that its JSON and safetensors make."""
    return model_of(TASK, tmp_path_factory.mktemp("leads"))


@pytest.fixture(scope="module")
def component(tmp_path_factory):
    """The same of one component."""
    return model_of(ONE, tmp_path_factory.mktemp("component"))


def model_of(task, folder):
    data = task.load(folder)
    torch.manual_seed(0)
    separator = cass.DEBUG.build(data.signal).eval()
    described = {
        "metric": "relative_l2",
        "task": "sepray.tasks.ecg_varied",
        "task_config": plain(task),
        "data_fingerprint": data.fingerprint,
        "n_fft": 16,
        "hop": 8,
    }
    packaging._write_data(folder / "separator", separator, cass.DEBUG, "sepray.separators.cass")
    loaded = loader.load(str(folder / "separator"), cass.Config)
    return data, separator, Model("leads", PackagedModel(folder, described, None, loaded), "cpu")


def test_it_separates_as_in_training_and_a_recording_like_an_item(trained, tmp_path):
    data, separator, model = trained
    mixture = data.test.mixture[:2]
    assert network_input(mixture, separator.signal).shape[1] == 4
    np.testing.assert_allclose(model.separate(mixture.numpy()), separator.separate(mixture).numpy(), atol=1e-6)
    time = np.arange(496) / 250
    np.savetxt(tmp_path / "abdomen.csv", np.stack([time, *mixture[0].numpy()], 1), "%.9f", ",", header="time (s),a,b")
    found = separate(model, tmp_path / "abdomen.csv", output="out")
    assert [path.name for path in found.files] == ["abdomen.fetal.csv", "abdomen.maternal.csv"]
    written = np.loadtxt(found["fetal"], delimiter=",", skiprows=1)
    expected = separator.separate(mixture[:1])[0, 1].numpy()
    np.testing.assert_allclose(written[:, 1:].T, expected, atol=1e-4)
    np.save(tmp_path / "three.npy", np.random.default_rng(0).normal(size=(3, 500)))
    with pytest.raises(UsageError, match=r"takes 2 channels, and the recording has 3$"):
        separate(model, tmp_path / "three.npy", rate=250)


def test_it_is_scored_on_its_task(trained, tmp_path):
    data, separator, model = trained
    scores = evaluate(model, cache=tmp_path)
    estimates = separator.separate(data.test.mixture)
    error = (estimates - data.test.sources).flatten(2).norm(dim=-1) / data.test.sources.flatten(2).norm(dim=-1)
    heard = data.test.sources.flatten(2).norm(dim=-1) > 1e-3
    found = torch.from_numpy(scores.scores["leads"]["relative_l2"])
    torch.testing.assert_close(found[heard], error[heard].double(), atol=1e-4, rtol=1e-4)


def test_one_component_is_a_channel_of_each_source_in_every_format(component, tmp_path):
    data, separator, model = component
    assert (model.channels, model.source_channels) == (2, 1)
    mixture = data.test.mixture[0].numpy()
    expected = separator.separate(data.test.mixture[:1])[0, 1, :1].numpy()
    found = separate(model, mixture, rate=250)
    np.testing.assert_allclose(found["fetal"], expected, atol=1e-5)
    assert (found.channels, found["fetal"].shape) == (2, (1, 496))
    time = np.arange(496) / 250
    for header in ("time (s),lead I,lead II", "a comment\ntime,I,II\ns,mV,uV"):
        np.savetxt(tmp_path / "abdomen.csv", np.stack([time, *mixture], 1), "%.9f", ",", header=header, comments="")
        written = separate(model, tmp_path / "abdomen.csv", output="out")["fetal"]
        lines = written.read_text().splitlines()
        count = header.count("\n") + 1
        assert lines[:count] == [line.rsplit(",", 1)[0] for line in header.splitlines()]
        values = np.loadtxt(lines[count:], delimiter=",")
        np.testing.assert_allclose(values, np.stack([time, expected[0]], 1), atol=1e-4)
    np.save(tmp_path / "abdomen.npy", mixture)
    assert np.load(separate(model, tmp_path / "abdomen.npy", 250, output="out")["fetal"]).shape == (1, 496)
    soundfile.write(tmp_path / "abdomen.wav", 0.01 * mixture.T, 250, "FLOAT")
    assert soundfile.info(separate(model, tmp_path / "abdomen.wav", output="out")["fetal"]).channels == 1


def test_one_component_is_scored_and_other_channels_are_refused(component, tmp_path):
    _, _, model = component
    scores = evaluate(model, cache=tmp_path)
    assert set(scores.scores) >= {"leads", "unprocessed mixture", "oracle: ideal ratio mask"}
    assert scores.scores["unprocessed mixture"]["relative_l2"].shape == (8, 2)
    with pytest.raises(
        UsageError, match=r"^leads makes sources of 1 channel\(s\) of mixtures of 2, but .* of 2 and .* of 2$"
    ):
        evaluate(model, replace(ONE, one_component=False), cache=tmp_path)

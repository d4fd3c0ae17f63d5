"""A packaged model in memory: where it computes, and what it refuses."""

import dataclasses
import json
import resource
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sepray.contracts import Separator, Signal
from sepray.separators import cass
from sepray.tracking import loader, pretrained
from sepray.tracking.loader import ITEMS_AT_ONCE, SeparationModel

SIGNAL = Signal(("a", "b"), 1, (8,), 4.0)


class Recorder(Separator):
    """Notes where it and its mixture are; silent estimates, on the CPU whatever the device."""

    def __init__(self):
        super().__init__(SIGNAL)
        self.gain = torch.nn.Parameter(torch.ones(2))
        self.seen = []

    def separate(self, mixture):
        self.seen.append((mixture.device.type, self.gain.device.type, len(mixture)))
        return torch.zeros(len(mixture), 2, *mixture.shape[1:])


@pytest.mark.parametrize("device", ["cpu", "meta"])  # meta: a device that every machine has
def test_model_and_mixtures_go_to_the_device_that_is_asked_for_in_bounded_batches(monkeypatch, device):
    monkeypatch.setattr(loader, "_DEVICES", ("cpu", "meta"))
    separator = Recorder()
    model = SeparationModel(separator, SIGNAL)
    found = model.predict(np.ones((ITEMS_AT_ONCE + 3, 1, 5), np.float32), {"device": device})
    assert separator.seen == [(device, device, ITEMS_AT_ONCE), (device, device, 3)]
    assert found.shape == (ITEMS_AT_ONCE + 3, 2, 1, 5)


def test_auto_is_an_accelerator_where_there_is_one(monkeypatch):
    separator = Recorder()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    SeparationModel(separator, SIGNAL).predict(np.ones((1, 1, 8)))
    assert separator.seen == [("cpu", "cpu", 1)]


@pytest.mark.parametrize("shape", [(8,), (1, 8), (1, 2, 8), (1, 1, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \[batch, 1 channel\(s\), time\], got "):
        SeparationModel(Recorder(), SIGNAL).predict(np.ones(shape))


def test_of_long_mixtures_fewer_are_separated_at_once(monkeypatch):
    monkeypatch.setattr(loader, "VALUES_AT_ONCE", 17)
    separator = Recorder()
    SeparationModel(separator, SIGNAL).predict(np.ones((5, 1, 8)), {"device": "cpu"})
    assert [size for *_, size in separator.seen] == [2, 2, 1]


def test_a_device_that_does_not_take_all_weights_has_none_of_them():
    model = SeparationModel(Recorder(), SIGNAL)
    moves = []

    def to(device):
        moves.append(str(device))
        if device != "cpu":
            raise torch.OutOfMemoryError("out of memory")

    model.separator.to = to
    with pytest.raises(torch.OutOfMemoryError):
        model._move(torch.device("cuda"))
    assert moves == ["cuda", "cpu"]


def test_auto_is_cuda_where_it_is_available(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loader._device("auto") == torch.device("cuda")
    assert loader._device("cpu") == torch.device("cpu")


def test_model_neither_trains_nor_keeps_gradients():
    separator = Recorder().train()
    model = SeparationModel(separator, SIGNAL)
    assert not model.separator.training
    assert not separator.gain.requires_grad
    assert model.predict(np.ones((1, 1, 8), np.float64)).dtype == np.float32


def test_images_have_two_axes():
    images = Signal(("a", "b"), 3, (8, 8), None)
    with pytest.raises(ValueError, match=r"expected \[batch, 3 channel\(s\), height, width\], got \[1, 3, 8\]"):
        SeparationModel(Recorder(), images).predict(np.ones((1, 3, 8)))


@dataclasses.dataclass(frozen=True)
class Inner:
    gains: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    pairs: tuple[tuple[int, int], ...] = ()
    names: dict[str, int] = dataclasses.field(default_factory=dict)
    width: int = 3


def test_configuration_comes_back_from_its_json_form():
    made = Outer(Inner((0.5, 2.0)), ((1, 2), (3, 4)), {"a": 1}, 7)
    plain = json.loads(json.dumps(dataclasses.asdict(made)))
    assert loader._rebuild(Outer, plain) == made


@pytest.fixture
def shipped(tmp_path):
    """A copy of the model that comes with sepray, and what changes its settings."""
    folder = tmp_path / "separator"
    shutil.copytree(pretrained.FOLDER / "ecg" / pretrained.DATA, folder)

    def changed(**config):
        path = folder / "separator.json"
        described = json.loads(path.read_text())
        described["config"] |= config
        path.write_text(json.dumps(described))
        return folder

    return changed


@pytest.mark.parametrize("width", [1500, 100_000])
def test_settings_of_a_model_much_larger_than_its_weights_are_refused_before_there_is_memory_for_it(shipped, width):
    """1500 took 1.7 GB; 100000 asks for 360 GB."""
    folder = shipped(width=width)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"^its settings ask for a model much larger than its weights$"):
        loader.load(str(folder), cass.Config)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 1024  # kilobytes


def test_settings_of_other_sizes_do_not_fit_the_weights(shipped):
    with pytest.raises(RuntimeError, match="size mismatch"):
        loader.load(str(shipped(width=13)), cass.Config)


def test_what_is_made_of_tensors_counts_together_and_as_it_would_be():
    with loader._Bounded(100):
        torch.zeros(10, dtype=torch.float64)  # 80
        torch.rand(5, generator=torch.Generator().manual_seed(0))  # 20
        torch.ones(0)
        with pytest.raises(ValueError, match="much larger than its weights"):
            torch.zeros(1, dtype=torch.uint8)


def test_tensors_without_number_are_not_made(monkeypatch):
    monkeypatch.setattr(loader, "_MOST_TENSORS", 3)
    with loader._Bounded(100):
        for _ in range(3):
            torch.zeros(0)
        with pytest.raises(ValueError, match="much larger than its weights"):
            torch.zeros(0)


def test_separators_weights_are_those_of_the_file_and_the_random_state_stays(shipped):
    folder = shipped()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    built = loader.load(str(folder), cass.Config).separator
    assert torch.equal(torch.rand(1), expected)
    stored = load_file(folder / "weights.safetensors")
    assert all(torch.equal(stored[name], value) for name, value in built.state_dict().items())

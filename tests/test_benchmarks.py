"""The benchmarks compare like with like."""

import importlib.util
from pathlib import Path

import pytest
import torch

from sepray import registry
from sepray.training.trainer import Trainer, build
from sepray.training.views import view

METHODS = Path(__file__).parent.parent / "benchmarks" / "methods.py"


@pytest.fixture(scope="module")
def methods():
    module_spec = importlib.util.spec_from_file_location("benchmarks_methods", METHODS)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread():
    """The networks are too small to share out, and a busy machine waits for all of its threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    config = registry.find("sepray.tasks", "notes_and_bursts").Config(train=8, validation=2, test=2, item_samples=1024)
    return config.load(Path())


@pytest.mark.parametrize("name", registry.names("sepray.separators"))
def test_loop_by_hand_trains_to_the_trainers_weights(name, methods, data):
    """Two epochs of the same losses, batches and random numbers: the loop leaves out bookkeeping, and no work."""
    config = registry.find("sepray.separators", name).DEBUG
    states = []
    for by_hand in (False, True):
        separator = build(config, data.signal, 0)
        if not separator.learns:
            pytest.skip("learns nothing: there is no loop")
        seen = view(data.train, separator.supervision, torch.Generator().manual_seed(0), separator.paired_fraction)
        if by_hand:
            epoch = methods.by_hand(separator, seen, 0, 4, config.betas).__next__
        else:
            epoch = Trainer(separator, seen, {}, 0, 4, config.betas).epoch
        for _ in range(2):
            epoch()
        states.append(separator.state_dict())
    start = build(config, data.signal, 0).state_dict()
    moved = [k for k, v in states[0].items() if k not in start or v.shape != start[k].shape or not v.equal(start[k])]
    assert moved, "the epochs changed nothing"
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-4, atol=1e-6, msg=f"{name}: {key}")

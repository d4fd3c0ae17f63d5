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


@pytest.fixture(scope="module")
def startup():
    module_spec = importlib.util.spec_from_file_location("benchmarks_startup", METHODS.with_name("startup.py"))
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def test_cpu_time_is_the_processs_own_and_failures_are_told(startup, tmp_path):
    """What a process sleeps or another one works is not counted."""
    working = "import time, pathlib; pathlib.Path('here').touch()\nwhile time.process_time() < 0.5: pass"
    assert 0.5 <= startup.cpu_seconds(["-c", working], tmp_path) < 1
    assert (tmp_path / "here").exists()
    assert startup.cpu_seconds(["-c", "import time; time.sleep(0.5)"], tmp_path) < 0.4
    with pytest.raises(RuntimeError, match=r"(?s)^-c raise ValueError\(7\): exit status 1\n.*ValueError: 7"):
        startup.cpu_seconds(["-c", "raise ValueError(7)"], tmp_path)


def test_commands_run_in_turn_after_a_round_that_is_not_counted(startup, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(startup, "cpu_seconds", lambda arguments, folder: ran.append(arguments) or float(len(ran)))
    found = startup.measure({"a": "a", "b": "b", "c": "c"}, tmp_path, rounds=2)
    assert "".join(ran) == "abccbaabc"
    assert found == {"a": [6, 7], "b": [5, 8], "c": [4, 9]}


def test_table_has_medians_and_ratios_to_the_import(startup):
    lines = startup.table({"import torch": [2.0, 4.0, 1.0], "sepray separate": [3.0, 2.5, 9.0]}).splitlines()
    assert [line.split()[-3:] for line in lines[1:]] == [["2.00", "1.00", "1.00x"], ["3.00", "2.50", "1.50x"]]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_command_of_the_startup_benchmark_runs(startup, tmp_path):
    startup.prepare(tmp_path)
    found = startup.measure(startup.COMMANDS, tmp_path, rounds=1)
    assert set(found) == set(startup.COMMANDS)
    assert all(values[0] > 0 for values in found.values())

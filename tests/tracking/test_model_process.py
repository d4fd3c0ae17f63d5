"""A model in a process of its own: what is sent, what comes back, and how its end and its errors are told."""

import io
import json
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from sepray.contracts import Signal
from sepray.tracking import model_process
from sepray.tracking.model_code import ModelCode
from sepray.tracking.model_process import ModelProcess, ModelProcessError

TOLD = {"sources": ["a", "b"], "channels": 2, "shape": [8], "sample_rate": 125.0, "component_channels": 1}
CODE = ModelCode("package", {"__init__.py": b"", "mine.py": b"x = 1\n"})


class Process:
    """Stands in for the process: its answers are given, and what it is sent is kept."""

    answers = b""

    def __init__(self, command, *, stdin, stdout, env):
        self.command, self.env, self.killed = command, env, False
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(self.answers)
        self.stdin.close = lambda: None
        Process.started = self

    def kill(self):
        self.killed = True

    def wait(self):
        return -9


def line(**told):
    return json.dumps(told).encode() + b"\n"


def array(values):
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Start a model whose process answers with these bytes."""
    monkeypatch.setattr(model_process.subprocess, "Popen", Process)

    def started(answers=b"", told=TOLD):
        monkeypatch.setattr(Process, "answers", line(signal=told) + answers)
        return ModelProcess(CODE, tmp_path / "data")

    return started


def test_signal_is_the_models_and_older_ones_have_no_channels_of_components(start):
    assert start().signal == Signal(("a", "b"), 2, (8,), 125.0, component_channels=1)
    older = {name: value for name, value in TOLD.items() if name != "component_channels"}
    assert start(told=older).signal == Signal(("a", "b"), 2, (8,), 125.0)


def test_settings_name_the_copied_code_first_and_libraries_after_it(start, tmp_path, monkeypatch):
    installed = [sysconfig.get_paths()[kind] for kind in ("purelib", "stdlib")]
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *installed])
    model = start()
    settings = json.loads(Process.started.stdin.getvalue())
    [folder, *libraries] = settings["path"]
    assert (Path(folder) / "package" / "mine.py").read_bytes() == b"x = 1\n"
    assert libraries == installed
    assert settings["compiled"] == f"{folder}/compiled"
    assert (settings["loader"], settings["data"]) == ("package.tracking.loader", str(tmp_path / "data"))
    assert Process.started.command[:3] == [sys.executable, "-I", "-B"]
    assert Process.started.command[3].endswith("separate_alone.py")
    assert model.signal.sources == ("a", "b")


def test_environment_has_no_secrets(start, monkeypatch):
    for name in ("PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LC_ALL", "MLFLOW_TRACKING_PASSWORD", "MYPATH"):
        monkeypatch.setenv(name, "1")
    start()
    kept = {"PATH", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LC_ALL"}
    assert kept <= Process.started.env.keys()
    assert not {"MLFLOW_TRACKING_PASSWORD", "MYPATH"} & Process.started.env.keys()


def test_mixtures_are_sent_as_an_array_and_estimates_come_back(start):
    estimates = array(np.full((1, 2, 1, 8), 0.5))
    model = start(line(bytes=len(estimates)) + estimates)
    Process.started.stdin.truncate(0)
    Process.started.stdin.seek(0)
    found = model.predict(np.ones((1, 2, 8)), {"device": "cpu"})
    assert (found.shape, found.dtype, found.max()) == ((1, 2, 1, 8), np.float32, 0.5)
    request, _, content = Process.started.stdin.getvalue().partition(b"\n")
    assert json.loads(request) == {"bytes": len(content), "params": {"device": "cpu"}}
    sent = np.load(io.BytesIO(content))
    assert (sent.shape, sent.dtype) == ((1, 2, 8), np.float32)


def test_error_of_the_models_code_is_told_and_the_next_request_is_answered(start):
    estimates = array(np.zeros((1, 2, 1, 8), np.float32))
    model = start(line(error="ValueError: shapes", missing=None) + line(bytes=len(estimates)) + estimates)
    with pytest.raises(ModelProcessError, match=r"^ValueError: shapes$"):
        model.predict(np.ones((1, 2, 8)))
    assert model.predict(np.ones((1, 2, 8))).shape == (1, 2, 1, 8)


def test_module_that_is_missing_is_told_by_its_name(start, monkeypatch, tmp_path):
    monkeypatch.setattr(Process, "answers", line(error="ModuleNotFoundError: No module named 'x'", missing="x"))
    monkeypatch.setattr(model_process.subprocess, "Popen", Process)
    with pytest.raises(ModuleNotFoundError, match="No module named 'x'") as raised:
        ModelProcess(CODE, tmp_path)
    assert raised.value.name == "x"


def test_process_that_has_ended_is_told_with_its_status(start):
    with pytest.raises(ModelProcessError, match=r"^the model's process has ended \(-9\)$"):
        start().predict(np.ones((1, 2, 8)))


def _nothing():
    pass


def _broken():
    raise BrokenPipeError


@pytest.mark.parametrize("close", [_nothing, _broken])
def test_process_and_its_folder_end_with_the_object(start, close):
    model = start()
    Process.started.stdin.close = close  # a process that has ended has not read what was written
    folder = Path(json.loads(Process.started.stdin.getvalue())["path"][0])
    assert folder.is_dir()
    model._finalizer()
    assert Process.started.killed
    assert not folder.exists()

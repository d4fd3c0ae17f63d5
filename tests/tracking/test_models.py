import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from sepray.contracts import Signal
from sepray.errors import UnreachableError
from sepray.tracking import models, sources
from sepray.tracking.connection import import_mlflow
from sepray.tracking.packaging import package_model
from sepray.tracking.tracker import Tracker

# A user's own separator, in a package of the user's own, with every way to import.
SEPARATOR = """
from dataclasses import dataclass, field

import scipy.signal
import torch
import sepray.contracts
from sepray.contracts import (
    Signal,
    Separator as Base,
)

import mine.gains
from . import offsets
from .offsets import OFFSET


@dataclass(frozen=True)
class Inner:
    gains: tuple[float, ...] = (0.25, 0.5)


@dataclass(frozen=True)
class Config:
    inner: Inner = field(default_factory=Inner)
    batch_size: int = 2
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, signal: Signal) -> "Scaled":
        assert isinstance(self.inner, Inner) and isinstance(self.inner.gains, tuple)
        return Scaled(signal, self)


class Scaled(Base):
    def __init__(self, signal, config):
        super().__init__(signal)
        assert isinstance(self, sepray.contracts.Separator)
        self.gain = torch.nn.Parameter(torch.rand(len(config.inner.gains)))

    def separate(self, mixture):
        scale = mine.gains.double(self.gain)[None, :, None, None]
        return mixture[:, None] * scale + OFFSET + offsets.OFFSET
"""
SIGNAL = Signal(("maternal", "fetal"), 1, (8,), 128.0)
MIXTURES = np.random.default_rng(0).standard_normal((3, 1, 8)).astype(np.float32)


@pytest.fixture
def separator(tmp_path, monkeypatch):
    package = tmp_path / "theirs" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "gains.py").write_text("def double(x):\n    return 2 * x\n")
    (package / "offsets.py").write_text("OFFSET = 0.5\n")
    (package / "separator.py").write_text(SEPARATOR)
    monkeypatch.syspath_prepend(str(package.parent))
    for name in [n for n in sys.modules if n == "mine" or n.startswith("mine.")]:
        monkeypatch.delitem(sys.modules, name)
    from mine.separator import Config

    config = Config()
    built = config.build(SIGNAL)
    with torch.no_grad():
        built.gain.copy_(torch.tensor([0.25, 0.5]))
    return built, config


def package(folder, separator, **metadata):
    built, config = separator
    return package_model(folder, separator=built, config=config, example=MIXTURES[:1], metadata=metadata)


EXPECTED = np.stack([MIXTURES * 0.5 + 1.0, MIXTURES + 1.0], axis=1)

# Refuses the source tree however it would come (this environment has it installed).
ALONE = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sepray", "mine"):
            raise ModuleNotFoundError(f"no {name} here")
sys.meta_path.insert(0, Refuse())
import json, numpy as np, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
mixtures = np.array(json.load(sys.stdin), dtype=np.float32)
estimates = model.predict(mixtures, params={"device": "cpu"}).tolist()
print(json.dumps({"estimates": estimates, "sepray": "sepray" in sys.modules}))
"""


def test_a_model_predicts_the_same_where_neither_sepray_nor_the_users_files_exist(tmp_path, separator):
    package(tmp_path / "model", separator)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path / "model")],
        input=json.dumps(MIXTURES.tolist()),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(np.array(answer["estimates"]), EXPECTED, rtol=1e-6)
    assert answer["sepray"] is False


def test_the_folder_holds_no_pickle_and_only_what_is_needed(tmp_path, separator):
    package(tmp_path / "model", separator)
    files = {str(p.relative_to(tmp_path / "model")) for p in (tmp_path / "model").rglob("*") if p.is_file()}
    (code,) = {f.split("/")[1] for f in files if f.startswith("code/")}
    assert files == {
        "MLmodel",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
        "data/separator/separator.json",
        "data/separator/weights.safetensors",
        f"code/{code}/__init__.py",
        f"code/{code}/contracts.py",
        f"code/{code}/tracking/__init__.py",
        f"code/{code}/tracking/loader.py",
        f"code/{code}/user/__init__.py",
        f"code/{code}/user/mine/__init__.py",
        f"code/{code}/user/mine/gains.py",
        f"code/{code}/user/mine/offsets.py",
        f"code/{code}/user/mine/separator.py",
    }
    for path in (tmp_path / "model").rglob("*"):
        assert path.is_dir() or path.read_bytes()[:1] != b"\x80", f"{path} looks like a pickle"
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), f"{path} names this machine's folders"


def test_requirements_are_pinned_and_none_is_forgotten(tmp_path, separator):
    import mlflow
    import numpy
    import safetensors
    import scipy

    package(tmp_path / "model", separator)
    assert (tmp_path / "model" / "requirements.txt").read_text().splitlines() == [
        f"mlflow=={mlflow.__version__}",
        f"numpy=={numpy.__version__}",
        f"safetensors=={safetensors.__version__}",
        f"scipy=={scipy.__version__}",
        f"torch=={torch.__version__.partition('+')[0]}",
    ]


def test_the_digest_tells_models_apart_and_nothing_else(tmp_path, separator):
    first = package(tmp_path / "a", separator, study="one")
    assert package(tmp_path / "b", separator, study="two") == first
    with torch.no_grad():
        separator[0].gain += 1
    assert package(tmp_path / "a", separator) != first


def test_the_signature_refuses_other_shapes_and_types(tmp_path, separator):
    package(tmp_path / "model", separator)
    model = models.load(str(tmp_path / "model"))
    np.testing.assert_allclose(model.predict(MIXTURES[:, :, :5]), EXPECTED[..., :5], rtol=1e-6)
    assert model.input_example.shape == (1, 1, 8)
    error = import_mlflow().MlflowException
    for wrong in (MIXTURES[0], MIXTURES.astype(np.float64), np.repeat(MIXTURES, 2, axis=1)):
        with pytest.raises(error, match="Failed to enforce schema"):
            model.predict(wrong)


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path, separator):
    package(tmp_path / "model", separator)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    models.load(str(tmp_path / "model"))
    assert torch.equal(torch.rand(1), expected)


def test_a_separator_in_the_started_script_is_refused():
    with pytest.raises(sources.PackagingError, match="'__main__' has no source file"):
        sources.collect("__main__")


def test_a_model_is_registered_once_and_becomes_champion(folder, uri, client, separator, monkeypatch):
    package(folder / "model", separator, sources=["maternal", "fetal"], sample_rate=128.0)
    tracker = Tracker(folder / "box.db", "study-1", uri=uri)
    tracker.open_study("study", {}, {})
    tracker.trial_started("final-2/seed-1", "final", {"beta": 0.5}, stage="finals")
    try:
        assert models.incumbent("cass-ecg", uri) is None
        with monkeypatch.context() as killed:  # the upload is never finished, no version made
            killed.setattr("mlflow.MlflowClient.finalize_logged_model", lambda *a: None)
            killed.setattr("mlflow.MlflowClient.create_model_version", lambda *a, **k: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                models.register(tracker, "final-2/seed-1", folder / "model", "cass-ecg")
        for _ in range(2):
            version = models.register(tracker, "final-2/seed-1", folder / "model", "cass-ecg", description="best")
            assert version == "1"
        run_id = tracker.run_ids()["final-2/seed-1"]
    finally:
        assert tracker.close(20) == 0
    models.set_champion("cass-ecg", "1", uri)
    assert models.incumbent("cass-ecg", uri) == models.Incumbent("1", run_id)
    assert len(client.search_model_versions("name = 'cass-ecg'")) == 1
    assert client.get_model_version("cass-ecg", "1").tags["sepray.study"] == "study-1"
    run = client.get_run(run_id)
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.source_run_id, str(logged.status), logged.params) == (run_id, "READY", {"beta": "0.5"})
    described = models.describe("models:/cass-ecg@champion", uri)
    assert (described["sources"], described["sample_rate"]) == (["maternal", "fetal"], 128.0)
    assert described["run_id"] == run_id
    estimates = models.load("models:/cass-ecg/1", uri).predict(MIXTURES)
    np.testing.assert_allclose(estimates, EXPECTED, rtol=1e-6)


def test_errors_are_one_line_without_secrets(tmp_path, uri):
    with pytest.raises(UnreachableError) as error:
        models.incumbent("x", "http://me:pw@127.0.0.1:9")
    assert str(error.value) == "MLflow at http://me:***@127.0.0.1:9 does not answer: Connection refused"
    with pytest.raises(models.ModelError, match="Registered Model with name=nope not found"):
        models.load("models:/nope@champion", uri)
    with pytest.raises(models.ModelError, match="neither a models:/ address nor a folder"):
        models.load(str(tmp_path / "nowhere"))


def test_cass_is_packaged_with_its_leaves(tmp_path):
    from sepray.separators import cass

    found = sources.collect("sepray.separators.cass", "sepray.tracking.loader")
    assert {"sepray.separators.cass", "sepray.contracts", "sepray.networks.residual", "sepray.signals.stft"} <= set(
        found
    )
    assert not [
        name for name in found if name.startswith(("sepray.study", "sepray.tasks", "sepray.execution.trainable"))
    ]
    torch.manual_seed(0)
    built = cass.DEBUG.build(Signal(("a", "b"), 1, (64,), 128.0)).eval()
    mixtures = np.random.default_rng(1).standard_normal((2, 1, 64)).astype(np.float32)
    package_model(tmp_path / "model", separator=built, config=cass.DEBUG, example=mixtures[:1], metadata={})
    predicted = models.load(str(tmp_path / "model")).predict(mixtures)
    with torch.no_grad():
        expected = built.separate(torch.from_numpy(mixtures)).numpy()
    np.testing.assert_array_equal(predicted, expected)


def test_rewriting_keeps_the_rest_of_the_text():
    text = textwrap.dedent(
        '''
        """Ä docstring."""
        import os, sepray.contracts as c; x = 1
        def f():
            from sepray.metrics import (a,
                                        b as bb)  # why
            return "from sepray.metrics import a"
        '''
    )
    rewritten = sources._rewrite(text, "mine", False, "p")
    assert rewritten == textwrap.dedent(
        '''
        """Ä docstring."""
        import os; import p.contracts as c; x = 1
        def f():
            from p.metrics import a, b as bb  # why
            return "from sepray.metrics import a"
        '''
    )

"""Packaged models: what is in them, and that they load where neither sepray nor the user's files are."""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.contracts import Signal
from sepray.tracking import load_check, models, sources
from sepray.tracking.connection import import_mlflow
from sepray.tracking.packaging import package_model
from sepray.tracking.sources import PackagingError

from . import scaled
from .scaled import EXPECTED, MIXTURES, package

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


@pytest.mark.slow  # in this process: test_the_signature_refuses_other_shapes_and_types; alone: tests/end_to_end
def test_a_model_predicts_the_same_where_neither_sepray_nor_the_users_files_exist(tmp_path, separator, unchecked):
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


def test_mlflow_reads_no_lists_of_all_installed_files_and_says_that_all_pins_are_there(
    tmp_path, separator, unchecked, monkeypatch, caplog
):
    utils = importlib.import_module("mlflow.utils.requirements_utils")
    monkeypatch.setattr(utils, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(utils.importlib_metadata, "packages_distributions", lambda: pytest.fail("read"))
    told = []
    monkeypatch.setattr(utils._logger, "warning", lambda *words: told.append(words))
    package(tmp_path / "model", separator)
    assert told == []
    assert utils._MODULES_TO_PACKAGES is None
    monkeypatch.setattr(utils, "_MODULES_TO_PACKAGES", {"of": ["the user"]})
    package(tmp_path / "again", separator)
    assert utils._MODULES_TO_PACKAGES == {"of": ["the user"]}


def test_the_folder_holds_no_pickle_and_only_what_is_needed(tmp_path, separator, unchecked):
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
        f"code/{code}/tracking/served.py",
        f"code/{code}/user/__init__.py",
        f"code/{code}/user/mine/__init__.py",
        f"code/{code}/user/mine/gains.py",
        f"code/{code}/user/mine/offsets.py",
        f"code/{code}/user/mine/separator.py",
    }
    for path in (tmp_path / "model").rglob("*"):
        assert path.is_dir() or path.read_bytes()[:1] != b"\x80", f"{path} looks like a pickle"
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), f"{path} names this machine's folders"


def test_requirements_are_pinned_and_none_is_forgotten(tmp_path, separator, unchecked):
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


def test_the_digest_tells_models_apart_and_nothing_else(tmp_path, separator, unchecked):
    first = package(tmp_path / "a", separator, study="one")
    assert package(tmp_path / "b", separator, study="two") == first
    with torch.no_grad():
        separator[0].gain += 1
    assert package(tmp_path / "a", separator) != first


def test_the_signature_refuses_other_shapes_and_types(tmp_path, separator, unchecked):
    package(tmp_path / "model", separator)
    model = import_mlflow().pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_allclose(model.predict(MIXTURES[:, :, :5]), EXPECTED[..., :5], rtol=1e-6)
    assert model.input_example.shape == (1, 1, 8)
    error = import_mlflow().MlflowException
    for wrong in (MIXTURES[0], MIXTURES.astype(np.float64), np.repeat(MIXTURES, 2, axis=1)):
        with pytest.raises(error, match="Failed to enforce schema"):
            model.predict(wrong)


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path, separator, unchecked):
    package(tmp_path / "model", separator)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    models.load(str(tmp_path / "model"))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
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


# A separator that was installed: a package of two files with relative imports, and a second package of the same
# distribution.
LAB = {
    "lab/__init__.py": "from .separator import Config\n\nSCALE = 1.0\n",
    "lab/separator.py": scaled.SEPARATOR.replace("import mine.gains", "import lab, lab_gains.twice").replace(
        "mine.gains.double(self.gain)", "lab.SCALE * lab_gains.twice.double(self.gain)"
    ),
    "lab/offsets.py": "OFFSET = 0.5\n",
    "lab_gains/twice.py": "def double(x):\n    return 2 * x\n",
    "lab-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n",
    "lab-1.0.dist-info/top_level.txt": "lab\nlab_gains\n",
}


@pytest.fixture(params=["site-packages", "target"])
def installed(request, tmp_path, users_folder, monkeypatch):
    """The module of a separator in site-packages, or where ``pip install --target`` has put it."""
    folder = tmp_path / "lib" / request.param
    scaled.write(folder, LAB)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return importlib.import_module("lab.separator")


def test_an_installed_separator_travels_with_all_that_its_distribution_gives_it(tmp_path, installed, unchecked):
    package(tmp_path / "model", scaled.built(installed.Config()))
    copied = {
        str(p.relative_to(next((tmp_path / "model" / "code").iterdir()))) for p in (tmp_path / "model").rglob("*.py")
    }
    assert {p for p in copied if p.startswith("user/")} == {
        "user/__init__.py",
        "user/lab/__init__.py",
        "user/lab/offsets.py",
        "user/lab/separator.py",
        "user/lab_gains/__init__.py",
        "user/lab_gains/twice.py",
    }
    assert not [line for line in (tmp_path / "model" / "requirements.txt").read_text().split() if "lab" in line]
    np.testing.assert_allclose(models.load(str(tmp_path / "model")).predict(MIXTURES), EXPECTED, rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "extra = __import__('mine.extra')",
            "No module named 'mine' (separator.py: extra = __import__('mine.extra'))",
        ),
        pytest.param(
            "from importlib import import_module; import_module('beside')",
            "No module named 'beside' (separator.py: ",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "__import__('sepray.choices')",
            "No module named 'sepray' (separator.py: __import__('sepray.choices'))",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "open(__file__.replace('separator.py', 'table.txt')).close()",
            "FileNotFoundError: [Errno 2]",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_load_by_itself_is_refused_and_the_old_model_stays(tmp_path, users_folder, line, why):
    beside = {"extra.py": "", "table.txt": "", "../beside.py": ""}
    scaled.write(users_folder / "mine", scaled.FILES | beside | {"separator.py": f"{scaled.SEPARATOR}\n{line}\n"})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("old")
    separator = scaled.built(importlib.import_module("mine.separator").Config())
    with pytest.raises(PackagingError, match="does not load by itself: " + re.escape(why)) as refused:
        package(tmp_path / "model", separator)
    assert "\n" not in str(refused.value)
    assert "sepray_model_" not in str(refused.value)
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["MLmodel"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "theirs"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("__import__('mine.extra')", "No module named 'mine' (separator.py: __import__('mine.extra'))"),
        pytest.param(
            "return mixture",
            "ValueError: the estimates of mixtures [1, 1, 8] are [1, 1, 8], not [1, 2, 1, 8]",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_separate_by_itself_is_refused(tmp_path, users_folder, line, why):
    text = scaled.SEPARATOR.replace("        scale = mine", f"        {line}\n        scale = mine")
    scaled.write(users_folder / "mine", scaled.FILES | {"extra.py": "", "separator.py": text})
    separator = scaled.built(importlib.import_module("mine.separator").Config())
    with pytest.raises(PackagingError, match="loads, but does not separate by itself: " + re.escape(why)):
        package(tmp_path / "model", separator)
    assert [p.name for p in tmp_path.iterdir()] == ["theirs"]


def test_separator_of_an_installed_wheel_travels_with_its_data_files(tmp_path, lab):
    module = importlib.import_module("lab_echo.separator")
    model = module.WIDE.build(scaled.SIGNAL)
    described = {"separator": model, "config": module.WIDE, "example": MIXTURES[:1], "metadata": {}}
    package_model(tmp_path / "model", **described)  # which loads it where lab_echo cannot be imported
    [code] = (tmp_path / "model" / "code").iterdir()
    copied = {str(p.relative_to(code / "user")) for p in (code / "user").rglob("*") if p.is_file()}
    assert copied == {
        "__init__.py",
        "lab_echo/__init__.py",
        "lab_echo/base.py",
        "lab_echo/data/gains.json",
        "lab_echo/separator.py",
        "lab_echo/shapes.py",
        "lab_echo/tables.py",
    }
    assert "lab" not in (tmp_path / "model" / "requirements.txt").read_text()
    expected = np.repeat((MIXTURES * np.float32(3.0) + np.float32(0.5))[:, None], 2, axis=1)
    np.testing.assert_allclose(models.load(str(tmp_path / "model")).predict(MIXTURES), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit(3)", "the process ended with status 3"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "the process ended with status -9", marks=pytest.mark.slow),
        pytest.param("import time; time.sleep(60)", "no answer in 1 s", marks=pytest.mark.slow),
        pytest.param("print('no answer')", "Expecting value", marks=pytest.mark.slow),
        ('print(\'{"error": "ImportError: libtorch.so"}\')', "ImportError: libtorch.so"),
    ],
)
def test_a_process_that_fails_itself_costs_no_model(tmp_path, separator, monkeypatch, script, reason):
    monkeypatch.setattr(load_check, "TIMEOUT", 1.0)
    monkeypatch.setattr(load_check.load_alone, "__file__", str(tmp_path / "script.py"))
    (tmp_path / "script.py").write_text(script)
    with pytest.warns(UserWarning, match=re.escape(f"the model was not checked ({reason}")):
        package(tmp_path / "model", separator)
    assert (tmp_path / "model" / "MLmodel").is_file()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param("MemoryError('weights')", marks=pytest.mark.slow),
        'RuntimeError("DefaultCPUAllocator: can\'t allocate memory: 9 bytes")',
    ],
)
def test_too_little_memory_costs_no_model(tmp_path, users_folder, monkeypatch, error):
    line = f"if __name__ != 'mine.separator':\n    raise {error}\n"
    scaled.write(users_folder / "mine", scaled.FILES | {"separator.py": f"{scaled.SEPARATOR}\n{line}"})
    separator = scaled.built(importlib.import_module("mine.separator").Config())
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=re.escape(f"model: the model was not checked ({error[:11]}")):
        package(Path("model"), separator)
    assert (tmp_path / "model" / "MLmodel").is_file()


@pytest.mark.slow
def test_a_relative_folder_is_checked_too(tmp_path, separator, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package(Path("model"), separator)
    assert (tmp_path / "model" / "MLmodel").is_file()


def test_a_process_that_cannot_be_started_costs_no_model(tmp_path, separator, monkeypatch):
    monkeypatch.setattr(load_check.sys, "executable", str(tmp_path / "no_python"))
    with pytest.warns(UserWarning, match=r"the model was not checked .*No such file"):
        package(tmp_path / "model", separator)
    assert (tmp_path / "model" / "MLmodel").is_file()


def test_a_configuration_without_a_json_form_is_refused(tmp_path, separator, unchecked):
    model, config = separator
    config = dataclasses.replace(config, inner=dataclasses.replace(config.inner, gains=(1j,)))
    with pytest.raises(
        PackagingError, match=r"mine.separator.Config has a value without a JSON form \(Object of type comp"
    ):
        package(tmp_path / "model", (model, config))
    assert not (tmp_path / "model").exists()


def test_numbers_of_numpy_in_a_configuration_are_packaged_as_numbers(tmp_path, separator, unchecked):
    model, config = separator
    config = dataclasses.replace(config, inner=dataclasses.replace(config.inner, gains=(np.int64(2), np.bool_(True))))
    package(tmp_path / "model", (model, config))
    [described] = (tmp_path / "model").rglob("separator.json")
    assert json.loads(described.read_text())["config"]["inner"]["gains"] == [2, True]

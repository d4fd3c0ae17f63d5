"""The public API: ``import sepray`` is light, its names are imported when looked at, and ``run`` gives a result."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import sepray
from sepray import study
from sepray.results import study_result
from sepray.spec.permissions import Permissions

NAMES = {"StudySpec", "StudyResult", "run", "load_study", "load_model", "separate", "evaluate", "compare"}


def test_import_of_sepray_brings_nothing_large():
    script = "import sys, sepray; print(sorted(n for n in sys.modules if n.split('.')[0] in sys.argv[1:]))"
    large = ["torch", "ray", "mlflow", "optuna", "numpy", "pandas", "tyro", "rich"]
    command = [sys.executable, "-c", script, *large]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_api_is_found():
    assert set(sepray.__all__) == NAMES | {"__version__"}
    assert set(dir(sepray)) >= NAMES
    assert {name: getattr(sepray, name).__name__ for name in NAMES} == {name: name for name in NAMES}
    assert all(getattr(sepray, name).__doc__ for name in NAMES)


def test_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match="module 'sepray' has no attribute 'fit'; it offers StudySpec, "):
        sepray.fit  # noqa: B018


@pytest.fixture
def spec(tmp_path):
    stores = {"storage": f"sqlite:///{tmp_path}/o.db", "tracking_uri": "sqlite:///m.db", "storage_path": str(tmp_path)}
    return sepray.StudySpec(name="small", separator="cass", task="ecg", cache=tmp_path / "data", **stores)


@pytest.mark.parametrize("status", [0, 1, 3])
def test_run_returns_what_the_stores_hold_and_how_it_ended(monkeypatch, spec, tmp_path, status):
    asked = []
    monkeypatch.setattr(study, "execute", lambda given, _: asked.append(given) or status)
    monkeypatch.setattr(study_result, "load_study", lambda *given: given)
    read = sepray.run(spec)
    assert asked == [spec]
    where = (f"sqlite:///{tmp_path}/o.db", str(tmp_path), "sqlite:///m.db", Path(tmp_path / "data"))
    assert read == ("small", *where, status)


@pytest.mark.parametrize("name", [field.name for field in fields(Permissions)])
def test_run_allows_what_a_command_does(monkeypatch, spec, name):
    asked = []
    monkeypatch.setattr(study, "execute", lambda _, permitted: asked.append(permitted) or 0)
    monkeypatch.setattr(study_result, "load_study", lambda *given: given)
    sepray.run(spec, **{name: True})
    assert asked == [Permissions(**{name: True})]


def test_interrupted_run_raises_so_that_a_notebook_or_script_stops(monkeypatch, spec):
    monkeypatch.setattr(study, "execute", lambda given, _: 130)
    with pytest.raises(KeyboardInterrupt):
        sepray.run(spec)

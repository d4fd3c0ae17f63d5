"""The user's code that travels to the workers of a cluster, and the code that stays where it is."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from sepray.execution.worker_code import Shipment, shipment

MODULES = ("ship_separator", "ship_helpers", "ship_lazy", "ship_tools", "ship_space", "ship_lab")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's folder: modules, packages, and what must not leave it."""
    files = {
        "ship_separator.py": "import ship_helpers, ship_tools.filters, ship_space.inner.deep\n",
        "ship_helpers.py": "GAIN = 2\n",
        "ship_unused.py": "",
        "ship_tools/__init__.py": "",
        "ship_tools/filters.py": "",
        "ship_tools/lazy/__init__.py": "",  # imported inside a function, later
        "ship_tools/lazy/late.py": "",
        "ship_tools/weights.npz": "data",
        "ship_tools/.env": "TOKEN=secret",
        "ship_tools/key.pem": "secret",
        "ship_tools/.git/hook.py": "",
        "ship_tools/venv/pyvenv.cfg": "",
        "ship_tools/venv/lib/other.py": "",
        "ship_tools/__pycache__/filters.pyc": "",
        "ship_space/inner/deep.py": "",
        "ship_space/recordings.csv": "data",
        "ship_space/other/not_imported.py": "",
        "recordings/1.wav": "data",
        ".git/config": "[remote] url = https://user:secret@host",
        ".env": "TOKEN=secret",
    }
    for name, text in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    importlib.invalidate_caches()
    yield tmp_path / "project"
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def own(shipped: Shipment) -> set[str]:
    """The files that are shipped of these modules, by their paths in the folders that workers import from."""
    found = set()
    for path in map(Path, shipped.paths):
        inner = path.rglob("*") if path.is_dir() else [path]
        found |= {str(file.relative_to(path.parent)) for file in inner if file.is_file()}
    return {name for name in found if name.startswith("ship_")}


def test_every_local_module_that_was_imported_is_shipped_and_nothing_else(project):
    importlib.import_module("ship_separator")
    with shipment(["sepray", "ship_separator"]) as shipped:
        assert own(shipped) == {
            "ship_separator.py",
            "ship_helpers.py",
            "ship_tools/__init__.py",
            "ship_tools/filters.py",
            "ship_tools/lazy/__init__.py",
            "ship_tools/lazy/late.py",
            "ship_space/inner/deep.py",
        }
        assert {"sepray", "ship_helpers", "ship_separator", "ship_space", "ship_tools"} <= set(shipped.names)
        copied = [Path(path) for path in shipped.paths]
        files = [f for path in copied for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()]
        assert (shipped.files, shipped.size) == (len(files), sum(f.stat().st_size for f in files))
        assert shipped.in_words().startswith("sepray, ")
    assert not any(map(os.path.exists, shipped.paths))


def test_module_that_was_named_is_shipped_though_nothing_has_imported_it(project):
    with shipment(["ship_helpers", "__main__"]) as shipped:
        assert own(shipped) == {"ship_helpers.py"}
        assert not {"__main__", "__mp_main__"} & set(shipped.names)


def test_no_library_and_nothing_of_python_is_shipped():
    with shipment(["sepray"]) as shipped:
        assert not {"torch", "numpy", "ray", "json", "pytest", "sysconfig"} & set(shipped.names)
        sepray = next(Path(path) for path in shipped.paths if Path(path).name == "sepray")
        source = Path(sys.modules["sepray"].__file__).parent
        modules = {path.relative_to(source) for path in source.rglob("*.py")}
        assert {path.relative_to(sepray) for path in sepray.rglob("*.py")} == modules


@pytest.mark.parametrize("place", ["site-packages", "target"])
def test_installed_package_is_shipped_where_it_is_named_with_its_data(tmp_path, monkeypatch, place):
    folder = tmp_path / place
    (folder / "ship_lab" / "tables").mkdir(parents=True)
    (folder / "ship_lab-1.0.dist-info").mkdir()
    for name in ("__init__.py", "tables/leads.json", "__init__.pyc"):
        (folder / "ship_lab" / name).write_text("")
    monkeypatch.syspath_prepend(str(folder))
    importlib.import_module("ship_lab")
    try:
        with shipment(["sepray"]) as shipped:
            assert own(shipped) == set()  # the nodes have it, as they have torch
        with shipment(["ship_lab.filters"]) as shipped:
            assert own(shipped) == {"ship_lab/__init__.py", "ship_lab/tables/leads.json"}
    finally:
        del sys.modules["ship_lab"]


def test_size_is_said_in_words():
    told = Shipment([], ["a", "sepray", "b"], 12, 3_149_000).in_words()
    assert told == "sepray, a, b (12 files, 3.1 MB)"
    assert Shipment([], ["a"], 1, 0).in_words() == "a (1 file, 0.0 MB)"

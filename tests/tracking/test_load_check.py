"""The check that a packaged model loads alone, without its process: what it is asked, and what its answers mean."""

import cProfile
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sepray.tracking import load_check
from sepray.tracking.sources import PackagingError

MIXTURES = np.arange(6.0, dtype=np.float32).reshape(1, 2, 3)


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Checks a model whose process answers as given; returns the reason, and notes how it was called."""
    monkeypatch.setattr(load_check, "_libraries", lambda files: ["/lib"])

    def check(answer, model=tmp_path / "model"):
        def run(command, **named):
            check.called = (command, named)
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(stdout=answer if isinstance(answer, str) else json.dumps(answer))

        monkeypatch.setattr(subprocess, "run", run)
        files = {"mine.separator": Path("/x/mine/separator.py")}
        return load_check.require_working(model, "sepray_model_12ab", files, MIXTURES)

    return check


def test_process_is_given_the_model_and_an_example_and_nothing_of_the_project(check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check({"works": True}, Path("model")) is None
    np.testing.assert_array_equal(np.load(tmp_path / "example.npy"), MIXTURES)
    command, named = check.called
    assert command == [sys.executable, "-I", "-B", load_check.load_alone.__file__]
    assert json.loads(named.pop("input")) == {
        "path": [str(tmp_path / "model" / "code"), "/lib"],
        "refused": ["mine", "sepray"],
        "loader": "sepray_model_12ab.tracking.loader",
        "data": str(tmp_path / "model" / "data" / "separator"),
        "example": str(tmp_path / "example.npy"),
    }
    assert named == {"capture_output": True, "text": True, "timeout": 120.0, "check": True, "cwd": "/"}


def test_model_that_does_not_load_is_refused_in_the_users_own_names(check):
    answer = {
        "works": False,
        "loaded": False,
        "error": "No module\n named 'sepray_model_12ab.user.mine.x' in sepray_model_12ab of me:a@b",
    }
    with pytest.raises(PackagingError) as refusal:
        check(answer)
    assert ": No module named 'mine.x' in sepray of me:a@b; what it needs must be imported" in str(refusal.value)
    assert "copy of its source files does not load by itself" in str(refusal.value)
    with pytest.raises(
        PackagingError, match=r"files loads, but does not separate by itself: http://me:\*\*\*@host; what"
    ):
        check({"works": False, "loaded": True, "error": "http://me:hunter2@host"})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"error": "ImportError: http://me:hunter2@host"}, "ImportError: http://me:***@host"),
        ({"error": "ImportError: \n\nRead this.\n  The cause\n"}, "ImportError: Read this. The cause"),
        ("no JSON", "Expecting value: line 1 column 1 (char 0)"),
        (OSError("no python"), "no python"),
        (subprocess.TimeoutExpired("python", 120), "no answer in 120 s"),
        (subprocess.CalledProcessError(-9, "python", stderr=""), "the process ended with status -9"),
        (
            subprocess.CalledProcessError(3, "python", stderr=f"first\n{'x' * 300}\n"),
            f"the process ended with status 3: {'x' * 200}",
        ),
        (
            subprocess.CalledProcessError(3, "python", stderr="http://me:hunter2@host"),
            "the process ended with status 3: http://me:***@host",
        ),
        (  # what is cut is already masked
            subprocess.CalledProcessError(3, "python", stderr=f"{'x' * 180} http://me:hunter2hunter2@host"),
            f"the process ended with status 3: {'x' * 180} http://me:***@host",
        ),
    ],
)
def test_process_that_fails_itself_says_nothing_of_the_model(check, answer, reason):
    assert check(answer) == reason


def test_folders_of_the_users_own_modules_are_no_libraries(tmp_path, monkeypatch):
    kept, installed = str(tmp_path / "lib"), str(tmp_path / "site-packages")
    script, here, package, module, init = (tmp_path / name for name in ("script", "here", "one", "two", "three"))
    for folder in (script, here):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(script / "study.py")))
    own = [str(folder) for folder in (script, here, package, module, init)]
    monkeypatch.setattr(sys, "path", ["", *own, kept, installed])
    files = {
        "a.b": package / "a" / "b.py",
        "c": module / "c.py",
        "d.e": init / "d" / "e" / "__init__.py",
        "f": Path(installed) / "f.py",
    }
    assert load_check._libraries(files) == [kept, installed]
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    assert load_check._libraries({}) == [*own[:1], *own[2:], kept, installed]


def test_programs_of_python_itself_leave_its_library(monkeypatch):
    """Such a program is ``python -m cProfile study.py``."""
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=cProfile.__file__))
    library = str(Path(cProfile.__file__).parent)
    monkeypatch.setattr(sys, "path", [library])
    assert load_check._libraries({}) == [library]

"""The script that loads a model alone, in this process: what it answers, and whose fault it says it is."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sepray.tracking import load_alone


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a "model" whose loader is the given Python text; returns the verdict."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(load_alone, "LIBRARIES", ("json",))
    before = set(sys.modules)

    def verdict(text: str, **settings):
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "loader_of_test.py").write_text(f"import os\ndef _load_pyfunc(folder):\n{text}")
        (tmp_path / "code" / "refused_of_test.py").touch()
        monkeypatch.setattr(sys, "path", ["/nowhere"])
        path = [str(tmp_path / "code"), *real]
        monkeypatch.setattr(load_alone, "_separate", lambda model, example: separated.append(example))
        given = {"path": path, "refused": ["refused_of_test"], "loader": "loader_of_test", "data": "the data"}
        given["example"] = "an example"
        return load_alone.verdict(given | settings)

    real = list(sys.path)
    separated: list[str] = []
    verdict.separated = separated
    yield verdict
    for name in set(sys.modules) - before:
        if name == "loader_of_test":
            del sys.modules[name]


def test_model_is_loaded_from_its_folder_by_its_own_path(load):
    assert load("    assert folder == 'the data'\n") == {"works": True}
    assert load.separated == ["an example"]
    assert sys.path[0].endswith("/code")
    assert "/nowhere" not in sys.path


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "    import refused_of_test\n",
            "No module named 'refused_of_test' (loader_of_test.py: import refused_of_test)",
        ),
        ("    os.stat('/no/file')\n", "FileNotFoundError: [Errno 2] No such file or directory: '/no/file' (load"),
        ("    raise ValueError('gain')\n", "ValueError: gain (loader_of_test.py: raise ValueError('gain'))"),
    ],
)
def test_what_the_model_lacks_is_told_with_the_line_that_needs_it(load, text, answer):
    found = load(text)
    assert found["loaded"] is False
    assert found["error"].startswith(answer)


def test_error_outside_the_models_code_has_no_line(load):
    found = load("    pass\n", loader="no_such_loader")
    assert found == {"works": False, "loaded": False, "error": "No module named 'no_such_loader'"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("MemoryError('weights')", "MemoryError: weights"),
        ("RuntimeError('you cannot allocate memory')", "RuntimeError: you cannot allocate memory"),
    ],
)
def test_too_little_memory_says_nothing_of_the_model(load, error, reason):
    assert load(f"    raise {error}\n") == {"error": reason}


def test_library_that_every_model_needs_says_nothing_of_the_model(load, monkeypatch):
    monkeypatch.setattr(load_alone, "LIBRARIES", ("no_such_library",))
    assert load("    pass\n") == {"error": "ModuleNotFoundError: No module named 'no_such_library'"}


def test_refused_names_cannot_be_imported_and_others_can():
    finder = load_alone.Refusal(["sepray", "mine"])
    for name in ("sepray", "sepray.contracts", "mine"):
        with pytest.raises(ModuleNotFoundError) as refusal:
            finder.find_spec(name)
        assert refusal.value.name == name
    assert finder.find_spec("seprays") is None
    assert finder.find_spec("json.mine") is None


def test_only_the_answer_is_printed(monkeypatch):
    answers, done = io.StringIO(), []
    monkeypatch.setattr(answers, "close", lambda: done.append("closed"))
    system = SimpleNamespace(
        dup=lambda descriptor: done.append(("dup", descriptor)) or 99,
        dup2=lambda *descriptors: done.append(("dup2", *descriptors)),
        fdopen=lambda *given: done.append(given) or answers,
    )
    monkeypatch.setattr(load_alone, "os", system)
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"path": ["a"]}'))
    monkeypatch.setattr(load_alone, "verdict", lambda settings: done.append(settings) or {"loaded": True})
    load_alone.main()
    assert done == [("dup", 1), (99, "w"), ("dup2", 2, 1), {"path": ["a"]}, "closed"]
    assert json.loads(answers.getvalue()) == {"loaded": True}


def test_script_imports_the_standard_library_only():
    names = {
        line.split()[1].partition(".")[0]
        for line in Path(load_alone.__file__).read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert names <= sys.stdlib_module_names

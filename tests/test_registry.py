"""Modules are found by their name; what is not there is refused with what there is."""

import pytest

from sepray import registry


def test_names_are_those_of_the_files():
    assert "ecg" in registry.names("sepray.tasks")
    assert "cass" in registry.names("sepray.separators")


def test_finds_the_projects_own_and_the_users(tmp_path, monkeypatch):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "mine.py").write_text("class Config: pass")
    (tmp_path / "alone.py").write_text("class Config: pass")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.find("sepray.tasks", "ecg").__name__ == "sepray.tasks.ecg"
    assert registry.find("sepray.tasks", "lab.mine").__name__ == "lab.mine"
    assert registry.find("sepray.tasks", "alone").__name__ == "alone"


@pytest.mark.parametrize("name", ["nothing_here", "nothing.here", "sepray.tasks.nothing"])
def test_unknown_names_are_refused_with_what_there_is(name):
    with pytest.raises(registry.UnknownNameError, match=r"unknown task .*there are: .*ecg"):
        registry.find("sepray.tasks", name)


def test_a_module_that_is_no_task_is_refused():
    with pytest.raises(registry.UnknownNameError, match="'json' is no task: it has no Config"):
        registry.find("sepray.tasks", "json")


def test_a_broken_import_inside_the_users_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("import surely_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        registry.find("sepray.tasks", "broken")

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


LAB = """
from dataclasses import dataclass, replace

@dataclass(frozen=True)
class Config:
    taps: int = 9

WIDE = Config(taps=99)
WIDE_DEBUG = replace(WIDE, taps=3)
LIMIT = 7
narrow = Config(taps=1)
"""


@pytest.fixture
def lab(tmp_path, monkeypatch) -> str:
    (tmp_path / "registry_lab.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    return "registry_lab"


def test_configurations_are_constants_that_are_found_by_their_names(lab):
    module = registry.find("sepray.separators", lab)
    assert registry.config("sepray.separators", lab) == module.Config()
    assert registry.config("sepray.separators", f"{lab}:wide") is module.WIDE
    assert registry.find("sepray.separators", f"{lab}:wide") is module
    assert registry.configs(module) == {"wide": module.WIDE, "wide_debug": module.WIDE_DEBUG}
    assert registry.config_names("sepray.separators", lab) == ("wide", "wide_debug")
    registry.check("sepray.separators", f"{lab}:wide")


@pytest.mark.parametrize("named", ["narrow", "limit", "WIDE", ""])
def test_unknown_configurations_are_refused_with_those_that_there_are(lab, named):
    line = rf"^registry_lab has no configuration '{named}'; there are: registry_lab:wide, registry_lab:wide_debug$"
    for look in (registry.config, registry.check):
        with pytest.raises(registry.UnknownNameError, match=line):
            look("sepray.separators", f"{lab}:{named}")


def test_names_of_configurations_are_read_without_importing(tmp_path, monkeypatch):
    (tmp_path / "heavy.py").write_text("raise MemoryError\n" + LAB)
    monkeypatch.syspath_prepend(tmp_path)
    registry.check("sepray.separators", "heavy:wide")
    with pytest.raises(registry.UnknownNameError, match="no configuration 'wider'"):
        registry.check("sepray.separators", "heavy:wider")


def test_every_named_configuration_of_the_project_is_seen_in_its_source():
    for name in registry.names("sepray.separators"):
        module = registry.find("sepray.separators", name)
        assert set(registry.config_names("sepray.separators", name)) == set(registry.configs(module))

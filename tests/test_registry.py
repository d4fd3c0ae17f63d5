"""Modules, their configurations and their variants are found by name; other names are refused with those that exist."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sepray import registry
from sepray.disk import private_list
from sepray.identity import plain
from sepray.modules import own_modules

FOLDER = Path(registry.__file__).parent


def test_names_are_those_of_the_files_and_every_file_that_is_no_name_is_a_variant():
    assert "ecg" in registry.names("sepray.tasks")
    known = {"separators": {"cass_logarithmic", "cass_published"}, "tasks": {"ecg_varied", "ppg_varied"}}
    for kind, variants in known.items():
        files = {path.stem for path in (FOLDER / kind).glob("*.py") if path.stem[0] != "_"}
        assert set(registry.names(f"sepray.{kind}")) == files - variants


def test_a_variant_is_known_by_the_name_of_its_base():
    package = "sepray.separators"
    variant = registry.find(package, "cass:published_small")
    base = registry.find(package, "cass:small")
    assert (base.__name__, variant.__name__) == (f"{package}.cass", f"{package}.cass_published")
    assert registry.variants(base.__name__)["published"] == variant.__name__
    assert registry.stored_variants(base.__name__) == {"published": "logarithmic", "published_code": "published"}
    assert registry.variants(variant.__name__) == registry.variants(f"{package}.nmf") == {}
    assert registry.stored_module(variant.__name__) == registry.stored_module(base.__name__) == base.__name__
    assert registry.config(package, "cass:published") == variant.Config()
    assert registry.config(package, "cass:published_small") is variant.SMALL
    assert list(registry.configs(base)) == [
        "small",
        "quick",
        "ecg",
        "debug",
        "logarithmic",
        "logarithmic_small",
        "logarithmic_debug",
        "published",
        "published_mixture",
        "published_small",
        "published_debug",
    ]
    assert registry.config_names(package, "cass") == tuple(registry.configs(base))
    assert "dense" in registry.fields(package, "cass:published")
    assert "dense" not in registry.fields(package, "cass")
    registry.check(package, "cass:published_small")
    with pytest.raises(
        registry.UnknownNameError,
        match=r"^cass has no configuration 'published_large'; perhaps you meant published_mixture; there are: ",
    ):
        registry.check(package, "cass:published_large")
    with pytest.raises(registry.UnknownNameError, match="unknown separator 'cass_published'"):
        registry.check(package, "cass_published")


def test_a_variant_is_restored_by_the_field_variant():
    package, base = "sepray.separators", "sepray.separators.cass"
    stored_as = {"cass:small": "paper", "cass:published_small": "published_code", "cass:logarithmic_small": "published"}
    for name, variant in stored_as.items():
        config = registry.config(package, name)
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in plain(config).items()}
        assert registry.restored(package, base, values) == config
        assert values["variant"] == variant
    with pytest.raises(registry.MisfitError, match="no_such_field"):
        registry.restored(package, base, {"no_such_field": 1})


def test_a_stored_value_of_another_type_is_told_from_a_bug(monkeypatch):
    @dataclass(frozen=True)
    class Config:
        size: int = 8
        rates: tuple[float, ...] = ()
        anything: "no.such.Type" = None  # noqa: F821

        def __post_init__(self):
            raise TypeError(f"no {self.size + 1}")

    monkeypatch.setattr(registry.find("sepray.tasks", "ecg"), "Config", Config)
    with pytest.raises(TypeError, match=r"^no 10$"):  # of a class whose annotations cannot be resolved nothing is said
        registry.restored("sepray.tasks", "sepray.tasks.ecg", {"size": 9})
    del Config.__annotations__["anything"]
    for values, wrong in (({"size": "9"}, "size is '9'"), ({"rates": [1, "x"]}, r"rates is \[1, 'x'\]")):
        with pytest.raises(registry.MisfitError, match=f"^{wrong}$"):
            registry.restored("sepray.tasks", "sepray.tasks.ecg", values)
    with pytest.raises(TypeError, match=r"^no 10$") as raised:
        registry.restored("sepray.tasks", "sepray.tasks.ecg", {"size": 9, "rates": [1, 2.5]})
    assert not isinstance(raised.value, registry.MisfitError)


def test_module_of_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    with pytest.raises(registry.UnknownNameError) as refusal:
        registry.restored("sepray.separators", "lab_gone.separator", {})
    assert str(refusal.value) == (
        "the separator is lab_gone.separator, but lab_gone cannot be imported: install the package that has it, or "
        "start where its file lies"
    )
    (tmp_path / "lab_gone.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    private_list.remember_named("module", "lab_gone")
    assert type(registry.restored("sepray.separators", "lab_gone", {})).__module__ == "lab_gone"


def test_modules_of_users_have_no_variants(tmp_path, monkeypatch):
    for name in ("house", "house_red"):
        (tmp_path / f"{name}.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.stored_module("house_red") == "house_red"
    assert set(registry.configs(registry.find("sepray.separators", "house"))) == {"wide", "wide_debug"}
    assert registry.config_names("sepray.separators", "house") == ("wide", "wide_debug")
    assert registry.config("sepray.separators", "house_red:wide").taps == 99


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


def test_file_name_of_a_variant_is_refused_with_the_name_to_give():
    with pytest.raises(registry.UnknownNameError, match=r"^unknown task 'ecg_varied'; it is named ecg:varied; there"):
        registry.find("sepray.tasks", "ecg_varied")
    with pytest.raises(registry.UnknownNameError, match=r"^unknown separator 'cass_published'; it .* cass:published; "):
        registry.find("sepray.separators", "cass_published")


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
from typing import ClassVar

@dataclass(frozen=True)
class Config:
    taps: int = 9
    batch_size: ClassVar[int] = 1

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
    for find_configuration in (registry.config, registry.check):
        with pytest.raises(registry.UnknownNameError, match=line):
            find_configuration("sepray.separators", f"{lab}:{named}")


def test_names_of_configurations_are_read_without_importing(tmp_path, monkeypatch):
    (tmp_path / "heavy.py").write_text("raise MemoryError\n" + LAB)
    monkeypatch.syspath_prepend(tmp_path)
    registry.check("sepray.separators", "heavy:wide")
    assert registry.fields("sepray.separators", "heavy:wide") == {"taps"}  # no ClassVar is a flag
    with pytest.raises(registry.UnknownNameError, match="no configuration 'wider'"):
        registry.check("sepray.separators", "heavy:wider")


def test_every_named_configuration_of_the_project_is_seen_in_its_source():
    for name in registry.names("sepray.separators"):
        module = registry.find("sepray.separators", name)
        assert set(registry.config_names("sepray.separators", name)) == set(registry.configs(module))


TASK = """'''A task.'''
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    seed: int = 0

    def load(self, cache):
        return None

DEBUG = Config()
if __name__ == "__main__":
    print(DEBUG)
"""
NOT_NAMED = (
    r"^the storage names the task {0}, which no command of yours has named here, so it is not imported. If you trust "
)
NOT_NAMED += r"it, set SEPRAY_TRUST_MODULES=(/.*/)?{0}(\.py)?$"


def _refused(module: str) -> None:
    with pytest.raises(registry.UnknownNameError, match=NOT_NAMED.format(re.escape(module))):
        registry.restored("sepray.tasks", module, {})
    assert not module.startswith(("planted", "beside")) or module not in sys.modules


def test_module_that_only_a_storage_names_is_not_imported(tmp_path, monkeypatch):
    """Whoever may write to a shared storage chooses it."""
    for name in ("planted_one", "planted_two", "planted_three"):
        (tmp_path / f"{name}.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(own_modules.TRUSTED, raising=False)
    for name in ("planted_one", "planted_two", "planted_three", "ast", "sepray.console.terminal"):
        _refused(name)
    own_modules.remember("planted_one")  # by a command of this user
    assert registry.restored("sepray.tasks", "planted_one", {"seed": 3}).seed == 3
    monkeypatch.setenv(own_modules.TRUSTED, "other,planted_two")
    assert registry.restored("sepray.tasks", "planted_two", {}).seed == 0
    import planted_three  # type: ignore[import-not-found] # by this program itself

    assert registry.restored("sepray.tasks", "planted_three", {}) == planted_three.Config()
    with pytest.raises(registry.UnknownNameError):  # it is no separator
        registry.restored("sepray.separators", "planted_three", {})

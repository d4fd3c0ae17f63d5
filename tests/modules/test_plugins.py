"""Separators and tasks of other installed packages are found by the names that these announce."""

import json
import sys

import pytest

from sepray import registry, shipped
from sepray.cli.available import Available, available
from sepray.driver.saved_study import SavedStudy
from sepray.modules import plugins
from sepray.registry import UnknownNameError
from sepray.spec.study import StudySpec, key
from tests.lab_echo import announce, write

SEPARATORS, TASKS = "sepray.separators", "sepray.tasks"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder on the search path of this process."""
    folder = tmp_path / "other" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_announced_names_are_known_like_sepray_s_own(lab):
    assert {"cass", "echo"} < set(registry.names(SEPARATORS))
    assert "hall" in registry.names(TASKS)
    assert "hall" not in registry.names(SEPARATORS)
    assert list(registry.names(TASKS)) == sorted(registry.names(TASKS))
    module = registry.find(SEPARATORS, "echo")
    assert module.__name__ == "lab_echo.separator"
    assert registry.find(SEPARATORS, "echo:wide") is module
    assert registry.config(SEPARATORS, "echo") == module.Config()
    assert registry.config(SEPARATORS, "echo:wide") is module.WIDE
    assert registry.config(TASKS, "hall:small").items == 2
    assert registry.find(TASKS, "hall").__name__ == "lab_echo.rooms"


def test_module_that_cannot_be_read_costs_the_other_names_nothing(lab, monkeypatch):
    def refuse(module):
        raise PermissionError(13, "Permission denied", "separator.py")

    monkeypatch.setattr(plugins.source, "tree", refuse)
    problem = registry.announced_modules(SEPARATORS)["echo"].problem
    assert problem is not None
    assert problem.endswith("cannot be read: [Errno 13] Permission denied: 'separator.py'")


def test_announced_names_are_checked_without_importing_anything(lab):
    before = set(sys.modules)
    for package, name in ((SEPARATORS, "echo"), (SEPARATORS, "echo:wide_debug"), (TASKS, "hall:small")):
        registry.check(package, name)
    assert registry.config_names(SEPARATORS, "echo") == ("wide", "wide_debug")
    assert registry.config_names(TASKS, "hall") == ("small",)  # imported from another module of the package
    assert registry.fields(SEPARATORS, "echo") == {"gain", "batch_size", "betas"}
    assert registry.fields(TASKS, "hall:small") == {"items"}
    with pytest.raises(UnknownNameError, match=r"^hall has no configuration 'large'; there are: hall:small$"):
        registry.check(TASKS, "hall:large")
    with pytest.raises(
        UnknownNameError,
        match=r"unknown separator 'ech'; perhaps you meant echo; there are: .*cyclegan, echo, flexible_nmf, glo",
    ):
        registry.check(SEPARATORS, "ech")
    assert not [name for name in set(sys.modules) - before if name.startswith("lab_echo")]


def test_study_of_announced_names_is_named_after_them_and_is_restored(lab):
    spec = StudySpec(name="echo", separator="echo:wide", task="hall", space={})
    assert (key(spec.separator), key(spec.task)) == ("echo", "hall")
    assert spec.model_name == "echo-hall"
    stored = json.loads(json.dumps(spec.plain()))
    assert stored["separator"]["module"] == "lab_echo.separator"
    assert SavedStudy("echo", "", "out", {}, "ab12", stored, {}).model_name == "echo-hall"  # its experiment in MLflow
    restored = StudySpec.restored(stored)
    assert (restored.separator, restored.task) == (spec.separator, spec.task)
    assert key(restored.task) == "hall"


def test_search_space_is_in_the_module_or_the_current_folder(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = registry.find(SEPARATORS, "echo")
    in_module = shipped.SearchSpace(module.SPACE, module.PAPER)
    assert shipped.search_space("echo") == shipped.search_space(module.WIDE) == in_module
    write(tmp_path, {"search_spaces/separator.py": "SPACE = {'of': 'another'}"})
    assert shipped.search_space("echo") == in_module
    write(tmp_path, {"search_spaces/echo.py": "SPACE = {}"})
    assert shipped.search_space("echo") == shipped.search_space(module.WIDE) == shipped.SearchSpace({})


def test_list_reads_the_sources_and_names_the_package(lab):
    before = set(sys.modules)
    echo = next(found for found in available(SEPARATORS) if found.name == "echo")
    assert echo == Available(
        name="echo",
        what="An echo: gain times the mixture, for every source.",
        config="Separator of the laboratory.",
        supervisions=("unpaired sources",),
        configurations=("wide", "wide_debug"),
        origin="lab-echo 1.5",
    )
    hall = next(found for found in available(TASKS) if found.name == "hall")
    assert hall == Available("hall", "Rooms.", "Needs no files.", (), ("small",), "lab-echo 1.5")
    assert not [name for name in set(sys.modules) - before if name.startswith("lab_echo")]


def refusal(package, name):
    """Return the line that refuses a name, the same wherever it is given; also what ``list`` says of it."""
    lines = set()
    for ask in (registry.find, registry.config, registry.check, registry.fields, registry.config_names):
        with pytest.raises(UnknownNameError) as refused:
            ask(package, name)
        lines.add(str(refused.value))
    [line] = lines
    listed = {found.name: found for found in available(package)}[name]
    assert (listed.what, listed.config, listed.configurations, listed.supervisions) == (line, "", (), ())
    return line, listed.origin


def test_name_that_two_packages_claim_is_refused_and_both_are_named(lab, site):
    announce(site, "other-lab", "2.0", "[sepray.separators]\necho = other_lab.delay\n")
    line, origin = refusal(SEPARATORS, "echo")
    assert line == (
        "the separator 'echo' is claimed by other-lab 2.0 (other_lab.delay) and lab-echo 1.5 (lab_echo.separator); "
        "uninstall one of them, or give the full name of the module that you mean"
    )
    assert origin == "other-lab 2.0, lab-echo 1.5"
    assert "echo" not in registry.names(SEPARATORS)
    assert registry.find(SEPARATORS, "lab_echo.separator").__name__ == "lab_echo.separator"
    assert "hall" in registry.names(TASKS)  # another name of the same package


@pytest.mark.parametrize("name", ["cass", "cass_logarithmic", "cass_published"])
def test_name_of_sepray_s_own_is_refused_to_others(site, name):
    announce(site, "other-lab", "2.0", f"[sepray.separators]\n{name} = other_lab.delay\n")
    line, origin = refusal(SEPARATORS, name)
    assert line == (
        f"the separator '{name}' is claimed by sepray (sepray.separators.{name}) and other-lab 2.0 (other_lab.delay); "
        "uninstall one of them, or give the full name of the module that you mean"
    )
    assert origin == "other-lab 2.0"
    assert (
        registry.config(SEPARATORS, "sepray.separators.cass")
        == registry.find(SEPARATORS, "sepray.separators.cass").Config()
    )


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("ghost = other_lab.ghost", "the task 'ghost' of other-lab 2.0 is missing: there is no module other_lab.ghost"),
        ("ghost = no_lab", "the task 'ghost' of other-lab 2.0 is missing: there is no module no_lab"),
        (
            "ghost = torn_lab",
            "the task 'ghost' of other-lab 2.0 cannot be read: invalid syntax (torn_lab.py, line 2)",
        ),
        ("ghost = other_lab:room", "the task 'ghost' of other-lab 2.0 must name a module, not 'other_lab:room'"),
        (
            "gho-st = other_lab",
            "the task 'gho-st' of other-lab 2.0 (other_lab) must have a name of letters, digits and underscores",
        ),
    ],
)
def test_entry_point_that_cannot_be_used_is_named_and_nothing_is_run(site, entry, line):
    write(site, {"other_lab/__init__.py": "raise MemoryError", "torn_lab.py": "\nclass"})
    announce(site, "other-lab", "2.0", f"[sepray.tasks]\n{entry}\n")
    name = entry.split()[0]
    assert refusal(TASKS, name) == (line, "other-lab 2.0")
    assert name not in registry.names(TASKS)


def test_module_without_a_config_and_a_missing_library_are_told_apart(site):
    write(site, {"bare_room.py": "", "broken_room.py": "import surely_not_installed"})
    announce(site, "other-lab", "2.0", "[sepray.tasks]\nbare = bare_room\nbroken = broken_room\n")
    with pytest.raises(UnknownNameError, match="the module 'bare_room' is no task: it has no Config"):
        registry.find(TASKS, "bare")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        registry.find(TASKS, "broken")


def test_problem_is_found_only_among_the_entry_points_of_its_group(site):
    announce(site, "other-lab", "2.0", "[sepray.tasks]\ncass = other_lab\n[other.group]\necg = other_lab\n")
    found = plugins.announced(TASKS, ["ecg"])
    assert list(found) == ["cass"]
    assert registry.announced_modules(SEPARATORS) == {}
    registry.check(SEPARATORS, "cass")
    registry.check(TASKS, "ecg")

"""A module that a command has named counts where it lay then, and only as this user's; others plant no modules here."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sepray import registry
from sepray.disk import private_list
from sepray.modules import definitions, own_modules
from sepray.spec import named_by_user
from tests.modules.test_definitions import put
from tests.test_registry import TASK

RUNS = TASK + "\nprint('imported')\n"  # so that nothing but a name lets it be imported


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two folders that have a module of one name, the first of which is current."""
    monkeypatch.delenv(own_modules.TRUSTED, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folders = tmp_path / "mine", tmp_path / "theirs"
    name = ""
    for folder in folders:
        folder.mkdir(mode=0o755)
        name = put(folder, RUNS, name)
    enter(monkeypatch, folders[0])
    return name, *folders


def enter(monkeypatch, folder: Path) -> None:
    """Go to a folder, whose modules are then found."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != os.getcwd()] + [str(folder)])
    monkeypatch.chdir(folder)


def is_refused(name: str) -> bool:
    try:
        registry.require_named("sepray.tasks", name)
    except registry.UnknownNameError:
        return True
    return False


def test_remembered_name_counts_in_its_folder_alone(two, monkeypatch):
    name, mine, theirs = two
    own_modules.remember(name)
    assert not is_refused(name)
    enter(monkeypatch, theirs)
    assert is_refused(name)
    enter(monkeypatch, mine)
    (mine / f"{name}.py").rename(mine / "moved.py")
    (mine / f"{name}.py").symlink_to(theirs / f"{name}.py")
    assert is_refused(name)


def test_module_of_a_package_is_remembered_with_its_file(two, monkeypatch):
    _, mine, theirs = two
    for folder in (mine, theirs):
        put(folder, "", f"lab_{os.getpid()}.__init__")
        put(folder, RUNS, f"lab_{os.getpid()}.inner.task")
    own_modules.remember(f"lab_{os.getpid()}.inner.task")
    assert not is_refused(f"lab_{os.getpid()}.inner.task")
    enter(monkeypatch, theirs)
    assert is_refused(f"lab_{os.getpid()}.inner.task")


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("fault", ["owner", "mode"])
def test_remembered_file_that_others_have_put_there_does_not_count(two, what, fault, monkeypatch):
    name, mine, _ = two
    own_modules.remember(name)
    changed = mine / f"{name}.py" if what == "file" else mine
    if fault == "mode":
        changed.chmod(0o777)
    else:
        monkeypatch.setattr(own_modules.os, "geteuid", lambda: 4_000_000)
        stat = Path.stat
        other = changed.stat().st_ino

        def of_another(path, **given):
            found = stat(path, **given)
            return os.stat_result([*found[:4], 4_000_001 if found.st_ino == other else 4_000_000, *found[5:]])

        monkeypatch.setattr(Path, "stat", of_another)
    assert is_refused(name)


def test_a_group_may_write_where_its_owner_says_so(two):
    name, mine, _ = two
    own_modules.remember(name)
    mine.chmod(0o775)
    (mine / f"{name}.py").chmod(0o664)
    assert not is_refused(name)


def test_installed_module_is_remembered_wherever_python_is(two, monkeypatch, tmp_path):
    name, mine, theirs = two
    monkeypatch.setattr(definitions, "_INSTALLED", {mine})
    own_modules.remember(name)
    monkeypatch.setattr(definitions, "_INSTALLED", {theirs})
    assert is_refused(name)  # it is not installed any more
    enter(monkeypatch, theirs)
    assert not is_refused(name)


def test_names_that_an_older_version_has_remembered_count_for_files_of_this_user_alone(two):
    name, mine, _ = two
    private_list.remember_named("module", name)
    assert not is_refused(name)
    (mine / f"{name}.py").chmod(0o664)
    assert is_refused(name)
    (mine / f"{name}.py").chmod(0o644)
    beside = put(mine, "x = 1\n")
    (mine / f"{name}.py").write_text(f"import {beside}\n{RUNS}")
    assert not is_refused(name)
    (mine / f"{beside}.py").chmod(0o664)
    assert is_refused(name)


def test_variable_names_own_modules_and_paths_of_any(two, monkeypatch):
    name, mine, theirs = two
    monkeypatch.setenv(own_modules.TRUSTED, f"other,{name}")
    assert not is_refused(name)
    mine.chmod(0o777)
    assert is_refused(name)
    assert own_modules.how_to_trust(name) == f"{own_modules.TRUSTED}={mine / name}.py"
    monkeypatch.setenv(own_modules.TRUSTED, f"other, {mine / name}.py")
    assert not is_refused(name)
    enter(monkeypatch, theirs)
    assert is_refused(name)
    assert own_modules.how_to_trust(name) == f"{own_modules.TRUSTED}={name}"


def test_what_has_no_file_is_not_known(monkeypatch):
    monkeypatch.setenv(own_modules.TRUSTED, "marshal,no_such_module_is_there,,a..b")
    for name in ("marshal", "no_such_module_is_there", "", "a..b"):
        own_modules.remember(name)
        assert not own_modules.is_known(name, formerly=True)


def test_samplers_and_starts_are_bound_to_their_folder_too(two, monkeypatch):
    name, _, theirs = two
    start = type("Config", (), {"start": f"{name}:wide", "start_epochs": 1})()
    stored = {"sampler": f"{name}:Sampler"}
    assert named_by_user.usable(stored)["sampler"] == "random"
    with pytest.raises(registry.UnknownNameError):
        named_by_user.require_warm_start(start)
    named_by_user.remember(start, start, f"{name}:Sampler", "", "")
    assert named_by_user.usable(stored) == stored
    named_by_user.require_warm_start(start)
    enter(monkeypatch, theirs)
    assert named_by_user.usable(stored)["sampler"] == "random"
    with pytest.raises(registry.UnknownNameError):
        named_by_user.require_warm_start(start)


def test_modules_are_found_in_the_current_folder_behind_what_is_installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    own_modules.add_current_folder()
    own_modules.add_current_folder()
    assert sys.path == ["/elsewhere", str(tmp_path)]
    assert own_modules.hint() == ""


def test_folder_that_others_may_write_into_has_no_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/elsewhere"])
    monkeypatch.delenv(own_modules.TRUSTED, raising=False)
    tmp_path.chmod(0o1777)
    own_modules.add_current_folder()
    assert sys.path == ["/elsewhere"]
    assert "PYTHONPATH=." in own_modules.hint()
    monkeypatch.setenv(own_modules.TRUSTED, f"{tmp_path}/lab/task.py")
    own_modules.add_current_folder()
    assert sys.path == ["/elsewhere", str(tmp_path)]


@pytest.mark.parametrize("name", ["lab_echo-1.0.dist-info", "Lab.EGG-INFO"])
def test_current_folder_announces_nothing_to_libraries(name, tmp_path, monkeypatch):
    """An unpacked archive may hold a dist-info beside a module: ``import torch`` alone would import that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / name).mkdir()
    (tmp_path / name / "METADATA").write_text("Name: lab-echo\nVersion: 1.0\n")
    (tmp_path / name / "entry_points.txt").write_text("[torch.backends]\necho = lab_echo:go\n")
    own_modules.add_current_folder()
    own_modules.add_named_folder(tmp_path)
    assert str(tmp_path) not in sys.path
    assert "echo" not in {point.name for point in importlib.metadata.entry_points(group="torch.backends")}
    assert f"{name} here announces modules to libraries" in own_modules.hint()
    (tmp_path / name / "entry_points.txt").unlink()
    own_modules.add_current_folder()
    assert str(tmp_path) in sys.path
    assert own_modules.hint() == ""


@pytest.mark.parametrize("mode", [0o777, pytest.param(0o700, marks=pytest.mark.slow)])
def test_commands_run_no_library_of_the_current_folder(tmp_path, mode):
    """A folder of data that has a torch.py, unpacked by this user or shared by all."""
    for library in ("torch", "mlflow", "optuna", "numpy", "rich"):
        (tmp_path / f"{library}.py").write_text("raise SystemExit('planted')")
    tmp_path.chmod(mode)
    program = "from sepray.cli.main import main; main(['evaluate', 'pretrained:ecg', '--recordings', '.'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert "planted" not in done.stderr
    assert done.returncode == 2, done.stderr

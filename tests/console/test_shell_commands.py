"""Commands are printed such that the shell that they are copied into finds their program."""

import sys

import pytest

from sepray.console.shell_commands import from_this_shell


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A virtual environment in a project's folder, the current one, which is not on the PATH."""
    folder = tmp_path / "my project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "mlflow"):
        (folder / name).touch(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "my project")
    return folder


def test_program_that_is_not_on_the_path_gets_its_own(environment):
    assert from_this_shell("mlflow ui --port 5001") == ".venv/bin/mlflow ui --port 5001"
    assert from_this_shell("mlflow") == ".venv/bin/mlflow"


def test_program_of_an_activated_environment_keeps_its_name(environment, monkeypatch):
    monkeypatch.setenv("PATH", str(environment))
    assert from_this_shell("mlflow ui") == "mlflow ui"


def test_program_of_another_environment_is_not_taken_for_it(environment, monkeypatch, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "mlflow").touch(0o755)
    assert from_this_shell("mlflow ui") == ".venv/bin/mlflow ui"


def test_from_another_folder_the_path_is_whole_and_one_word(environment, monkeypatch, tmp_path):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert from_this_shell("mlflow ui") == f"'{environment}/mlflow' ui"
    monkeypatch.chdir(environment)  # a name alone would be looked for on the PATH
    assert from_this_shell("mlflow ui") == "./mlflow ui"


@pytest.mark.parametrize(
    ("started", "line"),
    [
        (["/usr/bin/python", "-m", "sepray", "show", "x"], ".venv/bin/python -m sepray explain x"),
        (["/usr/bin/python", "-X", "dev", "-m", "sepray"], ".venv/bin/python -m sepray explain x"),
        ([".venv/bin/python", ".venv/bin/sepray", "show", "x"], ".venv/bin/sepray explain x"),
        (["python", "study.py", "-m", "other"], ".venv/bin/sepray explain x"),
    ],
)
def test_command_of_sepray_is_as_the_user_started_it(environment, monkeypatch, started, line):
    (environment / "sepray").touch(0o755)
    monkeypatch.setattr(sys, "orig_argv", started)
    assert from_this_shell("sepray explain x") == line
    monkeypatch.setenv("PATH", str(environment))
    assert from_this_shell("sepray explain x") == line.removeprefix(".venv/bin/")


def test_program_that_is_not_installed_here_is_left_alone(environment):
    assert from_this_shell("optuna-dashboard x") == "optuna-dashboard x"

"""The ``sepray`` command: which module a command is in, and what needs no parser."""

import importlib.util
import sys

import pytest

import sepray
from sepray.cli import application, lists, main, run


def test_every_command_has_a_module_of_its_own():
    assert all(importlib.util.find_spec(f"sepray.cli.{module}") for module in main.MODULES.values())
    assert {name for name, module in main.MODULES.items() if name != module} == {"list"}
    assert all(f"sepray {name}" not in main.DESCRIPTION for name in main.MODULES)


def test_version_is_printed(capsys):
    assert main.dispatch(["--version"]) == 0
    assert capsys.readouterr().out == f"sepray {sepray.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["list", "tasks"], ("tasks", False, "", None)),
        (["list", "separators", "--json"], ("separators", True, "", None)),
        (["list", "measures"], ("measures", False, "", None)),
    ],
)
def test_lists_from_sources_need_no_parser(arguments, given, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(lists, "show", lambda *arguments: shown.append(arguments))
    monkeypatch.setattr(application, "parse", lambda *_: pytest.fail("parsed"))
    assert main.dispatch(arguments) == 0
    assert shown == [given]


@pytest.mark.parametrize(
    ("arguments", "imported"),
    [
        (["show", "small"], ["show"]),
        (["list", "tasks", "--storage", "x"], ["list_command"]),
        (["--help"], list(main.MODULES.values())),
        (["no-such-command"], list(main.MODULES.values())),
        ([], list(main.MODULES.values())),
    ],
)
def test_only_the_module_of_the_command_is_imported(arguments, imported, monkeypatch):
    found, parsed = [], []
    monkeypatch.setattr(main.importlib, "import_module", lambda name: found.append(name.removeprefix("sepray.cli.")))
    monkeypatch.setattr(application, "parse", lambda given, text: parsed.append((given, text)) or (lambda: 7))
    assert main.dispatch(arguments) == 7
    assert found == imported
    assert parsed == [(arguments, main.DESCRIPTION)]


@pytest.mark.parametrize(
    ("arguments", "ran", "left"),
    [
        (["run", "study.toml", "--trials", "3", "--traceback"], [("study.toml", ["--trials", "3", "--traceback"])], []),
        (["--traceback", "run", "study.toml", "--trials", "3"], [("study.toml", ["--trials", "3", "--traceback"])], []),
        (["run", "--help"], [], ["run", "--help"]),
        (["run"], [], ["run"]),
        (["show", "study.toml"], [], ["show", "study.toml"]),
    ],
)
def test_flags_behind_a_study_are_the_study_s_own(arguments, ran, left, monkeypatch):
    """--traceback among them, which all other commands do not see."""
    studies, dispatched = [], []

    def ended(study, flags):
        studies.append((study, flags))
        raise SystemExit(0)

    monkeypatch.setattr(run, "run_study", ended)
    monkeypatch.setattr(main, "dispatch", lambda given: dispatched.extend(given))
    monkeypatch.setattr(
        main, "exit_with_status", lambda name, job, given: job([a for a in given if a != "--traceback"])
    )
    try:
        main.main(arguments)
    except SystemExit:
        assert ran
    assert (studies, dispatched) == (ran, left)


def test_arguments_are_those_of_the_process_where_none_are_given(monkeypatch):
    given = []
    monkeypatch.setattr(sys, "argv", ["sepray", "show", "small"])
    monkeypatch.setattr(main, "exit_with_status", lambda *arguments: given.append(arguments))
    main.main()
    main.main(["doctor"])
    assert [(name, arguments) for name, _, arguments in given] == [
        ("sepray", ["show", "small"]),
        ("sepray", ["doctor"]),
    ]

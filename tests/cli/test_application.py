"""The registration of commands: help texts, and flags that arrive as they were given."""

import inspect
import re
from pathlib import Path

import pytest

from sepray.cli import (
    application,
    clean,
    compare,
    delete,
    doctor,
    evaluate,
    list_command,
    reconcile,
    report,
    separate,
    show,
)
from sepray.cli.main import DESCRIPTION

COMMANDS = {
    "clean": clean.clean,
    "compare": compare.compare,
    "delete": delete.delete,
    "doctor": doctor.doctor,
    "evaluate": evaluate.evaluate,
    "list": list_command.list_,
    "reconcile": reconcile.reconcile,
    "report": report.report,
    "separate": separate.separate,
    "show": show.show,
}
# A command line with a value other than the default for every flag, and the values.
STORES = "--storage sqlite:///s.db --tracking-uri http://h --storage-path s3://b --cache c"
GIVEN = {
    "compare": (
        "a b --task t --split train --metric psnr --json --batch-size 3 --tracking-uri http://h --cache c "
        "--trust-model-code --shared",
        ["a", "b", "t", "train", "psnr", True, 3, "http://h", "c", True, True],
    ),
    "doctor": (f"{STORES} --json --quiet", ["sqlite:///s.db", "http://h", "s3://b", "c", True, True]),
    "evaluate": (
        "a --task t --split train --json --quiet --bss-eval --museval m --recordings r --pictures p --rate 8 "
        "--batch-size 3 --tracking-uri http://h --cache c --trust-model-code --shared",
        [
            "a",
            "t",
            "train",
            True,
            True,
            True,
            Path("m"),
            Path("r"),
            Path("p"),
            8.0,
            3,
            "http://h",
            "c",
            True,
            True,
        ],
    ),
    "list": (
        "studies --json --storage sqlite:///s.db --tracking-uri http://h",
        ["studies", True, "sqlite:///s.db", "http://h"],
    ),
    "separate": (
        "a in on -o out --source s --rate 8 --window 2 --device cpu --no-picture --json --quiet "
        "--tracking-uri http://h --trust-model-code --shared",
        ["a", ("in", "on"), "out", "s", 8.0, 2.0, "cpu", False, True, True, "http://h", True, True],
    ),
    "report": (
        f"n {STORES}",
        [application.StudyFlags("n", "sqlite:///s.db", "http://h", "s3://b", "c")],
    ),
}
_STUDY = GIVEN["report"][1]
GIVEN["report"] = (f"n {STORES} --json", [*_STUDY, True])
GIVEN["reconcile"] = (f"n {STORES} --yes --json", [*_STUDY, True, True])
GIVEN["delete"] = (f"n {STORES} --runs --models --yes --json", [*_STUDY, True, True, True, True])
GIVEN["show"] = (f"n {STORES} --settings --json", [*_STUDY, True, True])
GIVEN["clean"] = (
    "n --orphans --cache-data 3 --dry-run --yes --json --storage sqlite:///s.db --storage-path s3://b --cache c",
    ["n", True, 3.0, True, True, True, "sqlite:///s.db", "s3://b", "c"],
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_arrives_in_the_parameter_of_its_name(name):
    typed, values = GIVEN[name]
    bound = application.parse([name, *typed.split()], None)
    function, *positional = bound.args
    assert function is COMMANDS[name]
    parameters = inspect.signature(COMMANDS[name]).parameters
    received = inspect.signature(COMMANDS[name]).bind(*positional, **bound.keywords).arguments
    assert received == dict(zip(parameters, values, strict=True))  # every parameter has a value here
    for parameter in parameters.values():
        assert received[parameter.name] != parameter.default


@pytest.fixture
def help_of(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *command: run(*command, "--help")


def described(shown):
    """Flag -> what a help text says of it, in one line."""
    entries = []
    for line in (line.strip("│ ") for line in shown.splitlines()):
        if line.startswith("-") and line.strip("-"):
            entries.append(line)
        elif entries:
            entries[-1] += f" {line}"
    names = re.compile(r"(?:-\w(?: [A-Z]+)?, )?(--[a-z-]+)(?: [A-Z{}|a-z,]+(?= |$))?(?: +|$)(.*)")
    return dict(found.groups() for entry in entries if (found := names.match(entry)))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_describes_every_flag(name, help_of):
    shown = help_of(name)
    texts = described(shown)
    assert f"Example: sepray {name}" in shown
    assert {flag for flag in GIVEN[name][0].split() if flag.startswith("--")} <= set(texts)
    assert texts["--traceback"].startswith("Print the whole traceback of an error, of bad input too.")
    for flag, text in texts.items():
        assert len(re.sub(r"\(default.*", "", text).split()) >= 2, f"{flag} is not described: {text}"
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_text_of_a_flag_is_broken_by_the_terminal_alone(name, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    shown = run(name, "--help")
    texts = described(shown)
    assert "--traceback" in texts
    assert not any(line.strip("│ ").startswith("(") for line in shown.splitlines())  # tyro begins a line before "("
    for flag, text in texts.items():
        assert any(text.split("  ")[0] in line for line in shown.splitlines()), f"{flag}: {text}"


def test_flags_that_commands_share_are_described_in_the_same_words(help_of):
    texts = {name: described(help_of(name)) for name in COMMANDS}
    for flag in ("--storage", "--storage-path", "--cache", "--traceback"):
        assert len({re.sub(r"\W+$", "", text[flag]) for text in texts.values() if flag in text}) == 1, flag
    addresses = [text["--tracking-uri"] for text in texts.values() if "--tracking-uri" in text]
    assert len({text.partition("(default")[0] for text in addresses}) == 1  # that of a study is first the study's own
    assert len({texts[name]["--json"] for name in COMMANDS}) == 1


def test_help_of_all_lists_the_commands_and_the_exit_statuses(help_of):
    shown = help_of()
    for name in COMMANDS:
        assert f"• {name} " in shown
    for status in ("  0  done", "  2  bad input", "  3  a bug", "129, 130, 143  interrupted"):
        assert f"\n{status}" in shown
    assert "--traceback" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert all(len(line) <= 100 for line in DESCRIPTION.splitlines())


def test_completion_for_a_shell_is_printed_as_it_is(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    script = run("--tyro-print-completion", "bash")
    assert "complete" in script
    assert max(map(len, script.splitlines())) > 80  # wrapped, it would be no script


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("evalute", "evaluate"), ("sho", "show"), ("seperate x", "separate"), ("reconsile", "reconcile"), ("zzz", "")],
)
def test_misspelt_command_is_told_the_nearest_one(run, typed, meant):
    proposal = f"perhaps you meant {meant}; " if meant else ""
    start = f"sepray: unknown: {', '.join(typed.split())}; {proposal}available subcommands: clean, compare, "
    assert run(*typed.split(), status=2).startswith(start)


def test_list_of_commands_is_short_and_the_help_of_one_is_whole(help_of):
    assert help_of().startswith("usage: sepray [-h] COMMAND ...\n")
    for _ in range(2):  # in either order
        assert "Example: sepray clean --dry-run" in help_of()
        assert "lose their weights" not in help_of()
        assert "lose their weights" in help_of("clean")


def test_usage_says_what_follows_a_command(help_of):
    def usage(command):
        return help_of(command).partition("\n")[0]

    assert usage("list") == "usage: sepray list [-h] [OPTIONS] {models,studies,tasks,separators,measures}"
    assert usage("separate") == "usage: sepray separate [-h] [OPTIONS] MODEL INPUT [INPUT ...]"
    assert usage("run") == "usage: sepray run [-h] STUDY [STUDY'S FLAGS ...] [--traceback]"

"""Refusals of tyro in one line, help texts in the width of the terminal."""

import io
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
import tyro

from sepray.console.arguments import described, parsed, refused_in_one_line
from sepray.errors import UsageError


@dataclass
class Flags:
    """Flags of a program."""

    trials: int = 3
    kind: Literal["small", "large"] = "small"


def parse(*arguments, flags=Flags):
    text = described(flags.__doc__)
    return parsed(lambda args: tyro.cli(flags, args=args, prog="program", description=text), arguments)


def test_accepted_arguments_pass():
    assert parse("--trials", "4", "--kind", "large") == Flags(4, "large")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--trails", "4"], "unknown: --trails; perhaps you meant --trials; see program --help"),
        (["--trails=4"], "unknown: --trails; perhaps you meant --trials; see program --help"),
        (
            ["--trails", "-4", "--knid", "a"],
            "unknown: --trails, --knid; see program --help",
        ),
        (["--colour=red"], "unknown: --colour"),
        (["3", "--trails", "4"], "unknown: 3, --trails; perhaps you meant --trials; see program --help"),
        (["--trials=x"], "--trials: invalid literal for int() with base 10: 'x'; see program --help"),
        (["--colour"], "unknown: --colour; see program --help"),
        (["--trials", "x"], "--trials: invalid literal for int() with base 10: 'x'; see program --help"),
        (["--kind", "huge"], "invalid choice 'huge' for argument '--kind'. Expected one of ('small', 'large')"),
        (["--trials"], "missing value for argument '--trials'. Expected 1 values; see program --help"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_refusal_is_one_line_with_or_without_box_characters(arguments, line, encoding, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", open_as(encoding))
    with pytest.raises(UsageError) as refused:
        parse(*arguments)
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr() == ("", "")


def open_as(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def test_missing_argument_is_named():
    @dataclass
    class Needed:
        name: tyro.conf.Positional[str]

    with pytest.raises(UsageError, match=r"^program needs STR; see program --help$"):
        parse(flags=Needed)


def test_what_an_import_prints_does_not_hide_the_refusal(capsys):
    """A field's default may import a module of the user's own, which warns."""

    def warn_and_parse():
        with refused_in_one_line():
            print("warning: an old function", file=sys.stderr)
            tyro.cli(Flags, args=["--colour"], prog="program")

    with pytest.raises(UsageError, match=r"^unknown: --colour; see program --help$"):
        warn_and_parse()


def test_what_is_printed_before_an_error_of_another_kind_is_shown(capsys):
    def print_and_fail():
        with refused_in_one_line():
            print("output")
            print("warning", file=sys.stderr)
            raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        print_and_fail()
    assert capsys.readouterr() == ("output\n", "warning\n")


@pytest.mark.parametrize("width", [60, 90])
def test_help_is_wrapped_to_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))

    @dataclass
    class Documented:
        """A description of more than one line in any of the widths, which tyro prints as one line a paragraph.

        And a second paragraph.
        """

        trials: int = 3

    with pytest.raises(SystemExit) as end:
        parse("--help", flags=Documented)
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= width for line in lines)
    assert max(map(len, lines[2:4])) > width - 15  # filled, not cut up
    assert "And a second paragraph." in lines
    words = " ".join(lines)
    assert "With --traceback: print the whole traceback of an error, of bad input too." in words


@dataclass
class Fields:
    """Fields whose docstrings have several lines."""

    trials: int = 3
    """Number of trials, with a description that goes on
    (in a line that does not begin with a letter)
    and ends here.

    A paragraph of its own."""


def test_a_docstring_of_several_lines_is_one_paragraph_of_the_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse("--help", flags=Fields)
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    [described] = [line for line in lines if line.startswith("--trials")]
    assert described.endswith("goes on (in a line that does not begin with a letter) and ends here.")
    assert lines[lines.index(described) + 2] == "A paragraph of its own. (default: 3)"


def test_other_output_is_not_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with refused_in_one_line():
        print("x " * 100)
    assert capsys.readouterr().out == "x " * 100 + "\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_tyro_is_told_what_the_output_can_show(terminal, monkeypatch):
    class Output(io.TextIOWrapper):
        def isatty(self):
            return terminal

    monkeypatch.setattr(sys, "stdout", Output(io.BytesIO(), encoding="latin-1"))
    with refused_in_one_line():
        assert (sys.stdout.isatty(), sys.stdout.encoding) == (terminal, "latin-1")


def test_refusal_in_a_terminal_is_one_line_too(monkeypatch):
    """There tyro draws its box in colours."""

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO(), encoding="utf-8"))
    with pytest.raises(UsageError, match=r"^unknown: --trails; perhaps you meant --trials; see program --help$"):
        parse("--trails", "4")

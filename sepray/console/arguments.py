"""Makes what tyro prints fit: a refusal in one line, a help text in the width of the terminal."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, TypeVar

from docstring_parser import attrdoc

from ..errors import SeprayError, UsageError, nearest
from . import waiting
from .exit_status import TRACEBACK, TRACEBACK_HELP

Parsed = TypeVar("Parsed")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FLAG = re.compile(r"--?[A-Za-z]")
_BOX = ("", "╭", "│", "╰", " ", "\x1b")


@contextlib.contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Turn the box in which tyro refuses arguments into one line, and wrap the help texts that it prints.

    Raises:
        UsageError: the arguments are refused; with that line.
        ValueError: a bug in the code of a Config, which tyro takes for a refused value.
    """
    output, errors = _Printed(sys.stdout), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), _unbroken_docstrings():
            yield
    except SystemExit as end:
        if end.code == 2:
            box = _COLOURS.sub("", errors.getvalue())
            errors.truncate(0)
            raise (_bug(end) or UsageError(_one_line(box))) from None
        raise
    finally:
        if output.getvalue():
            waiting.done()
        sys.stdout.write(_wrapped(output.getvalue()))
        sys.stderr.write(errors.getvalue())


def parsed(parse: Callable[[Sequence[str]], Parsed], arguments: Sequence[str] | None) -> Parsed:
    """Return the result of tyro for arguments; refuse wrong ones in one line, with the flag nearest to a misspelt one.

    tyro has no nearest flag for ``--trails=4``; so what it refuses is tried again as ``--trails 4``.

    Args:
        parse: calls tyro.
        arguments: arguments of the command line; None for those of this process.

    Raises:
        UsageError: the arguments are refused.
        ValueError: a bug in the code of a Config, which tyro takes for a refused value.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with refused_in_one_line():
            return parse(given)
    except UsageError as error:
        apart = [part for text in given for part in (text.split("=", 1) if text.startswith("--") else [text])]
        if "perhaps you meant" not in str(error) and apart != given:
            with refused_in_one_line():
                parse(apart)
        raise


@contextlib.contextmanager
def _unbroken_docstrings() -> Iterator[None]:
    """Hand tyro the docstring of a field with each paragraph in one line; else the help would have its line breaks."""
    read = getattr(attrdoc, "ast_get_constant_value", None)
    if read is None:  # another version of the library that reads docstrings
        yield
        return

    def unbroken(node: ast.AST) -> Any:
        value = read(node)
        if not isinstance(value, str):
            return value
        return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(value).split("\n\n"))

    attrdoc.ast_get_constant_value = unbroken
    try:
        yield
    finally:
        attrdoc.ast_get_constant_value = read


def described(documentation: str | None) -> str:
    """Return a docstring as the description of a help text, with the flag ``--traceback`` that every study takes."""
    flag = f"With {TRACEBACK}: {TRACEBACK_HELP[0].lower()}{TRACEBACK_HELP[1:]}"  # a letter first, or tyro adds a line
    return f"{inspect.cleandoc(documentation or '')}\n\n{flag}"


def _bug(end: SystemExit) -> ValueError | None:
    """Return the error in a Config's code that has ended tyro; None where tyro has refused an argument."""
    error = end.__context__
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError) and any(frame.name in ("__init__", "__post_init__") for frame in frames):
            return None if isinstance(error, SeprayError) else error
        error = error.__context__
    return None


class _Printed(io.StringIO):
    """Keeps the text that is printed to a stream, with the colours and box characters that the stream would get."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override] # of StringIO, an attribute
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()


def _wrapped(printed: str) -> str:
    """Return a help text with its description wrapped; tyro prints each paragraph of it in one line."""
    if "usage:" not in printed.partition("\n")[0]:  # a completion script
        return printed
    width = shutil.get_terminal_size().columns
    usage, *others = printed.split("\n")
    usage = re.sub(r"\[[A-Z ]+ OPTIONS\]", "[OPTIONS]", usage)  # tyro puts the command's name before the word
    if any("subcommands" in line for line in others):  # the commands, listed below
        usage = re.sub(r"\{\w+(,\w+)+\}", "COMMAND ...", usage)
    return "\n".join(line if line[:1] in _BOX else textwrap.fill(line, width) for line in [usage, *others])


def _one_line(box: str) -> str:
    """Return the text of a box of tyro's below its title: the first part, and the flags that it proposes.

    A terminal that has no box-drawing characters gets a box without sides, and dashes between its parts.
    """
    rows = [row.strip(" │") for row in box.splitlines()]
    title = next((k for k, row in enumerate(rows) if row[:1] == "╭" or set(row) == {"-"}), 0)  # first, imports may warn
    parts: list[list[str]] = [[]]
    for row in (row for row in rows[title + 1 :] if row and row[0] != "╰"):
        if set(row) <= set("─-"):
            parts.append([])
        else:
            parts[-1].append(row)
    texts = [" ".join(part) for part in parts if part]
    refusal = texts[0].removeprefix("Error parsing ").rstrip(".")
    refusal = re.sub(r"^Unrecognized options: (.*)", lambda found: f"unknown: {_without_values(found[1])}", refusal)
    refusal = re.sub(r"^Missing from (.*?): *(\S+).*", r"\1 needs \2", refusal)
    proposal = next((t for t in texts[1:] if t.startswith(("Perhaps you meant", "Available subcommands"))), "")
    proposal = re.sub(r"^Perhaps you meant: *(\S+).*", r"perhaps you meant \1", proposal)
    command = re.search(r"(?:run|see):? +(.+ --help)", texts[-1])
    see = f"see {command[1]}" if command else ""
    meant = _nearest_command(refusal, proposal)
    return "; ".join(text[:1].lower() + text[1:] for text in (refusal, meant, proposal, see) if text)


def _without_values(unknown: str) -> str:
    """Return unknown arguments without those that follow an unknown flag, which are its values."""
    names = unknown.split(", ")
    first = next((k for k, name in enumerate(names) if _FLAG.match(name)), len(names))
    return ", ".join([*names[:first], *(name for name in names[first:] if _FLAG.match(name))])


def _nearest_command(refusal: str, proposal: str) -> str:
    """Return words that propose the command nearest to an unknown one; empty where no command is near."""
    names = proposal.removeprefix("Available subcommands: ").split(", ")
    close = nearest(refusal.removeprefix("unknown: ").partition(",")[0], names)
    return f"perhaps you meant {close}" if close else ""

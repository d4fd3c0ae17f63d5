"""Runs the code blocks of a page, in order, in the folder that it is started in: ``python -m tests.documents PAGE``.

Blocks of Python share one namespace, blocks of ``sh`` run in bash, those of ``console`` are commands after ``$ `` with
what they print (``...`` stands for anything), and those of ``toml`` are read. A block of Python or TOML whose first
line is ``# NAME.py`` or ``# NAME.toml`` is that file. A comment before a block, which nobody sees on the page, changes
how it is tested::

    <!-- test: skip: why it cannot run in a test -->
    <!-- test: slow: why only the slow tests run it -->
    <!-- test: flags: appended to each command of the block that runs a study -->
    <!-- test: setup: a shell command that runs before the block -->
    <!-- test: replace: what is on the page => what is run instead -->

At the top, ``<!-- page: slow: why -->`` leaves a page to the slow tests, and ``<!-- page: after: PAGE -->`` runs it in
the folder that another page leaves behind.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LANGUAGES = ("python", "sh", "console", "toml")
SHOWN = ("text", "mermaid", "catalogue")
"""Languages of blocks that are not run."""

_FENCE = re.compile(r"^(```+) *(?:\{\.)?(\w*).*$")  # as ``` {.python} too: there ruff leaves included files alone
_NOTE = re.compile(r"^<!-- (test|page): (\w+): (.+) -->$")
_SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
_FILE = re.compile(r"# ([\w/-]+\.(?:py|toml))\n")
_STUDY = re.compile(r"^((?:python \S+\.py|sepray run \S+)(?:(?!  ).)*)", re.MULTILINE)
_KEYS = {"test": ("skip", "slow", "flags", "setup", "replace"), "page": ("slow", "after")}


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number, its language, the code with included files, notes on how to test it."""

    line: int
    language: str
    code: str
    notes: tuple[tuple[str, str], ...] = ()

    def note(self, key: str) -> list[str]:
        """Return the texts of the notes with a key."""
        return [text for name, text in self.notes if name == key]

    def tested(self) -> str:
        """Return the code as it is run: with replacements, and flags behind the commands that run a study.

        Raises:
            ValueError: a replacement or flag fits nothing.
        """
        code = self.code
        for before, _, after in (text.partition(" => ") for text in self.note("replace")):
            if before not in code:
                raise ValueError(f"line {self.line}: no {before} to replace")
            code = code.replace(before, after)
        for flags in self.note("flags"):
            changed = _STUDY.sub(rf"\1 {flags}", code)
            if changed == code:
                raise ValueError(f"line {self.line}: no command that runs a study takes {flags}")
            code = changed
        return code


def blocks(text: str) -> Iterator[Block]:
    """Return the blocks of a page.

    Raises:
        ValueError: a language that is neither run nor known not to be, or a note that is not known.
    """
    lines, number, notes = text.splitlines(), 0, []
    while number < len(lines):
        line = lines[number]
        number += 1
        if note := _NOTE.match(line):
            if note[2] not in _KEYS[note[1]]:
                raise ValueError(f"line {number}: unknown note {note[2]!r}")
            notes += [(note[2], note[3])] if note[1] == "test" else []
        elif fence := _FENCE.match(line):
            if fence[2] not in LANGUAGES + SHOWN:
                raise ValueError(f"line {number}: a block of {fence[2] or 'no language'}, which nothing runs")
            end = lines.index(fence[1], number)
            code = _SNIPPET.sub(lambda found: (ROOT / found[1]).read_text().rstrip(), "\n".join(lines[number:end]))
            yield Block(number + 1, fence[2], code, tuple(notes))
            number, notes = end + 1, []
        elif line.strip():
            notes = []


def page_notes(text: str) -> dict[str, str]:
    """Return what a page says about how all of it is tested: ``slow``, ``after``."""
    return {note[2]: note[3] for note in map(_NOTE.match, text.splitlines()) if note and note[1] == "page"}


def run(path: Path, slow: bool) -> None:
    """Run the blocks of a page in the current folder, slow ones too if asked for; raise where one fails."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language in SHOWN or block.note("skip") or (block.note("slow") and not slow):
            continue
        print(f"{path.name}:{block.line} {block.language}", flush=True)
        for command in block.note("setup"):
            _bash(command)
        code, file = block.tested(), _FILE.match(block.code)
        if file:
            Path(file[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(file[1]).write_text(code + "\n", encoding="utf-8")
        if block.language == "toml":
            tomllib.loads(code)
        elif block.language == "sh":
            _bash(code)
        elif block.language == "console":
            _console(code)
        else:  # numbered as on the page, for tracebacks
            compiled = compile("\n" * (block.line - 1) + code, str(path), "exec")
            if not file:
                exec(compiled, namespace)


def _bash(code: str) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    assert done.returncode == 0, f"exit status {done.returncode} of: {code}"
    return done.stdout


def _console(code: str) -> None:
    for command, _, expected in (part.partition("\n") for part in re.split(r"^\$ ", code, flags=re.MULTILINE) if part):
        printed = _bash(command)
        assert fits(printed, expected), f"{command} printed\n{printed}\nand not\n{expected}"


def fits(printed: str, expected: str) -> bool:
    """Say whether what was printed is what was expected, in which ``...`` stands for anything; spaces do not count."""
    parts = (re.escape(" ".join(part.split())) for part in expected.split("..."))
    return re.fullmatch(r"\s*" + r".*".join(parts) + r"\s*", " ".join(printed.split()), re.DOTALL) is not None


if __name__ == "__main__":
    sys.path.insert(0, "")
    run(Path(sys.argv[1]).absolute(), slow="--slow" in sys.argv)

"""Every reader of data refuses changed files in one line: a short form of ``make fuzz``, with seeds of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sepray.errors import UsageError

from . import fuzz, mutations
from .readers import READERS, SLOW

ROOT = Path(__file__).parents[2]
FILES = 800


@pytest.mark.timeout(150)
def test_no_reader_ends_in_anything_but_a_line(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = [name for name in READERS if name not in SLOW]
    done, findings = fuzz.run(names, 1, FILES, 50)
    assert findings == []
    assert done > FILES / 10  # a loaded machine reads fewer in this time


@pytest.mark.parametrize("name", [name for name in READERS if name not in SLOW])
def test_the_good_file_of_each_reader_is_read(name, tmp_path):
    reader = READERS[name]
    fuzz._lay(tmp_path, reader.content(), reader.pack)
    reader.read(tmp_path / reader.name)


def _traceback(path: Path) -> None:
    raise KeyError("no line")


def _two_lines(path: Path) -> None:
    raise UsageError(f"{path}\nis bad")


def _nameless(path: Path) -> None:
    raise UsageError("something is bad")


def _out_of_memory(path: Path) -> None:
    raise UsageError(f"{path} is bad: MemoryError")


def _spinning(path: Path) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (_traceback, "KeyError: 'no line' at test_fuzz.py:"),
        (_two_lines, "more than a line: "),
        (_nameless, "no name: "),
        (_out_of_memory, "memory: "),
        (lambda path: path.read_bytes(), ""),
    ],
)
def test_what_a_finding_is(monkeypatch, tmp_path, read, found):
    (tmp_path / "x.csv").write_text("1,2\n")
    monkeypatch.setitem(READERS, "csv", READERS["csv"]._replace(read=read))
    outcome = fuzz._outcome("csv", tmp_path)
    assert outcome.startswith(found)
    assert bool(outcome) == bool(found)


def test_a_process_that_works_too_long_or_ends_is_a_finding(tmp_path):
    """The reader of CSV spins on each file, in a process whose table of readers is changed."""
    code = (
        "import time; from pathlib import Path; from tests.hostile import fuzz, readers, test_fuzz\n"
        "fuzz.CPU_SECONDS = 0.2; good = readers.READERS['csv']; first = []\n"
        "def read(path):\n    (test_fuzz._spinning(path) if first else first.append(1))\n"
        "readers.READERS['csv'] = good._replace(read=read)\n"
        f"fuzz.work(['csv'], 0, 5, time.monotonic() + 60, Path({str(tmp_path / 'current')!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == -27  # SIGPROF
    assert json.loads((tmp_path / "current").read_text()) == {"reader": "csv", "seed": 0}


def test_changes_follow_from_their_seed_and_differ():
    good = bytes(range(256)) * 4
    several = [mutations.mutated(good, str(seed), [b"other"]) for seed in range(50)]
    assert several == [mutations.mutated(good, str(seed), [b"other"]) for seed in range(50)]
    assert len(set(several)) > 45

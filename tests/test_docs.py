"""Every block of code of README and of the documentation runs as it stands (``tests/documents.py`` says how)."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
from _pytest.mark import ParameterSet

from .documents import LANGUAGES, ROOT, Block, blocks, fits, page_notes

FILES = (ROOT / "docs/pages/start.md", *sorted((ROOT / "docs/pages").glob("*.md")), ROOT / "README.md")
PAGES = {file.relative_to(ROOT).as_posix(): file for file in FILES}  # the first page is one that others go on from
NOT_RUN = {
    "README.md": 2,
    "docs/pages/cass.md": 2,
    "docs/pages/cluster.md": 11,
    "docs/pages/ecg.md": 1,
    "docs/pages/paper.md": 3,
    "docs/pages/tables.md": 1,
    "docs/pages/running.md": 2,
    "docs/pages/start.md": 4,
    "docs/pages/use.md": 1,
}
"""How many blocks of a page are not run; each says why, on the page."""


def _cases() -> Iterator[ParameterSet]:
    """Return every page that has something to run: without its slow blocks, and, if it has any, with them."""
    slow = (pytest.mark.slow, pytest.mark.timeout(900))
    for name, path in PAGES.items():
        text = path.read_text()
        run = [block for block in blocks(text) if block.language in LANGUAGES and not block.note("skip")]
        is_slow = "slow" in page_notes(text)
        if run and not is_slow:
            yield pytest.param(name, False, marks=pytest.mark.timeout(180), id=name)
        if is_slow or any(block.note("slow") for block in run):
            yield pytest.param(name, True, marks=slow, id=f"{name} with slow blocks")


@pytest.fixture(scope="module")
def folders() -> dict[str, Path | None]:
    """The folders that pages have left behind, for the pages that go on from there; None of a page that has failed."""
    return {}


def run_page(name: str, slow: bool, folders: dict[str, Path | None], parent: Path) -> Path:
    """Run a page, after the page that it continues, and return its folder."""
    if name in folders and not slow:
        assert folders[name] is not None, f"{name} has failed before"
        return folders[name]
    folders.setdefault(name, None)
    folder = parent / f"{Path(name).stem}{'-slow' * slow}"
    before = page_notes(PAGES[name].read_text()).get("after")
    if before:
        shutil.copytree(run_page(f"docs/pages/{before}", False, folders, parent), folder, symlinks=True)
    else:
        folder.mkdir()
        for linked in ("studies", "search_spaces", "examples"):
            (folder / linked).symlink_to(ROOT / linked)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RAY"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "COLUMNS": "120",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # has the list of fonts, which takes seconds to make
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "tests.documents", str(PAGES[name]), *["--slow"] * slow]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:]
    folders[name] = folder
    return folder


@pytest.mark.parametrize(("name", "slow"), list(_cases()))
def test_the_blocks_of_a_page_run(
    name: str, slow: bool, folders: dict[str, Path | None], tmp_path_factory: pytest.TempPathFactory
):
    run_page(name, slow, folders, tmp_path_factory.getbasetemp())


def test_blocks_that_are_not_run_say_why_and_are_known():
    skipped = {name: [b for b in blocks(path.read_text()) if b.note("skip")] for name, path in PAGES.items()}
    assert {name: len(found) for name, found in skipped.items() if found} == NOT_RUN
    every = [block for path in PAGES.values() for block in blocks(path.read_text())]
    reasons = [reason for block in every for key in ("skip", "slow") for reason in block.note(key)]
    assert all(len(reason.split()) >= 4 for reason in reasons), reasons


PAGE = """
# A page
<!-- test: flags: --trials 2 -->
<!-- test: replace: 10 => 1 -->

```sh
python study.py --epochs 10   # ten
echo done
```

<!-- test: skip: it needs a server that no test has -->
A paragraph ends what was said before.

```python
# my/file.py
x = 1
```

````text
```
````
"""


def test_blocks_have_their_line_language_code_and_notes():
    first, second, third = blocks(PAGE)
    assert first == Block(
        7, "sh", "python study.py --epochs 10   # ten\necho done", (("flags", "--trials 2"), ("replace", "10 => 1"))
    )
    assert first.tested() == "python study.py --epochs 1 --trials 2   # ten\necho done"
    assert (second.line, second.code, second.notes) == (15, "# my/file.py\nx = 1", ())
    assert (third.language, third.code) == ("text", "```")


def test_included_files_are_part_of_a_block():
    [block] = blocks('```python\n--8<-- "studies/cass_ppg.py"\n```')
    assert block.code == (ROOT / "studies/cass_ppg.py").read_text().rstrip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\nx\n```", "line 1: a block of no language, which nothing runs"),
        ("```perl\nx\n```", "line 1: a block of perl, which nothing runs"),
        ("<!-- test: ignore: because of that -->", "line 1: unknown note 'ignore'"),
        ("<!-- page: skip: because of that -->", "line 1: unknown note 'skip'"),
    ],
)
def test_what_would_not_be_tested_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        list(blocks(text))


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("flags: -x", "line 3: no command that runs a study takes -x"),
        ("replace: b => c", "line 3: no b to replace"),
    ],
)
def test_notes_that_change_nothing_are_refused(note: str, message: str):
    [block] = blocks(f"<!-- test: {note} -->\n```sh\necho\n```")
    with pytest.raises(ValueError, match=re.escape(message)):
        block.tested()


@pytest.mark.parametrize(
    ("expected", "fit"),
    [("a b c", True), ("a ... c", True), ("...c", True), ("a", False), ("a ... d", False), ("", False)],
)
def test_output_fits_where_only_the_dots_differ(expected: str, fit: bool):
    assert fits("a  b\n c\n", expected) is fit


def test_a_page_fails_where_a_command_fails_or_prints_something_else(tmp_path: Path):
    def status(text: str, *flags: str) -> int:
        (tmp_path / "page.md").write_text(text)
        command = [sys.executable, "-m", "tests.documents", "page.md", *flags]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True).returncode

    assert status("```python\n# a.py\nx = 2\n```\n```python\nimport a\n```\n```python\nassert a.x == 2\n```") == 0
    assert status("```python\nx = 2\n```\n```python\nassert x == 3\n```") == 1
    assert status("```console\n$ echo a\na\n$ echo b\nb\n```") == 0
    assert status("```console\n$ echo a\na\n$ echo b\nc\n```") == 1
    assert status("```sh\nfalse | true\n```") == 1
    assert status("```toml\na = \n```") == 1
    assert status("<!-- test: setup: echo 5 > five -->\n```sh\ngrep 5 five\n```") == 0
    assert status("<!-- test: slow: it takes too long here -->\n```sh\nfalse\n```") == 0
    assert status("<!-- test: slow: it takes too long here -->\n```sh\nfalse\n```", "--slow") == 1
    assert status("<!-- test: skip: it needs another machine -->\n```sh\nfalse\n```", "--slow") == 0

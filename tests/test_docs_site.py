"""The documentation site builds without warnings, has a row for every module, and loads nothing from the network."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sepray
from docs import diagram, tables
from sepray import registry, shipped
from sepray.choices import MEASURES

from .documents import ROOT

pytest.importorskip("zensical", reason="`make docs` installs it")
PAGES = sorted(path.stem for path in (ROOT / "docs/pages").glob("*.md"))
LOADS = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
}
"""What a browser fetches when it opens a page, unlike the target of an ``a``."""


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site that a folder describes, as ``make docs`` does."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def build_page(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Build a site of one page with the project's own configuration."""
    (folder / "sepray").symlink_to(ROOT / "sepray")
    (folder / "docs/pages").mkdir(parents=True)
    for name in ("__init__.py", "diagram.py", "tables.py"):
        shutil.copy(ROOT / "docs" / name, folder / "docs")
    (folder / "docs/pages/index.md").write_text(f"# A page\n\n{text}\n")
    configured = (ROOT / "zensical.toml").read_text()
    (folder / "zensical.toml").write_text(re.sub(r"^nav = \[.*?^\]$", "", configured, flags=re.DOTALL | re.MULTILINE))
    return build(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    for name in ("sepray", "examples", "studies", "search_spaces", "ARCHITECTURE.md"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", folder)
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Page(HTMLParser):
    """A page: what it loads, and the names that its tables show as code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.named: set[str] = set()
        self.inside: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside.append(tag)
        self.loads += [value or "" for name, value in attributes if name == LOADS.get(tag)]

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside[-1:] == ["code"] and "td" in self.inside:
            self.named.add(data)


def test_every_page_is_in_the_navigation():
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert sorted(re.findall(r"'([\w-]+)\.md'", str(navigation))) == PAGES


def test_the_table_of_separators_has_a_row_for_each():
    rows = tables.separators().split("<tr>")[2:]
    named = [re.findall(r">([^<>]+)</code>", row.partition("</td>")[0]) for row in rows]
    assert set(registry.names("sepray.separators")) | {"cass:published", "ssgan:lou"} <= {
        n for own in named for n in own
    }
    assert len(rows) == len({own[0] for own in named})
    in_rows = set(re.findall(r">(\w+)</code>", "".join(row.rpartition("<td>")[2] for row in rows)))
    assert in_rows == set(shipped.studies()) - {"compare_separators"}


def test_the_table_of_measures_has_a_row_for_each():
    rows = tables.measures().split("<tr>")[2:]
    assert len(rows) == len(MEASURES)
    [snr] = [row for row in rows if ">snr</code>" in row]
    cells = ["energy of the source over that of the error; the PSNR of NES, Table 2", "more", "dB", "sounds", "yes"]
    assert all(f">{cell}<" in snr for cell in cells)


@pytest.mark.slow  # the site takes seconds; `make docs` makes it too
def test_every_page_is_in_the_site(site: Path):
    assert sorted(path.stem for path in site.glob("*.html") if path.stem != "404") == PAGES


@pytest.mark.slow
def test_no_page_loads_anything_from_the_network(site: Path):
    loads = {path.name: Page(path).loads for path in site.rglob("*.html")}
    assert len(loads["index.html"]) >= 4  # scripts and styles
    assert not [load for found in loads.values() for load in found if re.match(r"(https?:)?//", load)]
    assert all((site / load.partition("?")[0]).is_file() for load in loads["start.html"])
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"@import|url\([\"']?(?:https?:)?//", styles)
    # The theme's script fetches Mermaid and MathJax for pages that ask for them, by these classes.
    text = "".join(path.read_text(encoding="utf-8") for path in site.glob("*.html"))
    assert not re.findall(r'class="[^"]*\b(mermaid|arithmatex)\b', text)


@pytest.mark.slow
def test_the_tables_have_every_separator_and_task(site: Path):
    named = Page(site / "catalogue.html").named
    separators, tasks = registry.names("sepray.separators"), registry.names("sepray.tasks")
    assert len(separators) >= 13
    assert len(tasks) >= 11
    assert set(separators) | set(tasks) | {"cass:published", "ssgan:lou", "cass_alpha_sweep", "maternal"} <= named


@pytest.mark.slow
def test_the_reference_has_the_public_api(site: Path):
    text = (site / "reference.html").read_text(encoding="utf-8")
    documented = {name.rpartition(".")[2] for name in re.findall(r'id="(sepray\.[\w.]+)"', text)}
    assert len(sepray.__all__) >= 9
    assert set(sepray.__all__) - {"__version__"} <= documented
    assert {"settings", "table", "separate", "Separator", "TaskData", "UsageError", "trials"} <= documented


@pytest.mark.slow
def test_the_architecture_has_its_picture(site: Path):
    text = (site / "architecture.html").read_text(encoding="utf-8")
    source = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```mermaid\n")[1].split("```")[0]
    assert diagram.svg(source) in text
    labels, edges = diagram.parse(source)
    assert "study (front door)" in labels.values()
    assert ("scoring", "signals") in edges


@pytest.mark.slow  # as are the project's own pages
def test_a_page_without_errors_is_built(tmp_path: Path):
    done = build_page(tmp_path, "[a heading](#a-page)\n\n::: sepray.errors.UsageError")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'id="sepray.errors.UsageError"' in (tmp_path / "site/index.html").read_text()


def test_a_link_to_nothing_is_an_error(tmp_path: Path):
    done = build_page(tmp_path, "[a page](that-is-missing.md) and [a heading](#that-is-missing)")
    assert done.returncode != 0
    told = re.findall(r"page does not exist|anchor does not exist|\d+ issues found", done.stdout + done.stderr)
    assert set(told) == {"page does not exist", "anchor does not exist", "2 issues found"}


@pytest.mark.slow
def test_a_reference_to_nothing_is_an_error(tmp_path: Path):
    done = build_page(tmp_path, "::: sepray.missing")
    assert done.returncode != 0
    assert "Could not collect 'sepray.missing'" in done.stderr


def test_a_flowchart_has_a_box_for_each_node_and_a_line_for_each_arrow():
    drawn = diagram.svg('flowchart TD\n a["A < B"] --> b & c\n b --> d --> e\n a --> e\n')
    assert re.findall(r">([^<>]+)</text>", drawn) == ["A &lt; B", "b", "c", "d", "e"]
    assert drawn.count("<rect") == 5
    assert drawn.count('<path d="M') == 1 + 5  # the tip of an arrow, and the arrows
    heights = {name: int(y) for y, name in re.findall(r'<text x="\d+" y="(\d+)"[^>]*>([^<]+)<', drawn)}
    assert heights["A &lt; B"] < heights["b"] == heights["c"] < heights["d"] < heights["e"]


def test_arrows_point_down():
    labels, edges = diagram.parse("flowchart TD\n c --> d\n a --> b --> c\n b --> d")
    assert list(labels) == ["c", "d", "a", "b"]
    assert diagram.layers(list(labels), edges) == {"a": 0, "b": 1, "c": 2, "d": 3}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sequenceDiagram\n a->>b: hello", "a flowchart is wanted, not 'sequenceDiagram'"),
        ("flowchart TD\n a -.-> b", "not an arrow between nodes: 'a -.-> b'"),
        ("flowchart TD\n a --> b --> a", "the arrows go round in a circle"),
    ],
)
def test_what_cannot_be_drawn_is_refused(source: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        diagram.svg(source)


def test_the_locks_agree_and_name_no_index():
    def locked(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    docs, test, run, browser = (locked(f"{name}.txt") for name in ("docs", "test", "run", "browser"))
    assert {"zensical", "mkdocstrings-python"} <= docs.keys()
    assert {"nbclient", "nbformat", "ipykernel"} <= test.keys()
    assert "playwright" in browser
    assert {name: test[name] for name in run} == run
    for other in (docs, browser):
        assert {name: version for name, version in other.items() if name in test} == {
            name: version for name, version in test.items() if name in other
        }

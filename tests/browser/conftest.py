"""A study that was run, MLflow's pages of it, and a page in the system's Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..end_to_end.conftest import SCRIPTS, Laboratory, opened
from ..mlflow_server import Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 0.5
"""Length of the items of the study, which are sounds."""
LOCAL = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class RunStudy:
    """A study that has ended.

    Attributes:
        printed: what it printed.
        laboratory: its folder.
        server: MLflow's pages of it.
    """

    printed: str
    laboratory: Laboratory
    server: Server

    def at(self, place: str) -> str:
        """Return the address of one of MLflow's pages."""
        return f"{self.server.uri}/#{place}"

    @property
    def link(self) -> str:
        """The link to its runs that it printed, at the port of this server."""
        [link] = re.findall(rf"{LOCAL}\S*", self.printed)
        return str(link).replace(LOCAL, self.server.uri)

    @property
    def answer(self) -> str:
        """The beginning of its answer, as it was printed."""
        told = " ".join(self.laboratory.sepray("show", "lab").stdout.split())
        [answer] = re.findall(r"lab: my_separator on my_task, finished (.*?) (?:against|by) ", told)
        return str(answer)


@pytest.fixture(scope="session")
def study(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStudy]:
    """The laboratory's study of a user's own separator, of sounds of half a second; none where there is no browser."""
    scripts = dict(SCRIPTS)
    longer = {
        "torch.arange(64)": "torch.arange(4000)",
        "(64,), 100.0)": "(4000,), 8000.0)",
        "items: int = 40": "items: int = 8",
    }
    for short, long in longer.items():
        assert short in scripts["my_task.py"]
        scripts["my_task.py"] = scripts["my_task.py"].replace(short, long)
    with opened(Laboratory(tmp_path_factory.mktemp("browser"), scripts)) as laboratory:
        printed = laboratory.run("--scheduler", "asha", "--grace-period", "1", timeout=240)
        server = Server(laboratory.folder, f"sqlite:///{laboratory.folder}/mlflow.db")
        server.start()
        yield RunStudy(printed, laboratory, server)
        server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; where there is none, or playwright is not installed, the tests are skipped."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium is on the PATH ({', '.join(BROWSERS)})")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-browser")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox refuses the superuser, whom containers run as; it shows pages of this machine alone here.
        plain = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = driver.chromium.launch(
            executable_path=program, args=[*plain, "--autoplay-policy=no-user-gesture-required"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Opens an address as a page; what the page writes as an error into its console is its attribute ``errors``.

    Afterwards the page's picture is kept in the test's folder.
    """
    pages: list[Any] = []

    def open_page(address: str) -> Any:
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        pages.append(page)
        page.set_default_timeout(60_000)
        page.errors = []
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for k, page in enumerate(pages):
        page.screenshot(path=tmp_path / f"page-{k}.png", full_page=True)
        page.close()

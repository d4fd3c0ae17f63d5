"""Studies on simulated trials (``tests/driver``), run to an end or not, and read again from their stores."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sepray.console import terminal
from sepray.driver import announcement, driver, finish, packaged_champion, registration, stores, study_report
from sepray.driver.registration import Registration
from sepray.execution import checkpoint
from sepray.results.study_result import StudyResult, load_study
from sepray.spec.study import StudySpec

from ..driver import conftest as simulated
from ..driver.conftest import DATA, simulation, spec, tracker, trained_weights

__all__ = ["simulation", "spec", "tracker"]  # fixtures


def save_weights(folder: str, epoch: int) -> None:
    """Write the last checkpoint of a trial as a trainable does, with a measure of each source for every epoch."""
    last = folder.rpartition("-")[2]
    number = int(last) if last.isdecimal() else 0  # of what is no trial's folder
    history = [
        {"epoch": e, "validation/low/relative_l2": number + 1 / e, "validation/high/relative_l2": number + 2 / e}
        for e in range(1, epoch + 1)
    ]
    checkpoint.save(
        folder,
        epoch,
        trained_weights(folder),
        {"number": number, "members": [{"epochs": epoch}], "history": history},
    )


@pytest.fixture
def run_study(monkeypatch, simulation, tracker) -> Callable[[StudySpec], int]:
    """Run a study on simulated trials; the report, the package and the registration are files without content."""
    screen = Console(file=io.StringIO(), width=140)
    for module in (terminal, driver, finish, announcement):
        monkeypatch.setattr(module, "console", screen)

    def package(spec: StudySpec, data: Any, member: Any, folder: Path) -> None:
        folder.mkdir()
        (folder / "MLmodel").write_text(f"member {member.number}\n")

    def register(spec: StudySpec, data: Any, result: Any, folder: Path, tracker: Any) -> Registration:
        return Registration(spec.model_name, "3", True, f"Registered as {spec.model_name} version 3.")

    def report(spec: StudySpec, data: Any, folder: Path, tracker: Any) -> Path:
        (folder / "figures").mkdir(exist_ok=True)
        (folder / "figures" / "seeds.svg").write_text("<svg/>")
        (folder / "report.html").write_text("<html/>")
        return folder / "report.html"

    monkeypatch.setattr(simulated, "_save_weights", save_weights)
    monkeypatch.setattr(driver, "load_task", lambda config, cache: DATA)
    monkeypatch.setattr(packaged_champion, "package", package)
    monkeypatch.setattr(packaged_champion, "is_whole", Path.exists)
    monkeypatch.setattr(packaged_champion, "describe_folder", lambda *_: ({}, None))
    no_database = SimpleNamespace(queue_ended_trials=lambda *given: None)  # the tracker has none
    monkeypatch.setattr(stores, "new_database", no_database)
    monkeypatch.setattr(registration, "register", register)
    monkeypatch.setattr(study_report, "make_report", report)
    return driver.run


def found(spec: StudySpec, **given: Any) -> StudyResult:
    """Return what is stored of a study."""
    stores = spec.stores
    return load_study(spec.name, stores.storage, stores.storage_path, stores.tracking_uri, stores.cache, **given)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Path:
    """Folder of the finished study, which is run once."""
    return tmp_path_factory.mktemp("shelf") / "finished"


@pytest.fixture
def finished(run_study, simulation, spec, tmp_path, shelf) -> StudyResult:
    """A study of four trials, a finalist and its control on two seeds each."""
    if not shelf.exists():
        assert run_study(spec) == 0
        shutil.copytree(tmp_path, shelf)
    else:
        shutil.copytree(shelf, tmp_path, dirs_exist_ok=True)
    simulation.trained.clear()
    return found(spec)

"""A study is completed in MLflow from its stores, while no other driver works on it."""

import io

import pytest
from rich.console import Console

from sepray.driver import completing as module
from sepray.driver import final_scores
from sepray.driver.completing import reconcile
from sepray.driver.stage import run_stage, search_stage
from sepray.driver.stores import StudyStores
from sepray.search.holding import HeldError
from sepray.spec.folder import RunningError, lock
from sepray.tracking.missing_runs import Reconciled

from .conftest import DATA, FakeTracker


@pytest.fixture
def printed(monkeypatch) -> io.StringIO:
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(module, "console", console)
    return console.file


@pytest.fixture
def asked(monkeypatch) -> dict:
    """Return the arguments of the reconciliation, which answers that it delivered 7 operations and so on."""
    asked: dict = {}

    def answer(outbox, study, expected, *, uri, experiment):
        asked.update(outbox=outbox, study=study, expected=expected, uri=uri, experiment=experiment)
        return Reconciled(7, ["1", "2"], ["3"], 11, [], [])

    monkeypatch.setattr(module, "reconcile_runs", answer)
    return asked


def ask(spec):
    reconcile("small", spec.stores.storage, "http://tracker", spec.stores.storage_path, spec.stores.cache)


def test_every_run_of_the_study_is_asked_for_and_what_was_done_is_told(
    prepared, spec, tracker, simulation, screen, asked, printed
):
    stores = StudyStores(prepared)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    stores.close()
    ask(spec)
    assert asked["outbox"] == stores.folder / "outbox.db"
    assert (asked["study"], asked["uri"], asked["experiment"]) == (f"small-{stores.uid}", "http://tracker", "cass-ecg")
    assert [run.label for run in asked["expected"]] == ["", "0", "1", "2", "3"]
    assert set(asked["expected"][1].epochs[1]) == {"validation/relative_l2"}
    assert sorted(asked["expected"][0].epochs) == [0, 1, 2, 3]
    assert asked["expected"][0].params["trials"] == "4"
    assert asked["expected"][1].dataset["digest"] == DATA.fingerprint[:36]
    assert printed.getvalue() == (
        "small: 7 waiting updates delivered, 2 runs created, 1 state corrected, "
        "11 missing values completed, 0 refused\n"
    )


def test_result_that_was_never_told_is_announced(prepared, spec, tracker, asked, printed, monkeypatch):
    stores = StudyStores(prepared)
    stores.close()
    result = {"member": 5, "role": "best", "hyperparameters": {"beta": 0.1}, "validation": 0.5, "metric": "relative_l2"}
    result |= {
        "scores": {"relative_l2": [[0.5, 0.25]]},
        "rows": [{"system": "best", "values": {"mean": [0.4, 0.3, 0.5]}}],
    }
    final_scores.save_result(stores.folder, result)
    announced, fake = [], FakeTracker()
    monkeypatch.setattr(module, "Tracker", lambda *given, **settings: fake.calls.append((given, settings, {})) or fake)
    monkeypatch.setattr(module, "load_task", lambda task, cache: DATA)
    monkeypatch.setattr(module.Finish, "announce", lambda self, result: announced.append(result))
    ask(spec)
    assert announced == [result]
    given, settings, _ = fake.calls[0]
    assert given == (stores.folder / "outbox.db", f"small-{stores.uid}")
    assert settings == {"uri": "http://tracker", "experiment": "cass-ecg"}
    assert len(fake.named("close")) == 1  # what was told is delivered
    monkeypatch.setattr(module.Finish, "announce", lambda self, result: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(spec)
    assert len(fake.named("close")) == 2  # no process that delivers is left behind


def test_running_study_is_left_alone(prepared, spec, tracker, asked, printed):
    stores = StudyStores(prepared)
    with pytest.raises(HeldError, match="small is held by"):
        ask(spec)
    assert asked == {}
    stores.close()
    with lock(stores.folder, "small"), pytest.raises(RunningError, match="small is running already"):
        ask(spec)
    assert asked == {}
    ask(spec)
    lock(stores.folder, "small").close()  # it is free again

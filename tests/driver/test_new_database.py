"""A local MLflow database that is missing is made anew, and told what the study has."""

import pytest

from sepray.driver import new_database
from sepray.driver.prepared import prepare
from sepray.driver.stage import run_stage, search_stage
from sepray.driver.stores import StudyStores
from sepray.tracking.outbox import Outbox, RunKey

from .conftest import DATA


@pytest.fixture
def screen(screen, monkeypatch):
    from sepray.console import terminal

    monkeypatch.setattr(new_database, "console", terminal.console)
    return screen


@pytest.fixture
def searched(spec, prepared, tracker, simulation, screen):
    """A study whose search has ended under an MLflow that it knows the run of."""
    stores = StudyStores(prepared)
    run_stage(search_stage(prepared, stores.search), prepared, stores, slots=2)
    stores.search.ask()
    stores.close()
    outbox = Outbox(stores.folder / "outbox.db")
    outbox.save_run(RunKey(f"small-{stores.uid}"), "run", "0", "RUNNING")
    outbox.close()
    return stores


def told(spec):
    """The operations that wait after another start, and the known runs."""
    stores = StudyStores(prepare(spec, DATA))
    stores.close()
    outbox = Outbox(stores.folder / "outbox.db")
    operations, known = outbox.take(1000), outbox.run_ids(f"small-{stores.uid}")
    outbox.close()
    return [(operation.key.label, operation.kind) for operation in operations], known


def test_missing_database_is_said_and_told_of_trials_that_have_ended(spec, searched, screen, tmp_path):
    operations, known = told(spec)
    database = f"MLflow's database {tmp_path}/mlflow.db is missing: a new one is made"
    assert f"{database}, and told of the trials that have ended (4)" in screen.getvalue()
    assert known == {}
    own = [("", "run"), ("", "log"), ("", "dataset")]
    ended = [(str(n), kind) for n in range(4) for kind in ("run", "log", "dataset", "status")]
    assert operations == own + ended, "trial 4 has not ended, and is told when it goes on"


@pytest.mark.parametrize("uri", ["", "http://host"])
def test_database_that_is_there_and_a_server_are_left_alone(spec, searched, screen, tmp_path, uri):
    (tmp_path / "mlflow.db").touch()
    spec = spec.changed(tracking_uri=uri) if uri else spec
    assert told(spec) == ([], {"": "run"})
    assert "is missing" not in screen.getvalue()


def test_new_study_has_nothing_to_tell(spec, prepared, tracker, screen):
    assert told(spec) == ([], {})
    assert "is missing" not in screen.getvalue()

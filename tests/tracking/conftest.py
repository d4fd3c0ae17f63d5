import importlib
import shutil
import sys

import pytest

from sepray.tracking import load_check
from sepray.tracking.connection import connect
from sepray.tracking.delivery import Delivery
from sepray.tracking.outbox import Outbox

from . import scaled


@pytest.fixture
def folder(tmp_path, empty_database):
    """A folder with an empty mlflow.db."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def uri(folder):
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def client(uri):
    return connect(uri)


@pytest.fixture
def outbox(folder):
    box = Outbox(folder / "outbox.db")
    yield box
    box.close()


@pytest.fixture
def delivery(outbox, uri):
    return Delivery(outbox, uri)


class Reader:
    """The content of MLflow's database on one study."""

    def __init__(self, client, study, experiment="sepray"):
        self.client = client
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id], f"tags.`sepray.study` = '{study}'") if found else []
        self.labels = sorted(run.data.tags["sepray.trial"] for run in runs)
        self.runs = {run.data.tags["sepray.trial"]: run for run in runs}

    def history(self, label, key):
        """(step, value, time) of each row of a metric."""
        rows = self.client.get_metric_history(self.runs[label].info.run_id, key)
        return [(row.step, row.value, row.timestamp) for row in rows]


@pytest.fixture
def read(client):
    return lambda study="s": Reader(client, study)


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    """A folder of the user's own from which modules are imported."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    _forget_users_modules()
    yield folder
    _forget_users_modules()


def _forget_users_modules():
    """Remove the modules of a folder that is gone, those of other tests too."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("mine", "beside", "nameless", "lab", "lab_gains"):
            del sys.modules[name]


@pytest.fixture
def separator(users_folder):
    """A user's separator and its configuration."""
    scaled.write(users_folder / "mine", scaled.FILES)
    return scaled.built(importlib.import_module("mine.separator").Config())


@pytest.fixture
def unchecked(monkeypatch):
    """Packages models without the clean process, which takes seconds."""
    monkeypatch.setattr(load_check, "require_working", lambda *_: None)

"""A project's folder that was moved, renamed or copied: MLflow's paths follow, and the original is left alone."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking._tracking_service import utils as artifact_utils

from sepray.tracking import models
from sepray.tracking.connection import connect
from sepray.tracking.delivery import Delivery
from sepray.tracking.environment import artifact_location
from sepray.tracking.local_registry import model_folder
from sepray.tracking.outbox import Outbox, RunKey
from sepray.tracking.relocation import local_path, mlruns_beside, update_paths

from .scaled import EXPECTED, MIXTURES, package


class Tracked:
    """A study with one run, which is delivered when it is flushed."""

    study = "study-1"

    def __init__(self, folder):
        self.uri, self.outbox = f"sqlite:///{folder}/mlflow.db", Outbox(folder / "box.db")
        self.outbox.put(RunKey(self.study), "run", {"name": "s", "experiment": "cass ecg", "start": 1, "tags": {}})
        self.outbox.put_text(RunKey(self.study), "note.txt", "kept")

    def pending(self):
        return self.outbox.pending()

    def run_ids(self):
        return self.outbox.run_ids(self.study)

    def flush(self, timeout):
        Delivery(self.outbox, self.uri).deliver(100)


@pytest.fixture
def project(tmp_path, empty_database, separator, unchecked):
    """A folder with MLflow's database, a run with an artifact, and a registered champion."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")
    tracked = Tracked(folder)
    package(tmp_path / "model", separator)
    models.register(tracked, "", tmp_path / "model", "cass-ecg")
    models.set_champion("cass-ecg", "1", tracked.uri)
    tracked.outbox.close()
    return folder


def moved(project, how):
    artifact_utils._artifact_repos_cache.clear()  # MLflow knows where the files of a run were, in one process
    there = project.parent / "elsewhere" / "renamed"
    there.parent.mkdir()
    shutil.move(project, there) if how == "moved" else shutil.copytree(project, there)
    return there


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "mlflow.db" not in path.name}


def paths(folder):
    """All paths in MLflow's database."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        found = connection.execute(
            "select artifact_location from experiments where name != 'Default' union select artifact_uri from runs "
            "union select artifact_location from logged_models union select storage_location from model_versions"
        ).fetchall()
    connection.close()
    return {path for (path,) in found}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_models_are_found_where_they_are_now_without_asking_mlflow(project, how, monkeypatch):
    there = moved(project, how)
    uri = f"sqlite:///{there}/mlflow.db"
    monkeypatch.setattr(models, "_downloaded", lambda *_: pytest.fail("MLflow is asked"))
    assert model_folder("models:/cass-ecg@champion", uri).is_relative_to(there)
    estimates = models.load("models:/cass-ecg@champion", uri).predict(MIXTURES)
    np.testing.assert_allclose(estimates, EXPECTED, rtol=1e-6)


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_what_goes_on_there_is_written_there(project, how):
    there, before = moved(project, how), {}
    if how == "copied":
        before = files(project)
        untouched = (project / "mlflow.db").read_bytes()
    tracked = Tracked(there)
    tracked.outbox.put_text(RunKey(tracked.study), "later.txt", "later")
    tracked.flush(0)
    tracked.outbox.close()
    assert len(list((there / "mlruns").rglob("later.txt"))) == 1
    assert all(Path(path).is_relative_to(there / "mlruns") for path in paths(there))
    client = connect(tracked.uri)
    [run] = client.search_runs([client.get_experiment_by_name("cass ecg").experiment_id])
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"note.txt", "later.txt"}
    if how == "copied":
        assert files(project) == before
        assert (project / "mlflow.db").read_bytes() == untouched
    else:
        assert not project.exists()


def test_artifacts_that_stayed_behind_are_still_found(project):
    there = project.parent / "backup"
    there.mkdir()
    shutil.copyfile(project / "mlflow.db", there / "mlflow.db")
    connect(f"sqlite:///{there}/mlflow.db")
    assert paths(there) == paths(project)
    assert model_folder("models:/cass-ecg/1", f"sqlite:///{there}/mlflow.db").is_relative_to(project)


def test_places_of_the_users_own_are_left_alone(project):
    with sqlite3.connect(project / "mlflow.db") as connection:
        connection.execute(
            "insert into experiments (name, artifact_location, lifecycle_stage) "
            "values ('mine', '/data/mlruns/5', 'active')"
        )
    connection.close()
    before = paths(project)
    update_paths(project / "mlflow.db")
    assert paths(project) == before


def test_folder_above_may_be_called_mlruns_too(tmp_path):
    there = tmp_path / "mlruns" / "b"
    (there / "mlruns" / "exp").mkdir(parents=True)
    assert mlruns_beside(there / "mlflow.db", Path("/old/mlruns/a/mlruns/exp")) == there / "mlruns" / "exp"
    assert mlruns_beside(there / "mlflow.db", Path("/old/mlruns/none")) == Path("/old/mlruns/none")
    assert mlruns_beside(there / "mlflow.db", Path("/old/exp")) == Path("/old/exp")


def test_database_that_cannot_be_read_is_left_to_mlflow(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database" * 100)
    update_paths(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").read_text() == "no database" * 100


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (None, None),
        ("/data/mlruns/5", "/data/mlruns/5"),
        ("mlruns/5", None),
        ("file:///data/a%20b/5", "/data/a b/5"),
        ("file://localhost/data/5", "/data/5"),
        ("file://server/data/5", None),
        ("s3://bucket/5", None),
        ("mlflow-artifacts:/5", None),
    ],
)
def test_location_is_a_path_where_it_is_of_this_machine(location, path):
    assert local_path(location) == (path and Path(path))


@pytest.fixture
def database(tmp_path):
    """A function that makes the least of MLflow's database in a folder, with experiments and runs by their places."""

    def make(experiments, runs=()):
        path = tmp_path / "new" / "mlflow.db"
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("create table experiments (name, artifact_location)")
            connection.execute("create table runs (artifact_uri)")
            connection.execute("create table model_versions (source)")  # older: without storage_location
            connection.executemany("insert into experiments values (?, ?)", experiments)
            connection.executemany("insert into runs values (?)", [(place,) for place in runs])
        connection.close()
        return path

    return make


def stored(database):
    with sqlite3.connect(database) as connection:
        found = [
            [row[0] for row in connection.execute(query)]
            for query in ("select artifact_location from experiments", "select artifact_uri from runs")
        ]
    connection.close()
    return found


def own(folder, name):
    """The place that sepray gives an experiment's artifacts in a folder."""
    return artifact_location(f"sqlite:///{folder}/mlflow.db", name)


def test_only_paths_in_the_former_folders_follow(database, tmp_path):
    first, second, remote = own("/old", "ecg"), own("/older", "ppg"), "s3://bucket/old/mlruns/ecg"
    experiments = [("ecg", first), ("ppg", second), ("Default", remote), ("mine", "/old/mlruns2/mine")]
    runs = [f"{first}/r/artifacts", "/old/mlruns", "/old/mlruns2/r", "/old/mlruns-other", f"{second}/r", remote]
    path = database(experiments, runs)
    (path.parent / "mlruns").mkdir()
    update_paths(path)
    here = path.parent / "mlruns"
    assert stored(path) == [
        [own(path.parent, "ecg"), own(path.parent, "ppg"), remote, "/old/mlruns2/mine"],
        [f"{own(path.parent, 'ecg')}/r/artifacts", str(here), *runs[2:4], f"{own(path.parent, 'ppg')}/r", remote],
    ]


def test_paths_follow_where_the_former_folder_is_gone_and_stay_where_it_is_not(database, tmp_path):
    there = tmp_path / "old"
    (there / "mlruns").mkdir(parents=True)
    gone, kept = own("/gone", "ecg"), own(there, "ppg")
    path = database([("ecg", gone), ("ppg", kept)])
    update_paths(path)  # there is no mlruns beside it
    assert stored(path)[0] == [own(path.parent, "ecg"), kept]
    (path.parent / "mlruns").mkdir()
    update_paths(path)
    assert stored(path)[0] == [own(path.parent, "ecg"), own(path.parent, "ppg")]


def test_database_that_somebody_writes_is_waited_for(database, monkeypatch):
    asked, connect_to = [], sqlite3.connect
    path = database([("ecg", own("/gone", "ecg"))])
    monkeypatch.setattr(sqlite3, "connect", lambda *place, **given: asked.append(given) or connect_to(*place, **given))
    update_paths(path)
    assert asked == [{"timeout": 30}]

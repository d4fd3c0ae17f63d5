"""A study is deleted from all its stores; a kill at any point leaves what the same deletion finishes."""

import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from sepray.driver import driver
from sepray.driver.saved_study import read_saved_study
from sepray.errors import UsageError
from sepray.results import deletion
from sepray.results.deletion import Deletion, carry_out, finish_interrupted, held, plan
from sepray.search.holding import HeldError
from sepray.search.lease import take
from sepray.search.owner import Surroundings
from sepray.search.storage import connect
from sepray.spec.folder import RunningError, lock
from sepray.tracking.deletion import ModelVersion, TrackedStudy
from sepray.tracking.outbox import BusyError, Outbox, RunKey

from .conftest import found

TRACKED = TrackedStudy(("run-1", "run-2"), (ModelVersion("cass-ecg", "3", ("champion",)), ModelVersion("x", "1", ())))


def record_of(spec):
    return read_saved_study(spec.name, spec.stores.storage, spec.stores.storage_path)


def names(spec):
    return optuna.get_all_study_names(spec.stores.storage)


@pytest.fixture
def mlflow(monkeypatch):
    """Return the calls that MLflow gets."""
    asked = []
    monkeypatch.setattr(deletion, "tracked", lambda *args: asked.append(("tracked", *args)) or TRACKED)
    monkeypatch.setattr(deletion, "delete_runs", lambda *args: asked.append(("runs", *args)))
    monkeypatch.setattr(deletion, "delete_versions", lambda *args: asked.append(("versions", *args)))
    return asked


def test_study_is_deleted_from_storage_and_disk_and_others_stay(finished, spec):
    optuna.create_study(study_name="other", storage=spec.stores.storage)
    other = Path(spec.stores.storage_path) / "small" / "0a1b2c3d"
    other.mkdir()
    with held(record_of(spec)):
        carry_out(Deletion(record_of(spec)))
    assert names(spec) == ["other"]
    assert list((Path(spec.stores.storage_path) / "small").iterdir()) == [other]


def test_last_folder_of_a_name_takes_the_name_along(finished, spec):
    carry_out(Deletion(record_of(spec)))
    assert list(Path(spec.stores.storage_path).iterdir()) == []


def test_same_name_can_be_used_again(finished, spec, run_study, simulation):
    carry_out(Deletion(record_of(spec)))
    assert run_study(spec) == 0
    assert len(simulation.trained) == (4 + 6) * 3
    assert found(spec).saved.uid != finished.saved.uid


def test_remote_checkpoints_go_too(run_study, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote = spec.changed(storage_path=f"file://{tmp_path}/bucket")
    run_study(remote)
    (tmp_path / "bucket" / "other").mkdir()
    planned = Deletion(record_of(remote))
    saved = planned.saved
    checkpoints = [p for p in (tmp_path / "bucket").rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in checkpoints)
    assert len(checkpoints) == 10
    assert f"10 files, {size / 1024:.0f} KiB, in {saved.checkpoints}" in planned.deleted
    carry_out(planned)
    assert list((tmp_path / "bucket").iterdir()) == [tmp_path / "bucket" / "other"]
    assert list((tmp_path / "sepray-results").iterdir()) == []
    assert names(spec) == []


def test_plan_says_what_goes_and_what_stays(finished, spec, mlflow):
    stored = optuna.load_study(study_name="small", storage=spec.stores.storage)
    for label in ("", "trial-00000.", "final-0."):
        stored.set_user_attr(f"{label}mlflow_run_id", "ab")
    outbox = Outbox(finished.folder / "outbox.db")
    outbox.put(RunKey("small"), "log", {})
    outbox.close()
    files = [path for path in finished.folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    storage, uri = spec.stores.storage, "http://me:secret@tracker"
    in_stores = [
        f"4 trials and 6 retrainings in {storage}",
        f"{len(files)} files, {size / 1024:.0f} KiB, in {finished.folder}",
    ]
    waiting = "1 update that MLflow has not been told yet"
    runs = "2 MLflow runs in http://me:***@tracker, which can be restored until mlflow gc"
    versions = ["models:/cass-ecg/3, champion", "models:/x/1"]

    planned = plan(record_of(spec), None, runs=False, models=False)
    assert planned.deleted == [*in_stores, waiting]
    assert planned.kept == ["3 MLflow runs (--runs deletes them)", "models:/cass-ecg/3 (--models deletes it)"]
    assert mlflow == []

    planned = plan(record_of(spec), uri, runs=True, models=False)
    assert planned.deleted == [*in_stores, runs, waiting]
    assert planned.kept == [f"{version} (--models deletes it)" for version in versions]
    assert mlflow == [("tracked", f"small-{finished.saved.uid}", uri)]

    planned = plan(record_of(spec), uri, runs=False, models=True)
    assert planned.deleted == [*in_stores, *versions, waiting]
    assert planned.kept == ["3 MLflow runs (--runs deletes them)"]

    planned = plan(record_of(spec), uri, runs=True, models=True)
    assert planned.deleted == [*in_stores, runs, *versions, waiting]
    assert planned.kept == []


def test_plan_of_a_study_that_has_just_begun(run_study, spec, monkeypatch):
    monkeypatch.setattr(driver, "run_stage", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_study(spec)
    planned = Deletion(record_of(spec))
    assert planned.deleted[0] == f"0 trials in {spec.stores.storage}"
    assert planned.kept == []
    carry_out(planned)
    assert names(spec) == []


@pytest.mark.parametrize("told", [{}, {"name": "cass-ecg"}, {"version": "3"}, {"name": "cass-ecg", "version": ""}])
def test_a_registration_without_name_or_version_is_none(finished, spec, monkeypatch, told):
    monkeypatch.setattr(deletion, "read_registration", lambda _: told)
    assert not any("models:/" in kept for kept in plan(record_of(spec), None, runs=False, models=False).kept)


def test_mlflow_is_told_only_what_was_asked_for(finished, spec, mlflow):
    uri = "http://tracker"
    for runs, models in ((False, False), (True, False), (False, True), (True, True)):
        planned = plan(record_of(spec), uri, runs, models)
        mlflow.clear()
        # Everything else of it is deleted already, from the second on.
        deletion.carry_out(planned) if runs and models else _only_mlflow(planned)
        wanted = [("versions", TRACKED.versions, uri)] * models + [("runs", TRACKED.runs, uri)] * runs
        assert mlflow == wanted


def _only_mlflow(planned):
    """Carry out a deletion up to the point where it would leave MLflow."""

    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deletion, "is_remote", stop)
        with pytest.raises(Stopped):
            carry_out(planned)


class Killed(Exception):
    """Stands for the death of the process."""


def test_deletion_that_is_killed_anywhere_is_finished_by_the_same_command(finished, spec, mlflow, shelf, monkeypatch):
    """The deletion is killed before its first call that deletes something, then before its second, and so on."""
    root = Path(spec.stores.storage_path)
    left = [0]

    def counted(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    for module, name in ((deletion, "remove"), (optuna, "delete_study"), (deletion, "delete_runs")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    kills = 0
    while True:
        left[0] = kills
        try:
            carry_out(plan(record_of(spec), "http://tracker", runs=True, models=False))
            break
        except Killed:
            kills += 1
        left[0] = 100
        try:  # as the command does
            carry_out(plan(record_of(spec), "http://tracker", runs=True, models=False))
        except UsageError:
            assert names(spec) == []
            assert finish_interrupted("small", str(root)) is True
        assert names(spec) == []
        assert list(root.iterdir()) == []
        shutil.copytree(shelf, root.parent, dirs_exist_ok=True)
    assert kills > 8


def test_uid_is_known_until_everything_else_is_gone(finished, spec, monkeypatch):
    """The Optuna study, which has it, is deleted after the files, and the retrainings before the search."""
    order = []
    delete = optuna.delete_study
    monkeypatch.setattr(optuna, "delete_study", lambda **given: order.append(given["study_name"]) or delete(**given))
    remove = deletion.remove
    monkeypatch.setattr(deletion, "remove", lambda place, *top: order.append(Path(place).name) or remove(place, *top))
    carry_out(Deletion(record_of(spec)))
    assert order.index("small/finals") + 1 == order.index("small")
    assert {"finals", "search", "model", "result.json"} <= set(order[: order.index("small/finals")])
    assert order[order.index("small") + 1 :] == [finished.saved.uid, "small"]


def test_remains_of_a_killed_deletion_are_a_lock_at_most(tmp_path):
    root = tmp_path / "small"
    for uid, files in {"a": ["lock"], "b": ["lock", "result.json"], "c": [], "d": ["lock"], "e": ["lock"]}.items():
        (root / uid).mkdir(parents=True)
        for name in files:
            (root / uid / name).touch()
    (root / "e" / "search").mkdir()
    driver_of_d = lock(root / "d", "small")
    assert finish_interrupted("small", str(tmp_path)) is True
    assert sorted(path.name for path in root.iterdir()) == ["b", "c", "d", "e"]
    assert finish_interrupted("small", str(tmp_path)) is False
    driver_of_d.close()
    assert finish_interrupted("none", str(tmp_path)) is False
    (tmp_path / "empty").mkdir()
    assert finish_interrupted("empty", str(tmp_path)) is True
    assert not (tmp_path / "empty").exists()


def test_running_study_is_refused_and_a_held_one_cannot_be_run(finished, spec, run_study):
    driver_of_it = lock(finished.folder, "small")
    with pytest.raises(RunningError, match="small is running already"), held(finished.saved):
        pass
    driver_of_it.close()
    with held(finished.saved), pytest.raises(HeldError, match="small is held by"):
        run_study(spec)


def test_what_a_killed_driver_left_of_its_ownership_goes_with_the_study(finished, spec, monkeypatch):
    storage = connect(spec.stores.storage)
    gone = replace(Surroundings.here(), process=2**22 + 1, started="gone")
    take(storage, "small", here=gone)._ending.set()
    assert [name for name in names(spec) if "/lease/" in name]
    with held(finished.saved):
        carry_out(Deletion(finished.saved))
    assert names(spec) == []


def test_study_whose_records_are_being_delivered_is_refused(finished, monkeypatch):
    outbox = Outbox(finished.folder / "outbox.db")
    waited = []
    exclusive = Outbox.exclusive
    monkeypatch.setattr(Outbox, "exclusive", lambda self, timeout: waited.append(timeout) or exclusive(self, 0.0))
    with outbox.exclusive(0.0), pytest.raises(BusyError, match="another process delivers from"), held(finished.saved):
        pass
    outbox.close()
    assert waited == [0.0, 5.0]


def test_holding_a_study_of_another_machine_makes_nothing(finished, tmp_path, spec):
    saved = read_saved_study("small", spec.stores.storage, str(tmp_path / "elsewhere"))
    with held(saved):
        pass
    assert not (tmp_path / "elsewhere").exists()

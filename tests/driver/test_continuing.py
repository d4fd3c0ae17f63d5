"""Refusals before a driver writes into a study that exists: checkpoints elsewhere, source files that changed."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy

from sepray.driver import code, continuing
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores
from sepray.errors import UsageError
from sepray.search.holding import LAST_OWNER
from sepray.search.owner import Surroundings
from sepray.spec.permissions import Permissions
from sepray.tracking.outbox import Outbox, RunKey

from .conftest import DATA

HERE, CHANGED = Permissions(move_here=True), Permissions(allow_changed_code=True)
FILES = {"mine": "aa", "helper": "bb", "sepray.training.trainer": "cc"}


@pytest.fixture
def files(monkeypatch):
    """The digests of the source files, which tests change."""
    present = dict(FILES)
    monkeypatch.setattr(code, "files", lambda separator: dict(present))
    return present


@pytest.fixture
def begun(spec, tracker):
    """A study that has been started, with a trial and a record that waits for MLflow."""
    stores = StudyStores(prepare(spec, DATA))
    stores.search.ask()
    stores.close()
    outbox = Outbox(stores.folder / "outbox.db")
    outbox.put(RunKey(f"small-{stores.uid}", "0"), "log", {"tags": {"a": "b"}})
    outbox.save_run(RunKey(f"small-{stores.uid}"), "run", "0", "RUNNING")
    outbox.close()
    return stores


def again(spec, permitted=None):
    stores = StudyStores(prepare(spec, DATA), permitted=permitted)
    stores.close()
    return stores


def attributes(spec):
    return optuna.load_study(study_name="small", storage=spec.stores.storage).user_attrs


def waiting(stores):
    outbox = Outbox(stores.folder / "outbox.db")
    try:
        return outbox.pending(), outbox.run_ids(f"small-{stores.uid}")
    finally:
        outbox.close()


def test_start_in_another_folder_is_refused_saying_where_the_checkpoints_are(spec, begun, tmp_path):
    before = attributes(spec)
    with pytest.raises(UsageError) as refused:
        again(spec.changed(storage_path=str(tmp_path / "other"), trials=9))
    host, there = Surroundings.here().host, tmp_path / "results"
    assert str(refused.value) == (
        f"the checkpoints of small are not here but in {there}/small/{begun.uid} on {host}: run the same command "
        f"there, or give --storage-path {there}; --move-here goes on here without them: "
        "unfinished trials begin again"
    )
    assert not (tmp_path / "other").exists()
    assert attributes(spec) == before
    assert again(spec).folder == begun.folder
    assert waiting(begun)[0] == 1


def test_without_them_it_goes_on_where_that_is_allowed_and_coming_back_asks_mlflow_anew(spec, begun, tmp_path, screen):
    other = spec.changed(storage_path=str(tmp_path / "other"))
    with pytest.raises(UsageError, match="not here but in"):
        again(other, Permissions(take_over=True))
    there = again(other, HERE)
    assert there.folder == tmp_path / "other/small" / begun.uid
    assert (
        f"small goes on here; its checkpoints stay in {begun.folder} on {Surroundings.here().host}: unfinished trials "
        "begin again"
    ) in screen.getvalue()
    with pytest.raises(UsageError, match=f"not here but in {tmp_path}/other/small"):
        again(spec)
    assert waiting(begun) == (1, {"": "run"})
    again(spec, HERE)
    assert waiting(begun) == (0, {})


@pytest.mark.parametrize("how", [os.rename, shutil.copytree])
def test_moved_or_copied_folder_is_the_same(spec, begun, tmp_path, how):
    how(tmp_path / "results", tmp_path / "moved")
    moved = again(spec.changed(storage_path=str(tmp_path / "moved")))
    assert moved.folder == tmp_path / "moved/small" / begun.uid
    assert waiting(moved) == (1, {"": "run"})


def test_other_driver_on_the_same_object_store_goes_on(spec, tracker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = spec.changed(storage_path="s3://bucket/a")
    first = StudyStores(prepare(spec, DATA))
    first.search.ask()
    first.close()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert again(spec).checkpoints == first.checkpoints
    with pytest.raises(UsageError, match=r"in s3://bucket/a/small/[0-9a-f]+: run the same command there; --m"):
        again(spec.changed(storage_path="s3://bucket/b"))
    with pytest.raises(UsageError, match="not here but in s3://bucket/a/small"):
        again(spec.changed(storage_path=str(tmp_path / "results")))


def test_study_without_trials_has_nothing_elsewhere(spec, tracker, tmp_path):
    again(spec)
    again(spec.changed(storage_path=str(tmp_path / "other")))


def test_checkpoints_that_were_deleted_keep_nobody_out(spec, begun, tmp_path):
    shutil.rmtree(begun.folder)
    again(spec.changed(storage_path=str(tmp_path / "other")))


def test_those_of_another_host_are_not_looked_for_here(spec, begun, tmp_path, monkeypatch):
    shutil.rmtree(begun.folder)
    study = optuna.load_study(study_name="small", storage=spec.stores.storage)
    study.set_user_attr(LAST_OWNER, {**study.user_attrs[LAST_OWNER], "host": "host-b"})
    with pytest.raises(UsageError, match=r"on host-b: run the same command there; --move-here goes on here"):
        again(spec.changed(storage_path=str(tmp_path / "other")))


def without(spec, *names):
    """Make the study one of an older version, which did not keep some attributes."""
    storage = optuna.storages.RDBStorage(spec.stores.storage)
    number = storage.get_study_id_from_name("small")
    with storage.engine.begin() as connection:
        for name in names:
            statement = "delete from study_user_attributes where study_id = :number and key = :name"
            connection.execute(sqlalchemy.text(statement), {"number": number, "name": name})


def test_study_of_an_older_version_goes_on_anywhere(spec, begun, tmp_path):
    without(spec, LAST_OWNER, continuing.CODE)
    assert again(spec.changed(storage_path=str(tmp_path / "other"))).uid == begun.uid


def test_changed_file_is_named_and_refused_until_it_is_allowed(
    spec, files, begun, tracker, tmp_path, monkeypatch, screen
):
    (tmp_path / "mine.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = attributes(spec)
    files["mine"] = "changed"
    with pytest.raises(UsageError) as refused:
        again(spec.changed(trials=9))
    assert str(refused.value) == (
        "mine.py has changed since the last start of small: undo that, or give the study another --name; "
        "--allow-changed-code goes on, and tags the trials that follow"
    )
    assert attributes(spec) == before
    tracker.calls.clear()
    again(spec, CHANGED)
    [((_, _, tags), _)] = tracker.named("open_study")
    assert tags["changed_code"] == "mine"
    assert "mine.py has changed since the last start of small; the trials that follow are tagged" in screen.getvalue()
    tracker.calls.clear()
    again(spec)  # nothing more has changed since
    [((_, _, tags), _)] = tracker.named("open_study")
    assert tags["changed_code"] == "mine", "its trials differ from the first ones all the same"
    files["mine"] = "aa"
    with pytest.raises(UsageError, match=r"mine\.py has changed since the last start"):
        again(spec)
    tracker.calls.clear()
    again(spec, CHANGED)
    [((_, _, tags), _)] = tracker.named("open_study")
    assert "changed_code" not in tags


def test_new_and_missing_files_have_changed_too(spec, files, begun):
    files["another"] = files.pop("helper")
    with pytest.raises(UsageError, match=r"^another and helper have changed since"):
        again(spec)


@pytest.mark.parametrize(("version", "refused"), [("same", True), ("0.0.1", False)])
def test_files_of_sepray_change_with_its_version(spec, files, begun, tracker, screen, version, refused):
    if version != "same":
        study = optuna.load_study(study_name="small", storage=spec.stores.storage)
        study.set_user_attr(LAST_OWNER, {**study.user_attrs[LAST_OWNER], "version": version})
    files["sepray.training.trainer"] = "changed"
    if refused:
        with pytest.raises(UsageError, match=r"training/trainer\.py has changed since"):
            again(spec)
        return
    again(spec)
    assert "training/trainer.py has changed since" in screen.getvalue()
    [*_, ((_, _, tags), _)] = tracker.named("open_study")
    assert tags["changed_code"] == "sepray.training.trainer"


def test_study_that_kept_the_digests_alone_is_compared_with_the_closest(spec, files, begun):
    without(spec, continuing.CODE)
    again(spec)
    without(spec, continuing.CODE)
    files["helper"] = "changed"
    with pytest.raises(UsageError, match=r"^helper has changed since"):
        again(spec)


def test_closest_of_several_kept_digests_is_what_a_start_is_compared_with():
    near, far = FILES | {"helper": "old"}, {"mine": "old", "helper": "older"}
    for kept in ((near, far), (far, near)):
        study = optuna.create_study()
        for one in kept:
            study.set_user_attr(code.attribute(one), one)
        assert continuing.code_tags(study, FILES) == {continuing.CHANGED_CODE: "helper"}


def test_what_is_only_trained_beside_an_ended_study_may_have_other_files(spec, files, begun):
    files["mine"] = "changed"
    StudyStores(prepare(spec, DATA), goes_on=False).close()
    assert attributes(spec)[code.attribute(files)] == files  # by which its trials are known
    with pytest.raises(UsageError, match="mine has changed since"):
        again(spec)


def test_path_of_a_study_that_has_ended_cannot_be_moved(spec, begun, tmp_path):
    with pytest.raises(UsageError, match=rf"give --storage-path {tmp_path}/results$"):
        StudyStores(prepare(spec.changed(storage_path=str(tmp_path / "other")), DATA), goes_on=False)


def test_separator_without_source_files_is_not_compared(spec, files, begun):
    files.clear()
    again(spec)
    files.update(FILES)
    again(spec)


@pytest.mark.parametrize("there", ["x" * 5000, "\0"])
def test_place_of_checkpoints_that_cannot_be_is_nowhere(tmp_path, there):
    stored = {LAST_OWNER: {"checkpoints": there, "folder": "theirs", "host": Surroundings.here().host}}
    study = SimpleNamespace(study_name="small", user_attrs=stored, get_trials=lambda deepcopy: [1])
    assert continuing.refuse_other_location(study, tmp_path, str(tmp_path), Permissions()) == ""
    stored[LAST_OWNER]["checkpoints"] = "/"
    with pytest.raises(UsageError, match=r"not here but in / on .*, or give --storage-path /;"):
        continuing.refuse_other_location(study, tmp_path, str(tmp_path), Permissions())

"""The stores of a study: opened once, found again, and closed to other drivers."""

import json
import re
from pathlib import Path

import pytest
from optuna.trial import TrialState

from sepray.driver import tracking_address
from sepray.driver.prepared import prepare
from sepray.driver.stores import StudyStores, refused_by_mlflow, waits_for_mlflow
from sepray.driver.study_commands import on_study
from sepray.errors import UsageError
from sepray.execution import checkpoint
from sepray.identity import digest
from sepray.search.holding import HeldError
from sepray.search.storage import FingerprintMismatchError
from sepray.spec.folder import RunningError, is_locked, lock
from sepray.tracking.outbox import Rejected, RunKey

from .conftest import DATA


def test_same_study_is_found_again_under_the_same_id(prepared, spec, tracker):
    first = StudyStores(prepared)
    first.close()
    again = StudyStores(prepared)
    assert re.fullmatch(r"[0-9a-f]{8}", first.uid)
    assert (again.uid, again.folder) == (first.uid, first.folder)
    assert again.folder == Path(spec.stores.storage_path) / "small" / first.uid
    assert again.search.user_attrs["spec"] == spec.plain()
    again.close()


def test_other_study_of_the_same_name_is_refused(spec, stores):
    stores.close()
    with pytest.raises(FingerprintMismatchError, match=r"max_epochs: 3 -> 9"):
        StudyStores(prepare(spec.changed(max_epochs=9), DATA))


def test_second_driver_is_kept_out_until_the_first_closes(prepared, stores, tracker):
    with pytest.raises(HeldError, match=r"^small is held by \S+ on \S+, process \d+, since .*; --take-over takes it"):
        StudyStores(prepared)
    stores.close()
    StudyStores(prepared).close()


def test_folder_that_another_process_holds_is_refused_too(prepared, stores, tracker):
    stores.close()
    with lock(stores.folder, "small"), pytest.raises(RunningError, match="small is running already"):
        StudyStores(prepared)
    StudyStores(prepared).close()


@pytest.mark.parametrize("step", ["address", "run"])
def test_start_that_is_refused_leaves_neither_lock_nor_lease_nor_sender(prepared, tracker, monkeypatch, step):
    first = StudyStores(prepared)
    first.close()
    tracker.calls.clear()

    def refuse(*arguments, **named):
        raise UsageError("no")

    with monkeypatch.context() as patch:
        if step == "address":
            patch.setattr(tracking_address, "require_same", refuse)
        else:
            patch.setattr(tracker, "open_study", refuse, raising=False)
        with pytest.raises(UsageError, match=r"^no$") as refused:
            StudyStores(prepared)
    assert not is_locked(first.folder), refused  # the error holds the frames, and they the stores
    assert len(tracker.named("abandon")) == (step == "run")
    StudyStores(prepared).close()


def test_study_is_released_where_its_last_delivery_fails(prepared, tracker, monkeypatch):
    opened = StudyStores(prepared)

    def interrupt(timeout):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "close", interrupt)
        with pytest.raises(KeyboardInterrupt):
            opened.close()
    assert not is_locked(opened.folder)
    StudyStores(prepared).close()


def test_finals_are_a_study_of_their_own_with_the_same_fingerprint(stores):
    finals = stores.open_finals()
    assert finals.study_name == "small/finals"
    assert finals.user_attrs["fingerprint"] == stores.search.user_attrs["fingerprint"]


@pytest.mark.parametrize("path", ["s3://bucket/studies", "gs://bucket/deep/er"])
def test_remote_checkpoints_lie_there_and_other_files_beside_the_user(spec, tracker, path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    opened = StudyStores(prepare(spec.changed(storage_path=path), DATA))
    assert opened.checkpoints == f"{path}/small/{opened.uid}"
    assert opened.trial_folder("finals", 7) == f"{path}/small/{opened.uid}/finals/trial-00007"
    assert opened.folder == tmp_path / "sepray-results" / "small" / opened.uid
    opened.close()


def test_run_of_the_study_is_opened_with_settings_data_and_no_password(spec, tracker):
    spec = spec.changed(trials=5, seed=3, seeds_per_trial=2, grace_period=4)
    opened = StudyStores(prepare(spec, DATA))
    opened.close()
    [((outbox, study), settings)] = tracker.named("Tracker")
    assert (outbox, study) == (opened.folder / "outbox.db", f"small-{opened.uid}")
    assert (settings["uri"], settings["experiment"]) == (spec.stores.tracking_uri, "cass-ecg")
    [((name, params, tags), kwargs)] = tracker.named("open_study")
    assert (name, kwargs) == ("small", {"note": "Study `small` is running."})
    assert (params["task"], params["separator"], params["separator.width"]) == ("ecg", "cass", spec.separator.width)
    assert {name: value for name, value in params.items() if "." not in name} == {
        "task": "ecg",
        "separator": "cass",
        "trials": 5,
        "seed": 3,
        "seeds_per_trial": 2,
        "grace_period": 4,
        "max_epochs": 3,
        "sampler": "random",
        "scheduler": "none",
        "objective": "relative_l2",
    }
    assert params["task.train"] == spec.task.train
    assert (tags["data_fingerprint"], tags["optuna_study"]) == (DATA.fingerprint, "small")
    assert tags["study_fingerprint"] == digest(prepare(spec, DATA).fingerprint)
    assert tags["optuna_storage"] == spec.stores.storage
    assert "version.torch" in tags
    [((task, fingerprint, described, context), _)] = tracker.named("log_dataset")
    assert (task, fingerprint, context) == ("ecg", DATA.fingerprint, "training")
    assert described["items"] == {"train": 4, "validation": 3, "test": 5}
    assert described["sources"] == ["low", "high"]
    told = opened.search.user_attrs["mlflow"]
    assert told["params"] == {name: str(value) for name, value in params.items()}
    assert [start["tags"] for start in told["starts"]] == [tags]
    assert (told["data"]["name"], told["data"]["digest"]) == ("ecg", DATA.fingerprint[:36])
    assert json.loads(told["data"]["profile"])["items"] == described["items"]


def test_objectives_have_their_names_in_the_storage(spec, stores, tracker):
    assert stores.search.metric_names == stores.open_finals().metric_names == ["relative_l2"]
    several = StudyStores(prepare(spec.changed(name="other", objective=("relative_l2:each",)), DATA))
    several.close()
    assert several.search.metric_names == ["low/relative_l2", "high/relative_l2"]


def test_run_ids_are_kept_in_the_study_by_what_they_are_of(stores, tracker):
    [(_, settings)] = tracker.named("Tracker")
    for label, run_id in (("", "aa"), ("3", "bb"), ("final-2", "cc")):
        settings["on_run_id"](label, run_id, "7")
    kept = {name: value for name, value in stores.search.user_attrs.items() if name.endswith("mlflow_run_id")}
    assert kept == {
        "mlflow_run_id": "aa",
        "trial-00003.mlflow_run_id": "bb",
        "final-2.mlflow_run_id": "cc",
    }
    assert stores.search.user_attrs["mlflow_experiment_id"] == "7"


def test_only_complete_trials_that_violate_no_constraint_are_finished(stores):
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        trial = stores.search.ask()
        trial.report(0.5, 1)
        trial.set_user_attr("hyperparameters", {"beta": 0.1})
        stores.search.tell(trial, 0.5 if state is TrialState.COMPLETE else None, state)
    [found] = stores.finished("search", stores.search)
    assert (found.number, found.value, found.hyperparameters) == (0, 0.5, {"beta": 0.1})
    assert found.folder == stores.trial_folder("search", 0)


def test_checkpoints_are_deleted_before_the_stores_are_closed(prepared, tracker):
    opened = StudyStores(prepared)
    folder = opened.trial_folder("search", 1)
    checkpoint.save(folder, 1, {}, {})
    opened.remove(folder)
    opened.close()
    assert not Path(folder).exists()
    assert tracker.calls[-1] == ("close", (), {"timeout": 20})


def test_close_says_how_much_waits_for_the_server(prepared, tracker):
    tracker.waiting = 17
    assert StudyStores(prepared).close() == 17


@pytest.mark.parametrize(("count", "told"), [(1, "1 update waits"), (2, "2 updates wait")])
def test_updates_that_wait_are_counted(spec, count, told):
    assert waits_for_mlflow(spec, count).startswith(f"{told} for the tracking server sqlite:///")


def test_refused_records_are_counted_with_a_reason_and_what_to_do(spec):
    def refused(reason):
        return Rejected(RunKey("s", "1"), "log", {}, reason)

    told = refused_by_mlflow(spec, [refused("run r was deleted"), refused("run r was deleted"), refused("too long")])
    assert told.startswith(
        "MLflow refused 3 updates (2: run r was deleted, and 1 for other reasons). To try them again: "
    )
    assert on_study("reconcile", spec) in told
    assert "(1: too long)" in refused_by_mlflow(spec, [refused("too long")])


def test_driver_that_ends_without_a_word_is_told_of_by_the_sender(stores, tracker):
    [(_, settings)] = tracker.named("Tracker")
    assert settings["last_words"].startswith("small: the process of the study has ended without a word: it was killed")
    assert settings["last_words"].endswith("Nothing is lost; the same command goes on")


def test_outbox_that_takes_nothing_is_told_in_the_terminal(stores, tracker, screen):
    [(_, settings)] = tracker.named("Tracker")
    settings["on_outbox_trouble"]("the outbox box.db: database or disk is full")
    assert screen.getvalue().startswith("warning: the outbox box.db: database or disk is full; the study goes on")

"""``sepray delete``: what it says, asks, deletes and refuses."""

import contextlib
import os
import shutil
import sqlite3

import optuna
import pytest

from sepray.spec.folder import lock, study_folder

QUESTION = "Delete this? [y/N] "


def names():
    return optuna.get_all_study_names("sqlite:///optuna.db")


def query(statement):
    with contextlib.closing(sqlite3.connect("mlflow.db")) as connection:
        return connection.execute(statement).fetchall()


def test_study_is_listed_asked_about_and_deleted(run, kept, terminal):
    answers, asked = terminal
    answers.append("y")
    [folder] = (kept / "finished").iterdir()
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    lines = run("delete", "finished").splitlines()
    assert lines == [
        "This deletes the study finished:",
        "  2 trials and 1 retraining in sqlite:///optuna.db",
        f"  {len(files) + 2} files, {size / 1024:.0f} KiB, in {folder}",  # and two locks that the command holds
        "It keeps 4 MLflow runs (--runs deletes them)",
        "It keeps models:/cass-kept-task/1 (--models deletes it)",
        "finished is deleted",
    ]
    assert asked == [QUESTION]
    assert sorted(names()) == ["halfway", "published", "published/finals"]
    assert sorted(path.name for path in kept.iterdir()) == ["halfway", "published"]
    assert query("select count(*) from runs where lifecycle_stage = 'deleted'") == [(0,)]
    assert query("select count(*) from model_versions where current_stage = 'Deleted_Internal'") == [(0,)]


@pytest.mark.parametrize("answer", ["n", "", "no", "yep", None])
def test_any_other_answer_deletes_nothing(run, study, terminal, answer):
    study()
    folder = study_folder("sepray-results", "small", "12ab")
    if answer is not None:
        terminal[0].append(answer)
    assert run("delete", "small").splitlines()[-1] == "nothing is deleted"
    assert names() == ["small"]
    assert folder.exists()


@pytest.mark.parametrize("answer", ["y", "YES", " yes "])
def test_yes_is_yes(run, study, terminal, answer):
    study()
    terminal[0].append(answer)
    run("delete", "small")
    assert names() == []


def test_without_a_terminal_and_without_yes_it_refuses(run, study):
    study()
    refused = "sepray: nothing is deleted without an answer: run it in a terminal, or give --yes\n"
    assert run("delete", "small", status=2) == refused
    assert "no study 'smaller'" in run("delete", "smaller", status=2)  # what is wrong is said first
    assert names() == ["small"]
    run("delete", "small", "--yes")
    assert names() == []


def test_yes_asks_nothing(run, study, terminal):
    study()
    run("delete", "small", "--yes")
    assert terminal[1] == []


def test_runs_and_models_go_where_that_is_asked_for(run, kept):
    lines = run("delete", "finished", "--runs", "--models", "--yes").splitlines()
    assert [line for line in lines if "MLflow run" in line or "models:/" in line] == [
        f"  4 MLflow runs in sqlite:///{kept.parent.resolve()}/mlflow.db, which can be restored until mlflow gc",
        "  models:/cass-kept-task/1",
    ]
    deleted = query(
        "select r.name from runs r join tags t on r.run_uuid = t.run_uuid "
        "where t.key = 'sepray.study' and r.lifecycle_stage = 'deleted' and t.value like 'finished-%'"
    )
    assert len(deleted) == 4
    assert query("select count(*) from runs where lifecycle_stage = 'deleted'") == [(4,)]
    kept_versions = query("select version from model_versions where current_stage <> 'Deleted_Internal'")
    assert kept_versions == [(2,)]


def test_running_study_is_refused(run, study):
    study()
    folder = study_folder("sepray-results", "small", "12ab")
    with lock(folder, "small"):
        assert run("delete", "small", "--yes", status=2) == (
            "sepray: small is running already, in another process on this machine\n"
        )
    assert names() == ["small"]


@pytest.mark.parametrize("command", ["delete", "clean", "report", "reconcile", "show"])
def test_missing_storage_is_refused_and_not_made(run, study, tmp_path, command):
    study()
    told = run(command, "small", "--storage", "sqlite:///none.db", status=2)
    place = "Optuna storage sqlite:///none.db"
    assert told == f"sepray: there is no {place}: is this the folder of the study? Give --storage\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["optuna.db"]


def test_missing_mlflow_is_refused_only_where_it_is_needed(run, study):
    study()
    message = run("delete", "small", "--runs", "--yes", "--tracking-uri", "sqlite:///none.db", status=2)
    assert message.startswith("sepray: there is no MLflow database sqlite:///")
    assert names() == ["small"]
    assert run("delete", "small", "--models", "--yes", "--tracking-uri", "sqlite:///none.db", status=2) == message
    run("delete", "small", "--yes", "--tracking-uri", "sqlite:///none.db")
    assert names() == []


def test_what_a_killed_deletion_left_is_deleted_by_the_same_command(run, study, tmp_path):
    study()
    left = study_folder(str(tmp_path / "there"), "gone", "0a1b2c3d")
    (left / "lock").touch()
    stores = ["--storage-path", tmp_path / "there"]
    assert run("delete", "gone", "--yes", *stores) == "gone is deleted\n"
    assert list((tmp_path / "there").iterdir()) == []
    assert run("delete", "gone", "--yes", *stores, status=2).startswith("sepray: no study 'gone' in")


def test_stores_are_those_that_were_given(run, study, tmp_path):
    study()
    study("sqlite:///there.db")
    for root in ("sepray-results", "there"):
        study_folder(root, "small", "12ab")
    run("delete", "small", "--yes", "--storage", "sqlite:///there.db", "--storage-path", "there")
    assert optuna.get_all_study_names("sqlite:///there.db") == []
    assert names() == ["small"]
    assert (tmp_path / "sepray-results" / "small" / "12ab").exists()
    assert not (tmp_path / "there" / "small").exists()


def test_study_without_a_folder_here_is_deleted_too(run, kept):
    shutil.rmtree(kept / "halfway")
    lines = run("delete", "halfway", "--yes").splitlines()
    assert lines[1] == "  7 trials, 2 of them not finished, in sqlite:///optuna.db"
    assert not (kept / "halfway").exists()
    assert "halfway" not in names()


def test_study_of_another_program_is_refused(run):
    optuna.create_study(storage="sqlite:///optuna.db", study_name="foreign")
    message = run("delete", "foreign", "--yes", status=2)
    assert message == "sepray: foreign in sqlite:///optuna.db is not a study of sepray\n"
    assert names() == ["foreign"]


def test_runs_are_deleted_where_the_study_is_tracked(run, kept):
    """The default address is that of another MLflow, which has none of them."""
    (kept.parent / "mlflow.db").rename(kept.parent / "own.db")
    study = optuna.load_study(study_name="finished", storage="sqlite:///optuna.db")
    study.set_user_attr("tracking_uri", "sqlite:///own.db")
    refused = run("delete", "finished", "--runs", "--yes", status=2)
    assert "give --tracking-uri sqlite:///own.db if you know it" in refused  # nobody here has named that one
    lines = run("delete", "finished", "--runs", "--yes", "--tracking-uri", "sqlite:///own.db").splitlines()
    assert (
        f"  4 MLflow runs in sqlite:///{kept.parent.resolve()}/own.db, which can be restored until mlflow gc" in lines
    )


@pytest.mark.parametrize("place", ["small", "small/12ab"])
@pytest.mark.parametrize("command", ["delete", "clean", "report", "reconcile"])
def test_no_command_follows_a_link_in_the_place_of_a_shared_studys_folder(run, study, tmp_path, place, command):
    study()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("mine")
    link = tmp_path / "sepray-results" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "thesis")
    flags = ["--yes"] if command in ("delete", "clean") else ["--tracking-uri", "http://127.0.0.1:9"]
    told = run(command, "small", *flags, status=2)
    assert f"{link} is a link, which sepray has not made" in " ".join(told.split())
    assert os.listdir(tmp_path / "thesis") == ["chapter"]
    assert names() == ["small"]


def test_study_below_a_link_of_its_user_is_deleted_and_links_in_it_are_not_followed(run, study, tmp_path):
    study()
    (tmp_path / "disk").mkdir()
    (tmp_path / "sepray-results").symlink_to("disk")
    folder = study_folder("sepray-results", "small", "12ab")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / ".notes.deadbeef").write_text("mine")
    os.utime(tmp_path / "thesis" / ".notes.deadbeef", (0, 0))  # as old as what a killed process has left
    (folder / "extra").symlink_to(tmp_path / "thesis")
    assert run("clean", "--yes") == "there is nothing to delete\n"
    run("delete", "small", "--yes")
    assert os.listdir(tmp_path / "thesis") == [".notes.deadbeef"]
    assert os.listdir(tmp_path / "disk") == names() == []


def test_one_study_behind_a_link_does_not_keep_others_from_being_cleaned(run, study, tmp_path):
    study()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "sepray-results").mkdir()
    (tmp_path / "sepray-results" / "small").symlink_to(tmp_path / "thesis")
    told, last = run("clean", "--yes").splitlines()
    assert told.startswith(f"left alone: {tmp_path}/sepray-results/small is a link")
    assert last == "there is nothing to delete"
    assert list((tmp_path / "thesis").iterdir()) == []

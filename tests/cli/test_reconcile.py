"""``sepray reconcile``: which stores it works on; what it does there is in ``tests/tracking`` and ``tests/driver``."""

import json
from pathlib import Path

import pytest

from sepray.disk import private_list


@pytest.fixture(autouse=True)
def _nothing_named(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def called(monkeypatch):
    from sepray.driver import completing

    calls = []
    monkeypatch.setattr(completing, "reconcile", lambda *arguments: calls.append(arguments))
    return calls


def test_stores_are_those_that_were_given(run, study, called):
    study("sqlite:///there.db")
    stores = ["--storage", "sqlite:///there.db", "--storage-path", "results", "--cache", "cache"]
    run("reconcile", "small", *stores, "--tracking-uri", "sqlite:////tmp/other.db")
    assert called == [("small", "sqlite:///there.db", "sqlite:////tmp/other.db", "results", "cache")]


def test_defaults_are_the_files_of_the_current_folder(run, study, called, tmp_path):
    study()
    run("reconcile", "small")
    mlflow = f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    assert called == [("small", "sqlite:///optuna.db", mlflow, "sepray-results", Path("~/.cache/sepray"))]


def test_server_that_does_not_answer_is_said_before_anything_is_done(run, study, called):
    study()
    printed = run("reconcile", "small", "--tracking-uri", "http://127.0.0.1:9", status=2)
    assert printed == "sepray: the tracking server http://127.0.0.1:9 does not answer: Connection refused\n"
    assert called == []


@pytest.fixture
def tracked(study):
    """A study that is tracked to a server."""
    import optuna

    study()
    optuna.load_study(study_name="small", storage="sqlite:///optuna.db").set_user_attr(
        "tracking_uri", "http://127.0.0.1:9"
    )


def test_server_is_the_studys_own(run, tracked, called):
    printed = run("reconcile", "small", status=2)
    assert "small is tracked at http://127.0.0.1:9, as its storage says, which no command of yours has named" in printed
    private_list.remember_named("tracking", "http://127.0.0.1:9")
    printed = run("reconcile", "small", status=2)
    assert printed == "sepray: the tracking server http://127.0.0.1:9 does not answer: Connection refused\n"
    assert called == []


def test_other_server_is_asked_about(run, tracked, called, terminal, tmp_path):
    answers, asked = terminal
    answers += ["n", "y"]
    elsewhere = ("reconcile", "small", "--tracking-uri", "sqlite:///mlflow.db")
    printed = run(*elsewhere)
    assert printed.endswith("\nnothing is sent\n")
    assert "small is tracked at http://127.0.0.1:9; the updates that wait for it would go to sqlite:///" in printed
    assert called == []
    run(*elsewhere)
    assert asked == ["Send it there? [y/N] "] * 2
    assert called[0][2] == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    run(*elsewhere, "--yes")
    assert len(called) == 2


def test_document_says_that_nothing_was_sent(run, tracked, called, terminal):
    terminal[0].append("n")
    said = json.loads(run("reconcile", "small", "--tracking-uri", "sqlite:///mlflow.db", "--json"))
    assert (said["study"], said["sent"], said["delivered"], said["rejected"]) == ("small", False, 0, 0)
    assert called == []


def test_other_server_without_an_answer_is_refused(run, tracked, called):
    printed = run("reconcile", "small", "--tracking-uri", "sqlite:///mlflow.db", status=2)
    assert "nothing is sent without an answer" in printed
    assert called == []


def test_folder_is_no_server(run, study, called):
    study()
    assert "keeps no runs in folders" in run("reconcile", "small", "--tracking-uri", "./mlruns", status=2)

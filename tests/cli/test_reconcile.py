"""``sepray reconcile``: which stores it works on; what it does there is in ``tests/tracking`` and ``tests/driver``."""

from pathlib import Path

import pytest


@pytest.fixture
def called(monkeypatch):
    from sepray.driver import reconcile

    calls = []
    monkeypatch.setattr(reconcile, "reconcile", lambda *arguments: calls.append(arguments))
    return calls


def test_stores_are_those_that_were_given(run, study, called):
    study("sqlite:///there.db")
    stores = ["--storage", "sqlite:///there.db", "--storage-path", "results", "--cache", "cache"]
    run("reconcile", "small", *stores, "--tracking-uri", "sqlite:////tmp/other.db")
    assert called == [("small", "sqlite:///there.db", "sqlite:////tmp/other.db", "results", Path("cache"))]


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

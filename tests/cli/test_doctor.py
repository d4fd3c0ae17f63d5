"""``sepray doctor``: what is here, what is missing, and that looking changes nothing."""

import contextlib
import json
import socket
import sqlite3
import subprocess

import pytest
import torch

from sepray.cli import doctor as doctor_module


@pytest.fixture
def where(tmp_path):
    return ["--cache", tmp_path / "cache", "--storage-path", tmp_path / "results"]


@pytest.fixture
def findings(run, where):
    def findings(*flags, status=0):
        return {f["what"]: f for f in json.loads(run("doctor", "--json", *where, *flags, status=status))["findings"]}

    return findings


def test_everything_is_here_and_looking_makes_nothing(tmp_path, run, where, findings):
    assert json.loads(run("doctor", "--json", *where))["ok"] is True
    here = findings()
    assert (here["torch"]["found"], here["torch"]["state"]) == (torch.__version__.partition("+")[0], "ok")
    assert here["MLflow"]["state"] == "note"  # it does not exist yet
    assert not list(tmp_path.iterdir())
    assert run("doctor", *where).endswith("everything needed is here\n")
    assert run("doctor", "--quiet", *where) == ""


def test_what_is_missing_comes_with_its_remedy(tmp_path, run, where, monkeypatch):
    (tmp_path / "optuna.db").write_text("no database")
    monkeypatch.setattr(doctor_module.importlib.metadata, "requires", lambda name: ["numpy>=99", "no-such-package>=1"])
    printed = run("doctor", "--quiet", *where, status=1).splitlines()
    assert [line.split()[:2] for line in printed] == [
        ["MISSING", "numpy"],
        ["MISSING", "no-such-package"],
        ["MISSING", "Optuna"],
    ]
    assert printed[1].endswith("not installed -> pip install 'no-such-package>=1'")


def test_storage_and_mlflow_that_commands_refuse_are_missing(tmp_path, findings):
    with contextlib.closing(sqlite3.connect(tmp_path / "own.db")) as database:
        database.execute("create view runs as select 1")
    found = findings("--storage", "optuna.db", "--tracking-uri", tmp_path / "own.db", status=1)
    assert found["Optuna storage"]["found"].startswith("optuna.db is not a URL: give sqlite:///file.db")
    assert "has a view in the place of, or on, the table runs" in found["MLflow"]["found"]
    assert [found[what]["state"] for what in ("Optuna storage", "MLflow")] == ["missing", "missing"]


def test_tool_that_hangs_has_no_version(monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("ffmpeg", 10)

    monkeypatch.setattr(subprocess, "run", hang)
    assert doctor_module._version("ffmpeg") == "unknown version"


def test_every_address_and_folder_is_the_one_that_was_given(tmp_path, findings):
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        found = findings("--tracking-uri", uri, "--storage", "sqlite:///other.db")
    assert found["MLflow"]["found"] == f"{uri} answers"
    assert found["Optuna storage"]["found"].startswith("sqlite:///other.db does not exist yet")
    assert found["results"]["found"].startswith(f"{tmp_path}/results, ")
    assert found["data cache"]["found"].startswith(f"{tmp_path}/cache, ")
    closed = findings("--tracking-uri", "http://user:secret@127.0.0.1:9", status=1)["MLflow"]
    assert closed["found"] == "http://user:***@127.0.0.1:9 does not answer: Connection refused"
    assert closed["state"] == "missing"
    assert findings("--cache", tmp_path / "file" / "x", status=1)["data cache"]["state"] == "missing"


def test_remote_results_are_noted(findings):
    found = findings("--storage-path", "s3://key:secret@bucket/x")["results"]
    assert (found["state"], "secret" in found["found"]) == ("note", False)


def test_little_room_is_missing(findings, monkeypatch):
    usage = type("Usage", (), {"free": 2**30})()  # half of what studies need
    monkeypatch.setattr(doctor_module.shutil, "disk_usage", lambda path: usage)
    found = findings(status=1)["results"]
    assert (found["state"], found["remedy"]) == ("missing", "make room: studies need about 2 GiB")


def test_optional_packages_are_noted_and_those_of_developers_left_out(findings, monkeypatch):
    required = ['no-such-measure>=1; extra == "bss-eval"', 'no-such-linter>=1; extra == "dev"', "numpy>=1"]
    monkeypatch.setattr(doctor_module.importlib.metadata, "requires", lambda name: required)
    found = findings()
    assert (found["no-such-measure"]["state"], found["no-such-measure"]["found"]) == ("note", "not installed")
    assert found["no-such-measure"]["remedy"] == "pip install 'no-such-measure>=1'"
    assert found["numpy"]["state"] == "ok"
    assert "no-such-linter" not in found

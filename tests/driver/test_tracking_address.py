"""Updates that wait for one MLflow never go to another one unasked."""

import contextlib
import sqlite3
from pathlib import Path

import optuna
import pytest

from sepray.disk import private_list
from sepray.driver import tracking_address
from sepray.driver.stores import StudyStores
from sepray.driver.study_commands import on_study
from sepray.errors import UsageError
from sepray.tracking.outbox import Outbox, RunKey


def opened(prepared, tracking_uri=None):
    """Open and close the stores of the study as a command with this address does."""
    if tracking_uri:
        object.__setattr__(prepared, "spec", prepared.spec.changed(tracking_uri=tracking_uri))
    stores = StudyStores(prepared)
    stores.close()
    return stores


def named(*addresses):
    """Let commands of this user have named addresses."""
    for address in addresses:
        private_list.remember_named("tracking", address)


def asked(spec, given=None):
    return tracking_address.of_study(given, "small", spec.stores.storage, spec.stores.storage_path)


def wait(stores):
    """Let an update wait."""
    outbox = Outbox(stores.folder / "outbox.db")
    outbox.put(RunKey("small"), "log", {})
    outbox.close()


def test_address_is_the_studys_own(prepared, tracker, spec, monkeypatch):
    opened(prepared, "http://lab:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    named("http://lab:5000")
    assert asked(spec) == ("http://lab:5000", "")
    assert asked(spec, "http://lab:5000") == ("http://lab:5000", "")
    assert asked(spec, "http://other:1") == ("http://other:1", "http://lab:5000")


def test_address_that_only_the_storage_names_gets_neither_records_nor_passwords(prepared, tracker, spec, monkeypatch):
    stores = opened(prepared, "http://lab.example:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://own:5000")
    with pytest.raises(
        UsageError, match=r"^small is tracked at http://lab.example:5000, as its storage says, which no "
    ):
        asked(spec)
    assert asked(spec, "http://lab.example:5000") == ("http://lab.example:5000", "")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://lab.example:5000")
        assert asked(spec) == ("http://lab.example:5000", "")
    outbox = Outbox(stores.folder / "outbox.db")  # it has been there before
    outbox.set_target("http://lab.example:5000")
    outbox.close()
    for path in (stores.folder, stores.folder / "outbox.db"):  # a group may write there, as with --shared
        path.chmod(path.stat().st_mode | 0o020)
        with pytest.raises(UsageError, match="which no command of yours has named"):
            asked(spec)
        path.chmod(path.stat().st_mode & ~0o020)
    assert asked(spec) == ("http://lab.example:5000", "")


def test_address_that_answered_is_known_beside_a_strange_default(prepared, tracker, spec, monkeypatch, tmp_path):
    stores = opened(prepared, "http://lab.example:5000")
    outbox = Outbox(stores.folder / "outbox.db")
    outbox.set_target("http://lab.example:5000")
    outbox.close()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("CREATE VIEW tags AS SELECT 1")
    assert asked(spec) == ("http://lab.example:5000", "")


def test_password_is_kept_nowhere_and_taken_from_the_environment(prepared, tracker, spec, monkeypatch):
    stores = opened(prepared, "http://me:sesame@lab")
    assert "sesame" not in str(stores.search.user_attrs)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match=r"tracked at http://me:\*\*\*@lab: give --tracking-uri with the password"):
        asked(spec)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:other@lab")
    assert asked(spec) == ("http://me:other@lab", "")
    assert asked(spec, "http://me:sesame@lab") == ("http://me:sesame@lab", "")


ELSEWHERE = [
    "http://lab:x@evil/?@mlflow.lab:5000",
    "http://lab:x@evil/@mlflow.lab:5000",
    "http://lab:x@evil#@mlflow.lab:5000",
    "http://lab:x@evil\\@mlflow.lab:5000",
    "http://evil:5000/?@mlflow.lab:5000",
    "http://evil?:x@mlflow.lab:5000",
    "http://evil#@mlflow.lab:5000",
    "http://lab:***@evil/?@mlflow.lab:5000",
    "http://lab:x@evil@mlflow.lab:5000",
    "http://lab:x@evil:5000",
    "http://lab:x@mlflow.lab:5001",
    "https://lab:x@mlflow.lab:5000",
    "http://lab:x@mlflow.lab:5000/other",
    "http://lab:x@mlflow.lab:5000\t",
    "http://other:x@mlflow.lab:5000",
    "http://lab:x@mlflow.lab:5000x",
]


@pytest.mark.parametrize("stored", ELSEWHERE)
def test_host_that_looks_like_ones_own_is_another(stored):
    assert not tracking_address.is_same(stored, "http://lab:pw@mlflow.lab:5000")
    assert tracking_address.is_same("http://lab:***@mlflow.lab:5000", "http://lab:pw@mlflow.lab:5000")


@pytest.mark.parametrize(
    "stored", [pytest.param(s, marks=() if k % 5 == 0 else pytest.mark.slow) for k, s in enumerate(ELSEWHERE)]
)
def test_host_that_looks_like_ones_own_gets_neither_records_nor_passwords(prepared, tracker, spec, monkeypatch, stored):
    """Whoever may write to the storage could hide its host where a password would be hidden."""
    own = "http://lab:pw@mlflow.lab:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own)
    named("http://lab:***@mlflow.lab:5000")
    stores = opened(prepared, own)
    assert asked(spec) == (own, "")
    study = optuna.load_study(study_name="small", storage=spec.stores.storage)
    study.set_user_attr(tracking_address.ATTRIBUTE, stored)
    with pytest.raises(UsageError, match=r"which no command of yours has named|give --tracking-uri with the password"):
        asked(spec)
    wait(stores)
    with pytest.raises(UsageError, match="1 update of small waits for MLflow at "):
        opened(prepared, own)


@pytest.mark.parametrize(
    ("stored", "own"),
    [
        ("http://lab:***@mlflow.lab:5000", "http://lab:pw@mlflow.lab:5000"),
        ("http://lab:old@mlflow.lab:5000", "http://lab:p%40w@MLFLOW.lab:5000"),
        ("https://***@lab/x?token=***", "https://token@lab/x?token=abcdef"),
        ("postgresql://me:***@h/db", "postgresql://me:pa/ss@h/db"),
        ("sqlite:///a@b/mlflow.db", "a@b/mlflow.db"),
        ("sqlite:///with blank.db", "with blank.db"),
        ("http://lab/@team", "http://lab/@team"),
    ],
)
def test_same_place_is_known_whatever_its_password(stored, own):
    assert tracking_address.is_same(stored, own)


def test_study_of_an_older_version_has_the_address_that_answered_last(tmp_path):
    assert tracking_address.stored({}, tmp_path) is None
    outbox = Outbox(tmp_path / "outbox.db")
    assert tracking_address.stored({}, tmp_path) is None
    outbox.set_target("http://lab")
    outbox.close()
    assert tracking_address.stored({}, tmp_path) == "http://lab"


def test_relative_path_means_the_database_that_answered(prepared, tracker, spec, tmp_path, monkeypatch):
    stores = opened(prepared, "sqlite:///mlflow.db")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mlflow.db").touch()
    outbox = Outbox(stores.folder / "outbox.db")
    outbox.set_target(f"sqlite:///{tmp_path}/project/mlflow.db")
    outbox.close()
    monkeypatch.chdir(tmp_path)
    assert asked(spec) == (f"sqlite:///{tmp_path}/project/mlflow.db", "")
    monkeypatch.chdir(tmp_path / "project")
    assert asked(spec)[0] == f"sqlite:///{(tmp_path / 'project' / 'mlflow.db').resolve()}"


def test_start_with_another_address_is_refused_while_records_wait(prepared, tracker, spec):
    stores = opened(prepared, "http://lab")
    opened(prepared, "http://other")  # nothing waits
    wait(stores)
    opened(prepared, "http://other")  # nothing has changed
    with pytest.raises(UsageError) as refused:
        opened(prepared, "sqlite:///new.db")
    assert "1 update of small waits for MLflow at http://other, not at sqlite:///new.db" in str(refused.value)
    assert on_study("reconcile", prepared.spec, "--yes") in str(refused.value)
    named("http://other")
    assert asked(spec)[0] == "http://other"


def test_moved_database_stays_the_same(prepared, tracker, tmp_path, monkeypatch):
    """A relative path is the study's, wherever the project's folder lies."""
    monkeypatch.chdir(tmp_path)
    wait(opened(prepared, "sqlite:///mlflow.db"))
    (tmp_path / "moved").mkdir()
    monkeypatch.chdir(tmp_path / "moved")
    opened(prepared, "sqlite:///mlflow.db")


def test_commands_are_whole(spec, monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    default = spec.changed(
        storage="sqlite:///optuna.db",
        storage_path="sepray-results",
        cache=Path("~/.cache/sepray"),
        tracking_uri="sqlite:///mlflow.db",
    )
    assert on_study("reconcile", default).endswith("sepray reconcile small")
    there = default.changed(storage="postgresql://me:pw@h/db", storage_path="a b", tracking_uri="http://lab")
    assert on_study("show", there, "--settings").endswith(
        "sepray show small --settings --storage 'postgresql://me:***@h/db' --storage-path 'a b' --tracking-uri http://lab"
    )
    assert on_study("show", default.changed(tracking_uri="http://me:pw@lab")).endswith("show small")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://lab")
    assert "--tracking-uri sqlite:///mlflow.db" in on_study("report", default)


def test_outbox_that_cannot_be_read_keeps_no_study_from_starting(tmp_path):
    (tmp_path / "outbox.db").write_bytes(b"no database" * 1000)
    assert tracking_address.stored({}, tmp_path) is None

"""Opening and loading studies: what is set up, and what is refused in one line."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import sys

import optuna
import pytest
import sqlalchemy.exc
from optuna.distributions import FloatDistribution

from sepray.console import exit_status
from sepray.errors import StorageError, UsageError
from sepray.search import storage
from sepray.search.bulk_read import BulkReadStorage
from sepray.search.samplers import make_sampler
from sepray.search.storage import (
    STORAGE_FAILURES,
    FingerprintMismatchError,
    connect,
    first_line,
    load_study,
    open_study,
)

from ..simulation import Controller, Killed, kill
from .studies import SPACE, report, searcher_of, states, study_at, value


def test_readers_are_not_held_up_by_a_write(url, tmp_path):
    """The reader waits for no lock: with a timeout of 0 it would fail at once."""
    study_at(url)
    writer = sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    impatient = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 0}})
    assert optuna.load_study(study_name="s", storage=impatient).user_attrs == {"fingerprint": {}}
    writer.execute("ROLLBACK")


def test_a_driver_that_an_extra_brings_is_refused_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    with pytest.raises(UsageError) as refused:
        connect("postgresql+psycopg://anna:secret@host/db")
    assert str(refused.value).startswith("storage postgresql+psycopg://anna:***@host/db cannot be used: ")
    assert str(refused.value).endswith("; pip install 'sepray[cluster]'")


def test_another_fingerprint_is_refused_saying_what_differs(url):
    old = {"space": SPACE, "task": {"seconds": 15, "noise": 0.1}}
    study_at(url, fingerprint=old)
    study_at(url, fingerprint={"task": {"noise": 0.1, "seconds": 15}, "space": dict(SPACE)})
    new = {"space": SPACE | {"alpha": FloatDistribution(1e-4, 0.5, log=True)}, "task": {"seconds": 16, "snr": 3}}
    with pytest.raises(FingerprintMismatchError) as refusal:
        study_at(url, fingerprint=new, directions=("maximize",))
    assert str(refusal.value) == (
        f"study 's' exists in {url} with other settings; choose another name, or go back to:\n"
        '  directions[0]: "minimize" -> "maximize"\n'
        "  space.alpha: 0.0001 to 1 (log) -> 0.0001 to 0.5 (log)\n"
        "  task.noise: 0.1 -> (absent)\n"
        "  task.seconds: 15 -> 16\n"
        "  task.snr: (absent) -> 3"
    )
    told = str(refusal.value).splitlines()
    assert exit_status.format_error("s", refusal.value).splitlines() == [f"s: {told[0]}", *told[1:]]


def test_a_study_of_somebody_elses_is_refused(url):
    theirs = optuna.create_study(storage=url, study_name="theirs")
    theirs.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(FingerprintMismatchError, match="the study there was not made by sepray"):
        study_at(url, name="theirs")


@pytest.mark.parametrize(
    ("storage", "error", "message"),
    [
        ("optuna.db", UsageError, "storage 'optuna.db' is not a URL: give sqlite:///file.db"),
        ("oracel://x", UsageError, "storage oracel://x cannot be used: Can't load plugin: sqlalchemy.dialects:oracel"),
        ("sqlite:////proc/no/optuna.db", StorageError, "storage sqlite:////proc/no/optuna.db cannot be opened: "),
    ],
)
def test_a_storage_that_cannot_be_opened_is_said_in_one_line(storage, error, message):
    with pytest.raises(error) as failure:
        study_at(storage)
    assert str(failure.value).startswith(message)
    assert "\n" not in str(failure.value)


def test_passwords_are_not_shown():
    with pytest.raises((UsageError, StorageError)) as failure:
        study_at("postgresql://anna:secret@127.0.0.1:1/db")
    assert "anna" in str(failure.value)
    assert "secret" not in str(failure.value)


def test_a_journal_file_is_a_storage_too(tmp_path):
    storage = f"journal://{tmp_path}/very/deep/study.log"
    searcher = searcher_of(study_at(storage), trials=3)
    with pytest.raises(Killed):
        Controller(searcher, report, kill_after=3).run()
    kill(searcher)
    study = study_at(storage)
    searcher = searcher_of(study, trials=3)
    Controller(searcher, report).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 3}
    assert study.get_trials()[2].intermediate_values == {e: value(2, e) for e in (1, 2, 3, 4)}


@pytest.mark.parametrize("torn", [b'{"op_code":5,"wor', b"", b"x" * 200_000])
def test_torn_last_line_of_a_journal_costs_that_line_alone(tmp_path, torn):
    path = tmp_path / "study.log"
    study = study_at(f"journal://{path}")
    study.tell(study.ask(), 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = study_at(f"journal://{path}")
    assert states(again) == {"COMPLETE": 1}
    again.tell(again.ask(), 2.0)
    study.tell(study.ask(), 3.0)  # an older reader goes on too
    assert states(study_at(f"journal://{path}")) == {"COMPLETE": 3}
    assert path.read_bytes().startswith(whole + b"{")


def test_damaged_line_of_a_journal_is_named(tmp_path):
    path = tmp_path / "study.log"
    study_at(f"journal://{path}")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"op_co\n', *lines[2:]]))
    with pytest.raises(StorageError, match="cannot be read: a line in its middle is damaged"):
        study_at(f"journal://{path}")


def raised_by(path, damage, call):
    """The storage's error in a call on a database that was damaged after it was opened."""
    study = study_at(f"sqlite:///{path}")
    held = damage(path)
    study._storage._backend.engine.dispose()
    try:
        with pytest.raises(STORAGE_FAILURES) as failure:
            call(study)
    finally:
        if held is not None:
            held.close()
    return first_line(failure.value)


def lock(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def corrupt(path):
    size = path.stat().st_size
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("rb+") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lock, "database is locked (it is locked by another"),
        (corrupt, "database disk image is malformed (it is d"),
    ],
)
def test_locked_storage_is_told_from_a_damaged_one(tmp_path, url, monkeypatch, damage, told):
    monkeypatch.setattr(storage, "_BUSY_SECONDS", 0.1)
    assert raised_by(tmp_path / "optuna.db", damage, lambda study: study.set_user_attr("a", 1)).startswith(told)


def test_message_of_sqlite_is_found_below_optunas(monkeypatch):
    """Optuna says of every failed commit that its data may be invalid."""
    error = optuna.exceptions.StorageInternalError("An exception is raised during the commit. invalid data")
    driver = sqlite3.OperationalError("attempt to write a readonly database")
    error.__cause__ = sqlalchemy.exc.OperationalError("INSERT", {}, driver)
    assert first_line(error).startswith("attempt to write a readonly database (it is read-only: ")


def test_cmaes_with_several_objectives_is_refused(url):
    with pytest.raises(UsageError, match="sampler 'cmaes' takes one objective"):
        open_study(url, "c", ["minimize"] * 2, {}, optuna.samplers.CmaEsSampler())


def write_settings(storage):
    with storage._backend.engine.connect() as connection:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]


def test_every_connection_to_sqlite_writes_ahead(tmp_path):
    opened = connect(f"sqlite:///{tmp_path}/deep/er/optuna.db")
    assert write_settings(opened) == ["wal", 1]
    opened._backend.engine.dispose()
    assert write_settings(opened) == ["wal", 1]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://anna@host/db", {"pool_pre_ping": True}),
        ("mysql+pymysql://anna@host/db", {"pool_pre_ping": True}),
        ("sqlite://", {"connect_args": {"timeout": 60.0}}),
    ],
)
def test_connections_that_a_server_has_closed_are_replaced_and_locks_are_waited_for(monkeypatch, url, expected):
    made = []

    class Stands(optuna.storages.InMemoryStorage):
        engine = sqlalchemy.create_engine("sqlite://")

        def __init__(self, url, engine_kwargs, skip_compatibility_check=False):
            made.append((url, engine_kwargs, skip_compatibility_check))
            super().__init__()

        def get_current_version(self):
            return "v1"

    monkeypatch.setattr(storage, "BulkReadStorage", Stands)
    monkeypatch.setattr(storage, "_own_versions", set())
    assert isinstance(connect(url), Stands)
    assert isinstance(connect(url), Stands)
    assert made == [(url, expected, True), (url, expected, False), (url, expected, True)]  # the tables are known then


def test_tables_of_another_optuna_are_refused_each_time(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    connect(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    for _ in range(2):
        with pytest.raises(StorageError, match="no longer compatible with the table schema"):
            connect(url)


def test_wrong_sampler_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="unknown sampler 'tpee'"):
        study_at(f"sqlite:///{tmp_path}/optuna.db", sampler="tpee")
    assert list(tmp_path.iterdir()) == []


def test_sampler_is_made_for_the_number_of_trials_that_the_study_holds(url):
    numbers = []

    def sampler(existing):
        numbers.append(existing)
        return make_sampler("random", 0, SPACE, existing=existing)

    study = open_study(url, "s", ["minimize"], {}, sampler)
    for _ in range(3):
        study.tell(study.ask(), 1.0)
    numbers.clear()
    open_study(url, "s", ["minimize"], {}, sampler)
    assert numbers[-1] == 3


def test_study_of_several_objectives_has_the_direction_of_its_intermediate_values(url):
    assert study_at(url, name="up", directions=("maximize",)).direction.name == "MAXIMIZE"
    assert study_at(url, name="many", directions=("maximize", "maximize")).direction.name == "MINIMIZE"


# -- loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_study_is_loaded_as_it_was_left(tmp_path, kind):
    url = {"sqlite": f"sqlite:///{tmp_path}/optuna.db", "journal": f"journal://{tmp_path}/optuna.log"}[kind]
    study = study_at(url, name="mine", directions=("maximize",), fingerprint={"task": 1})
    study.tell(study.ask(), 0.25)
    loaded = load_study(url, "mine")
    assert (loaded.study_name, loaded.best_value, loaded.user_attrs) == ("mine", 0.25, {"fingerprint": {"task": 1}})


def test_missing_study_is_refused_with_the_names_that_there_are(url):
    for name in ("second", "first", "first/retraining"):
        study_at(url, name=name)
    with pytest.raises(UsageError) as refusal:
        load_study(url, "third")
    # The fixture's own study is there too.
    assert str(refusal.value) == f"no study 'third' in {url}; there are: first, none, second"
    with pytest.raises(UsageError, match="no study 'firs' in"):
        load_study(url, "firs")
    assert optuna.get_all_study_names(url) == ["none", "second", "first", "first/retraining"], "nothing is created"


def test_storage_without_a_study_is_refused_with_what_names_another(tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    optuna.storages.RDBStorage(url)
    with pytest.raises(UsageError) as refusal:
        load_study(url, "mine")
    assert str(refusal.value) == f"no study 'mine' in {url}; it has none: give --storage, in Python storage="


@pytest.mark.parametrize("url", ["sqlite:///{}/no.db", "sqlite+pysqlite:///{}/no.db", "journal://{}/no.log"])
def test_storage_that_does_not_exist_is_refused_and_not_made(tmp_path, url):
    url = url.format(tmp_path)
    with pytest.raises(UsageError) as refusal:
        load_study(url, "mine")
    assert str(refusal.value) == (
        f"there is no Optuna storage {url}: is this the folder of the study? Give --storage, in Python storage="
    )
    assert list(tmp_path.iterdir()) == []


def test_storage_that_fails_while_a_study_is_loaded_is_a_storage_error_and_no_missing_study(url, monkeypatch):
    study_at(url)

    def unreachable(*args, **kwargs):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("server closed the connection\nunexpectedly"))

    monkeypatch.setattr(BulkReadStorage, "get_all_studies", unreachable)
    with pytest.raises(StorageError) as failure:
        load_study(url, "s")
    assert str(failure.value) == f"storage {url} cannot be opened: server closed the connection"


def test_file_that_is_no_database_is_refused_in_one_line(tmp_path):
    (tmp_path / "notes.db").write_text("not a database at all, but text " * 40)
    for call in (load_study, lambda url, name: study_at(url, name=name)):
        with pytest.raises(StorageError) as failure:
            call(f"sqlite:///{tmp_path}/notes.db", "s")
        assert str(failure.value).endswith(
            "notes.db cannot be opened: file is not a database (the file is damaged, or not a database; go "
            "back to a copy, or give another one)"
        )


@pytest.mark.parametrize("url", ["optuna.db", "sqlite:optuna.db", "nosql://anna:secret@host/db"])
def test_address_that_is_none_is_refused_where_a_study_is_loaded_too(url):
    with pytest.raises(UsageError) as refusal:
        load_study(url, "s")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def _open_at_once(url, name, barrier, queue):
    signal.alarm(60)
    barrier.wait()
    try:
        queue.put(study_at(url, name=name).study_name)
    except BaseException as error:
        queue.put(f"{type(error).__name__}: {error}")
    os._exit(0)


@contextlib.contextmanager
def unlocked(folder):
    """Hold nothing, as on a file system without locks."""
    yield


@pytest.mark.parametrize("locks", [True, False])
def test_studies_that_start_at_once_in_an_empty_folder_make_the_tables_together(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(storage, "locked", unlocked)
    context, names = multiprocessing.get_context("fork"), [f"s{k}" for k in range(8)]
    barrier, queue = context.Barrier(len(names)), context.SimpleQueue()
    url = f"sqlite:///{tmp_path}/new/optuna.db"
    processes = [context.Process(target=_open_at_once, args=(url, name, barrier, queue)) for name in names]
    for process in processes:
        process.start()
    assert sorted(queue.get() for _ in processes) == names
    for process in processes:
        process.join()
    assert sorted(optuna.get_all_study_names(url)) == names

"""One thread a test process, as a trial has: two workers with two threads each on two cores wait for one another.

Also, a package of somebody else's that is installed for some tests.
"""

import contextlib
import gc
import importlib
import logging
import os
import sqlite3
import sys
from pathlib import Path

import pytest
import sqlalchemy

from sepray import secrecy

from . import lab_echo

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests run whole studies, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts and item.path.name != "test_docs.py")


gc.disable()  # until all is collected: a quarter of the CPU that it takes would go into looking for garbage
_WITHOUT_BYTECODE = sys.dont_write_bytecode
if "SEPRAY_MUTANTS_JOB" not in os.environ:  # whose copies of the code change under equal times
    sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Keep modules and tests out of garbage collection, and bytecode out of the folders where tests write modules.

    Until here it is written even where ``PYTHONDONTWRITEBYTECODE`` is set: compiling the tests takes 13 seconds of CPU
    in each worker, and hundreds of processes that tests start would compile sepray again.
    """
    sys.dont_write_bytecode = _WITHOUT_BYTECODE
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _activated():
    """The environment of the tests is activated: commands that are printed are as short as then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True, scope="session")
def _migrations_read_once():
    """Optuna reads all its migrations, half of the CPU that a new database takes, once and not for each of hundreds."""
    from optuna.storages._rdb.storage import _VersionManager

    read, scripts = _VersionManager._create_alembic_script, []

    def read_once(manager):
        if not scripts:
            scripts.append(read(manager))
        return scripts[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", read_once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _databases_made_fast():
    """Files and SQLite databases of this process wait for no disk; Optuna's tables and all SQL are worked out once.

    Thousands of databases are made here and opened, and each would compile the same SQL anew. What sepray itself sets
    (write-ahead logging) stays as it sets it.
    """
    from optuna.storages._rdb.models import BaseModel
    from sqlalchemy.engine import Engine

    begin, create = Engine.__init__, BaseModel.metadata.create_all
    compiled, tables = _SharedStatements(2000), []
    everything = "select sql from sqlite_master"

    def begin_sharing(engine, *arguments, **options):
        begin(engine, *arguments, **options)
        if engine.dialect.name == "sqlite":
            engine._compiled_cache = compiled

    def create_all(engine, **options):
        with engine.begin() as connection:
            fresh = engine.dialect.name == "sqlite" and not connection.exec_driver_sql(everything).first()
            for statement in tables if fresh else ():
                connection.exec_driver_sql(statement)
        if not (fresh and tables):
            create(engine, **options)
        if fresh and not tables:
            with engine.begin() as connection:
                tables.extend(statement for (statement,) in connection.exec_driver_sql(everything) if statement)

    sqlalchemy.event.listen(Engine, "connect", _wait_for_no_disk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(Engine, "__init__", begin_sharing)
        patch.setattr(BaseModel.metadata, "create_all", create_all)
        yield
    sqlalchemy.event.remove(Engine, "connect", _wait_for_no_disk)


class _SharedStatements(sqlalchemy.util.LRUCache):
    """Compiled SQL of all engines of one kind, whose dialects (the first part of a key) are alike but not equal."""

    def get(self, key, default=None):
        return super().get((type(key[0]), *key[1:]), default)

    def __getitem__(self, key):
        return super().__getitem__((type(key[0]), *key[1:]))

    def __setitem__(self, key, value):
        super().__setitem__((type(key[0]), *key[1:]), value)


def _wait_for_no_disk(connection, _record):
    with contextlib.suppress(sqlite3.Error):  # of a file that is no database, or held: the test finds it as it was
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory):
    """Keep the private lists of the tests apart from those of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch):
    """The secrets that a test's addresses bring are masked in that test alone."""
    monkeypatch.setattr(secrecy, "_learned", set(secrecy._learned))


@pytest.fixture(autouse=True)
def _own_search_path(monkeypatch):
    """The folders that a command finds modules in are those of its test alone."""
    monkeypatch.setattr(sys, "path", sys.path.copy())


@pytest.fixture(autouse=True)
def _own_modules(request):
    """Modules that a test imports from its own folder end with it: another test may have some of the same names."""
    if "tmp_path" not in request.fixturenames:
        yield
        return
    folder, before = request.getfixturevalue("tmp_path"), set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        told = getattr(sys.modules[name], "__dict__", {})
        places = [told.get("__file__"), *(told.get("__path__") or ())]
        if any(place and Path(place).is_relative_to(folder) for place in places):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _enabled_loggers():
    """Loggers of sepray tell: a library that another test has run may have disabled all that there were."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "sepray" and isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow's database without runs: making one takes a second of CPU, copying it none."""
    from sepray.tracking.connection import connect

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def lab_site(tmp_path_factory):
    """The site-packages folder into which the wheel of ``lab_echo`` is installed."""
    folder = tmp_path_factory.mktemp("lab")
    lab_echo.write(folder / "project", lab_echo.FILES)
    lab_echo.install(folder / "project", folder / "site-packages")
    return folder / "site-packages"


@pytest.fixture
def lab(lab_site, monkeypatch):
    """The same folder, on the search path of this process."""
    monkeypatch.syspath_prepend(str(lab_site))
    importlib.invalidate_caches()
    yield lab_site
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab_echo"]:
        del sys.modules[name]

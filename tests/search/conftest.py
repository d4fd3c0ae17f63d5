"""An empty Optuna database, made once and copied for each test; storages and drivers of the tests of leases."""

import shutil
import sqlite3

import pytest

from sepray.search.samplers import make_sampler
from sepray.search.storage import open_study

from .world import connection, world

__all__ = ["connection", "world"]  # fixtures


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    path = tmp_path_factory.mktemp("optuna") / "empty.db"
    open_study(f"sqlite:///{path}", "none", ["minimize"], {}, make_sampler("random", 0, {}))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def url(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path / "optuna.db")
    return f"sqlite:///{tmp_path}/optuna.db"

import logging
import os
import re
import threading
from types import SimpleNamespace

import pytest

from sepray.tracking import connection
from sepray.tracking.connection import connect, import_mlflow


def test_two_that_start_at_once_share_one_database_and_a_half_made_one_is_no_obstacle(tmp_path):
    (tmp_path / ".mlflow.db.creating").write_bytes(b"half")  # of a process that was killed over it
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    made, failed = [], []

    def start(name):
        try:
            made.append(connect(uri).create_experiment(name))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert failed == []
    assert sorted(made) == ["1", "2"]
    assert {e.name for e in connect(uri).search_experiments()} == {"Default", "a", "b"}
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


class Mlflow:
    """Stands in for mlflow: makes an empty file where a database is asked for, and notes every client."""

    def __init__(self):
        self.asked = []

    def MlflowClient(self, uri, registry_uri=None):
        def search_experiments(max_results):
            self.asked.append((uri, registry_uri, max_results))
            if uri.startswith("sqlite:///"):
                open(uri.removeprefix("sqlite:///"), "a").close()

        return SimpleNamespace(search_experiments=search_experiments)


@pytest.fixture
def mlflow(monkeypatch):
    stands = Mlflow()
    monkeypatch.setattr(connection, "import_mlflow", lambda: stands)
    return stands


def test_server_is_asked_once_before_it_is_used(mlflow):
    connect("http://host")
    assert mlflow.asked == [("http://host", "http://host", 1)]


def test_database_is_made_in_its_folder_under_another_name_first(mlflow, tmp_path):
    path = tmp_path / "a" / "b" / "mlflow.db"
    for _ in range(2):
        connect(f"sqlite:///{path}")
    made, *used = mlflow.asked
    address, *others = made
    assert re.fullmatch(rf"sqlite:///{path.parent}/\.mlflow\.db\.creating-[0-9a-f]{{16}}", address)
    assert others == [None, 1]
    assert used == [(f"sqlite:///{path}", f"sqlite:///{path}", 1)] * 2
    assert [p.name for p in path.parent.iterdir()] == ["mlflow.db"]


def test_database_that_a_user_made_meanwhile_is_kept(mlflow, tmp_path, monkeypatch):
    path = tmp_path / "mlflow.db"
    link = os.link

    def late(source, target):
        path.write_bytes(b"the user's")
        link(source, target)

    monkeypatch.setattr(connection.os, "link", late)
    connect(f"sqlite:///{path}")
    assert path.read_bytes() == b"the user's"
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_mlflow_is_quiet_unless_the_user_says_otherwise(monkeypatch):
    for name in connection.QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "users")
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.INFO)
    assert import_mlflow().__name__ == "mlflow"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "users"
    assert [logger.level for logger in loggers] == [logging.ERROR] * 2


def test_link_in_the_place_of_an_unfinished_database_is_not_written_through(mlflow, tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".mlflow.db.creating").symlink_to(tmp_path / "victim")
    connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert (tmp_path / "victim").read_text() == "precious"

"""Optuna's gRPC proxy as a storage, behind which a process of its own has the database."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys

import optuna
import pytest

from sepray.errors import StorageError, UsageError
from sepray.search import holding, lease, storage
from sepray.search.lease import LostError, take
from sepray.search.storage import connect, open_study

from .test_searcher import Controller, Killed, kill, report, searcher_of, states, study_at, value

SERVER = """
import sys
from optuna.storages import get_storage, run_grpc_proxy_server
run_grpc_proxy_server(get_storage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
"""


class Proxy:
    """A proxy over an SQLite file, which can be ended and started again."""

    def __init__(self, url):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.address, self.process = url, f"grpc://127.0.0.1:{self.port}", None
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVER, self.url, str(self.port)])

    def end(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def proxy(url, monkeypatch):
    monkeypatch.setattr("sepray.search.grpc_proxy._READY_SECONDS", 120.0)  # of a machine that is busy
    stands = Proxy(url)
    yield stands
    stands.end()


def test_study_goes_on_over_a_proxy_and_its_database_has_it(proxy, url):
    searcher = searcher_of(study_at(proxy.address), trials=3)
    with pytest.raises(Killed):
        Controller(searcher, report, kill_after=3).run()
    kill(searcher)
    searcher = searcher_of(study_at(proxy.address), trials=3)
    Controller(searcher, report).run()
    searcher.close()
    study = study_at(url)  # past the proxy
    assert states(study) == {"COMPLETE": 3}
    assert study.get_trials()[2].intermediate_values == {e: value(2, e) for e in (1, 2, 3, 4)}


def test_one_driver_owns_a_study_over_a_proxy(proxy, url):
    first = take(connect(proxy.address), "cass-ecg")
    try:
        with pytest.raises(holding.HeldError, match="cass-ecg is held by"):
            lease.take_at(proxy.address, "cass-ecg", False, lambda text: None)
        with pytest.raises(holding.HeldError):  # one past the proxy is no other way in
            lease.take_at(url, "cass-ecg", False, lambda text: None)
        guarded = open_study(proxy.address, "cass-ecg", ["minimize"], {}, optuna.samplers.RandomSampler(), first.check)
        second = take(connect(proxy.address), "cass-ecg", force=True)
        try:
            with pytest.raises(LostError, match="has taken the study over"):
                guarded.set_user_attr("late", 1)
            assert "late" not in connect(proxy.address).get_study_user_attrs(guarded._study_id)
        finally:
            second.release()
    finally:
        first.release()
    assert [name for name in optuna.get_all_study_names(url) if "lease" in name] == []


def test_study_outlives_a_proxy_that_is_started_again(proxy):
    study = study_at(proxy.address)
    proxy.end()
    with pytest.raises(storage.STORAGE_FAILURES) as failure:
        study.set_user_attr("a", 1)
    assert storage.first_line(failure.value).startswith("the proxy is gone: ")
    proxy.start()
    searcher = searcher_of(study, trials=2, patience=200.0)
    Controller(searcher, report).run()
    searcher.close()
    assert states(study) == {"COMPLETE": 2}


def test_proxy_that_does_not_answer_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("sepray.search.grpc_proxy._READY_SECONDS", 0.5)
    with pytest.raises(StorageError) as failure:
        connect("grpc://127.0.0.1:1")
    told = "storage grpc://127.0.0.1:1 cannot be opened: no proxy answers at 127.0.0.1:1; `optuna.storages.run_grpc"
    assert str(failure.value).startswith(told)


@pytest.mark.parametrize(
    "url", ["grpc://anna:secret@host:13000", "grpc://host:13000/optuna", "grpc://", "grpc://host:99999"]
)
def test_address_that_is_no_proxys_is_refused_without_its_secrets(url):
    with pytest.raises(UsageError) as failure:
        connect(url)
    assert str(failure.value).startswith("storage grpc://")
    assert "secret" not in str(failure.value)
    assert "\n" not in str(failure.value)


def test_error_of_the_database_behind_a_proxy_is_the_storages(proxy, url):
    study = study_at(proxy.address)
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        database.execute("DROP TABLE study_user_attributes")
        database.commit()
    with pytest.raises(storage.STORAGE_FAILURES) as failure:
        study.set_user_attr("a", 1)
    assert storage.first_line(failure.value).startswith("the proxy answers UNKNOWN: Exception calling application: ")

"""Studies that share a database server: one owner of each, and tables that many make at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from sepray.search.holding import HeldError
from sepray.search.lease import LostError, take
from sepray.search.storage import connect

from .database_servers import MAINTENANCE, SERVERS

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(scope="module", params=SERVERS)
def server(request) -> Iterator[tuple[str, str]]:
    """The address of a server without databases of its own, and that of a database in it."""
    with (
        tempfile.TemporaryDirectory(prefix="sepray-server-", dir="/tmp") as folder,
        SERVERS[request.param](Path(folder)) as url,
    ):
        yield url, f"{url}/{MAINTENANCE[request.param]}"


@pytest.fixture
def database(server, request) -> str:
    """A fresh database."""
    url, maintenance = server
    name = f"studies_{abs(hash(request.node.name))}"
    engine = sqlalchemy.create_engine(maintenance, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"create database {name}"))
    engine.dispose()
    return f"{url}/{name}"


def at_once(count, work) -> list:
    """Return what ``work(k)`` returns in ``count`` processes that begin it at the same moment."""
    barrier, queue = CONTEXT.Barrier(count), CONTEXT.SimpleQueue()

    def run(k):
        signal.alarm(100)
        barrier.wait()
        try:
            queue.put(work(k))
        except BaseException as error:
            queue.put(repr(error))
        barrier.wait()
        os._exit(0)  # no lease is given back, as after a kill

    processes = [CONTEXT.Process(target=run, args=(k,)) for k in range(count)]
    for process in processes:
        process.start()
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def test_of_24_drivers_that_start_at_once_exactly_one_owns_the_study(database):
    def start(k):
        with contextlib.suppress(HeldError):
            take(connect(database), "small").check()
            return "owner"
        return "refused"

    for generation, drivers in ((1, 24), (2, 4)):  # the second time the owner has died
        assert sorted(at_once(drivers, start)) == ["owner"] + ["refused"] * (drivers - 1)
        names = optuna.get_all_study_names(connect(database))
        assert names == [f"small/lease/{generation}"]


def test_studies_that_start_at_once_in_a_fresh_database_all_work(database):
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def start(k):
        lease = take(connect(database), f"study-{k}")
        study = optuna.create_study(storage=connect(database), study_name=f"study-{k}")
        study.add_trial(optuna.trial.create_trial(value=float(k)))
        lease.release()
        return k

    assert sorted(at_once(8, start)) == list(range(8))
    storage = connect(database)
    names = optuna.get_all_study_names(storage)
    assert sorted(names) == [f"study-{k}" for k in range(8)]
    assert [optuna.load_study(study_name=name, storage=storage).best_value for name in sorted(names)] == list(range(8))


def test_owner_from_which_a_study_was_taken_writes_no_more(database):
    first = take(connect(database), "small")
    first.check()
    second = take(connect(database), "small", force=True)
    second.check()
    with pytest.raises(LostError, match="has taken the study over at"):
        first.beat()
    first.release()
    second.check()
    second.release()
    assert optuna.get_all_study_names(connect(database)) == []

"""Studies that share a PostgreSQL: one owner of each, and tables that many make at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from sepray.search.holding import HeldError
from sepray.search.lease import take
from sepray.search.storage import connect

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) + sorted(Path("/usr").glob("pgsql-*/bin"))
PROGRAM = shutil.which("initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, BINARIES)]))
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server without databases of its own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'sepray[cluster]'")
    if PROGRAM is None:
        pytest.skip("PostgreSQL's programs are not installed")
    with tempfile.TemporaryDirectory(prefix="sepray-postgres-", dir="/tmp") as folder, _started(Path(folder)) as url:
        yield url


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[str]:
    assert PROGRAM is not None
    control = [str(Path(PROGRAM).with_name("pg_ctl")), "--pgdata", str(folder / "data"), "--silent"]
    user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        account = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
        user = ["setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        subprocess.run([*user, *command], cwd=folder, check=True, capture_output=True, timeout=60)

    run(PROGRAM, "--pgdata", str(folder / "data"), "--username", "sepray", "--auth", "trust", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    run(*control, "--wait", "--options", options, "--log", str(folder / "log"), "start")
    try:
        yield f"postgresql+psycopg://sepray@127.0.0.1:{port}"
    finally:
        run(*control, "--mode", "immediate", "stop")


@pytest.fixture
def database(server, request) -> str:
    """A fresh database."""
    name = f"studies_{abs(hash(request.node.name))}"
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"create database {name}"))
    engine.dispose()
    return f"{server}/{name}"


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

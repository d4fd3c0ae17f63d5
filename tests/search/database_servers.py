"""Servers of the databases that studies may share, started for a test where their programs are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) + sorted(Path("/usr").glob("pgsql-*/bin"))
_SECONDS = 60.0


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL; yields its address, without a database. Skips where it is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'sepray[cluster]'")
    initdb = _program("initdb", *_POSTGRES)
    if initdb is None:
        pytest.skip("PostgreSQL's programs are not installed")
    control = [str(Path(initdb).with_name("pg_ctl")), "--pgdata", str(folder / "data"), "--silent"]
    port = _free_port()

    def run(*command: str) -> None:
        subprocess.run(
            [*_as_user("postgres", folder), *command], cwd=folder, check=True, capture_output=True, timeout=_SECONDS
        )

    run(initdb, "--pgdata", str(folder / "data"), "--username", "sepray", "--auth", "trust", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    run(*control, "--wait", "--options", options, "--log", str(folder / "log"), "start")
    try:
        yield f"postgresql+psycopg://sepray@127.0.0.1:{port}"
    finally:
        run(*control, "--mode", "immediate", "stop")


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Start a MariaDB, which speaks MySQL's language; yields its address as ``postgres`` does."""
    pytest.importorskip("pymysql", reason="PyMySQL is not installed: pip install pymysql")
    server, install = _program("mariadbd", Path("/usr/sbin")), _program("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("MariaDB's programs are not installed")
    user = _as_user("mysql", folder)
    data, port = f"--datadir={folder}/data", _free_port()
    made = [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([*user, *made], cwd=folder, check=True, capture_output=True, timeout=_SECONDS)
    places = [f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--log-error={folder}/log"]
    command = [server, "--no-defaults", data, *places, f"--port={port}", "--bind-address=127.0.0.1"]
    quick = ["--innodb-flush-log-at-trx-commit=0", "--max-connections=200"]
    process = subprocess.Popen([*user, *command, *quick], cwd=folder)
    try:
        _await_port(port, process)
        yield f"mysql+pymysql://root@127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


SERVERS = {"PostgreSQL": postgres, "MariaDB": mariadb}
MAINTENANCE = {"PostgreSQL": "postgres", "MariaDB": "mysql"}
"""Name of a database that every server of the kind has."""


def _program(name: str, *folders: Path) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)]))


def _as_user(preferred: str, folder: Path) -> list[str]:
    """Give a folder to an account, because servers refuse to run as root; return what runs a command as it."""
    if os.getuid() != 0:
        return []
    account = next(entry for name in (preferred, "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return ["setpriv", "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5.0):
            return
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        time.sleep(0.1)
    raise TimeoutError(f"the server has not answered within {_SECONDS:g} s")

"""Checks before the start: what they refuse, what they let pass, and that they leave nothing behind."""

import contextlib
import errno
import os
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy

from sepray.console import preflight
from sepray.errors import UnreachableError, UsageError


@pytest.fixture
def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


def test_server_that_listens_passes():
    with socket.create_server(("127.0.0.1", 0)) as server:
        preflight.require_listening(f"http://127.0.0.1:{server.getsockname()[1]}/path", "the server")


def test_server_that_does_not_listen_is_refused(closed_port):
    with pytest.raises(UnreachableError, match=r"^the server does not answer: Connection refused$"):
        preflight.require_listening(f"postgresql+psycopg://user:secret@127.0.0.1:{closed_port}/db", "the server")


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://host", 80),
        ("https://host/x", 443),
        ("postgresql+psycopg2://u:p@host/db", 5432),
        ("mysql://host", 3306),
        ("mariadb+mariadbconnector://host/db", 3306),
        ("mssql+pyodbc://host/db", 1433),
        ("oracle://host/db", 1521),
        ("grpc://host", 13000),
        ("https://host:8443", 8443),
    ],
)
def test_port_is_that_of_the_url_or_else_of_its_kind(url, port, monkeypatch):
    asked = []

    def connect(address, timeout):
        asked.append((address, timeout))
        raise TimeoutError("timed out")

    monkeypatch.setattr(preflight.socket, "create_connection", connect)
    with pytest.raises(UnreachableError, match=r"^it does not answer: timed out$"):
        preflight.require_listening(url, "it")
    assert asked == [(("host", port), 3.0)]


@pytest.mark.parametrize(
    "url", ["sqlite:///optuna.db", "journal:///a/b", "databricks", "s3://bucket/x", "auto", "ray://"]
)
def test_what_has_no_known_port_passes(url):
    preflight.require_listening(url, "it")


@pytest.mark.parametrize("url", ["http://host:99999", "http://host:x", "http://u:pa/ss@host", "http://[::1"])
def test_impossible_address_is_refused_without_its_secrets(url):
    with pytest.raises(UnreachableError, match=r"^it has an impossible host or port; ports are 1 to 65535$"):
        preflight.require_listening(url, "it")


@pytest.fixture
def databases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("real.db") as connection:
        connection.execute("create table t (a)")
    connection.close()
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database, though long enough")
    (tmp_path / "journal.log").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "url", ["sqlite:///real.db", "sqlite:///empty.db", "journal://journal.log", "http://host", "postgresql://host/db"]
)
def test_databases_that_exist_and_other_addresses_pass(url, databases):
    preflight.require_database(url, "database")


@pytest.mark.parametrize("url", ["sqlite:///none.db", "sqlite:///folder", "journal://none.log", "journal://folder"])
def test_database_that_does_not_exist_is_refused(url, databases):
    with pytest.raises(UsageError, match=r"^there is no database here$"):
        preflight.require_database(url, "database here")
    assert "none.db" not in contents(databases)


def test_other_file_is_no_database(databases):
    with pytest.raises(UsageError, match=r"^text\.db is no SQLite database: give another file, or move it away$"):
        preflight.require_database("sqlite:///text.db", "database")


OPEN_AND_CLOSE = "import sqlite3; c = sqlite3.connect('wal.db'); c.execute('select * from t').fetchall(); c.close()"


def test_check_leaves_the_locks_of_a_database_that_this_process_has_open(tmp_path, monkeypatch):
    """If the locks are lost, another process that closes the database deletes the write-ahead log that is in use."""
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(sqlite3.connect("wal.db")) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(x)")
        preflight.require_database("sqlite:///wal.db", "database")
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE], check=True, timeout=30)
        connection.execute("insert into t values (1)")
        connection.commit()
        assert (tmp_path / "wal.db-wal").stat().st_size > 0
        reader = OPEN_AND_CLOSE.replace("c.execute", "print(*c.execute").replace("fetchall()", "fetchall())")
        read = subprocess.run([sys.executable, "-c", reader], check=True, timeout=30, capture_output=True, text=True)
        assert read.stdout == "(1,)\n"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("optuna.db", "it is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file"),
        ("nosql://", "it cannot be used: .*nosql.*; check the URL and its driver"),
        ("sqlite+nodriver:///x.db", "it cannot be used: .*nodriver.*; check the URL and its driver"),
        ("oracle://", "it cannot be used: .*; check the URL and its driver"),
    ],
)
def test_storage_without_a_driver_is_refused(url, line):
    for require in (preflight.require_driver, preflight.require_storage):
        with pytest.raises(UsageError, match=f"^{line}$"):
            require(url, "it")


@pytest.mark.parametrize(
    ("url", "module", "remedy"),
    [
        ("postgresql+psycopg://h/db", "psycopg", "pip install 'sepray[cluster]'"),
        ("postgresql+psycopg2://h/db", "psycopg2", "pip install 'sepray[cluster]', and write postgresql+psycopg://"),
        ("mysql+pymysql://h/db", "pymysql", "check the URL and its driver"),
    ],
)
def test_a_driver_that_an_extra_brings_is_refused_with_the_extra(monkeypatch, url, module, remedy):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(UsageError) as refused:
        preflight.require_driver(url, "it")
    assert str(refused.value).startswith("it cannot be used: ")
    assert module in str(refused.value)
    assert str(refused.value).endswith(f"; {remedy}")


@pytest.mark.parametrize("url", ["sqlite:///deep/new.db", "sqlite+pysqlite:///deep/new.db", "journal://deep/new.log"])
def test_storage_that_can_be_made_passes_and_is_not_made(url, databases):
    before = contents(databases)
    preflight.require_storage(url, "it")
    assert contents(databases) == before


@pytest.mark.parametrize("check", [preflight.require_storage, lambda url, _: preflight.require_tracking_address(url)])
def test_databases_that_no_other_command_would_find_are_refused(check, databases):
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"):
        with pytest.raises(
            UsageError, match=r"is in memory, and gone before anybody reads it: give sqlite:///file\.db$"
        ):
            check(url, "it")
    for url in ("file:x.db?uri=true", "/abs.db?mode=ro", "real.db?timeout=3", "file:x.db", "x.db?"):
        with pytest.raises(UsageError, match=r"has options of SQLite's.*: give the file, sqlite:///file\.db$"):
            check(f"sqlite:///{url}", "it")


@pytest.mark.parametrize("url", ["sqlite:///text.db/x.db", "journal://text.db/x.log"])
def test_storage_in_a_file_is_refused(url, databases):
    with pytest.raises(
        UsageError, match=r"^cannot write to .*text\.db is a file; choose another folder with --storage$"
    ):
        preflight.require_storage(url, "it")


def test_storage_that_is_something_else_or_does_not_answer_is_refused(databases, closed_port):
    with pytest.raises(UsageError, match=r"^text\.db is no SQLite database: give another file, or move it away$"):
        preflight.require_storage("sqlite:///text.db", "it")
    with pytest.raises(UnreachableError, match=r"^it does not answer"):
        preflight.require_storage(f"postgresql://127.0.0.1:{closed_port}/db", "it")


def test_folder_that_can_be_made_passes_and_is_not_made(tmp_path):
    preflight.require_writable(tmp_path)
    preflight.require_writable(tmp_path / "a" / "b")
    assert contents(tmp_path) == []


def test_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^cannot write to .*file/x: .*file is a file$"):
        preflight.require_writable(tmp_path / "file" / "x")


def test_folder_without_permission_is_refused(tmp_path):
    folder = "/proc/x" if os.getuid() == 0 else tmp_path / "locked"  # root may write everywhere else
    if os.getuid() != 0:
        folder.mkdir(mode=0o500)
    with pytest.raises(UsageError, match=r"^cannot write to .*: (Permission denied|No such file or directory)$"):
        preflight.require_writable(preflight.Path(folder))


@pytest.mark.parametrize(
    ("installed", "visible", "count"),
    [(0, None, 0), (4, None, 4), (4, ["0", "2"], 2), (4, [], 0), (2, ["0", "1", "2"], 2)],
)
def test_gpus_are_those_that_this_process_may_use(monkeypatch, installed, visible, count):
    from ray._private import accelerators

    class Manager:
        @staticmethod
        def get_current_process_visible_accelerator_ids():
            return visible

        @staticmethod
        def get_current_node_num_accelerators():
            return installed

    monkeypatch.setattr(accelerators, "get_accelerator_manager_for_resource", {"GPU": Manager}.__getitem__)
    assert preflight.count_gpus() == count


@pytest.mark.parametrize(
    "uri", ["file:./mlruns", "file:///srv/mlruns", "./mlruns", "mlruns", "{folder}", "sqlite:///{folder}"]
)
def test_folder_is_no_tracking_address(tmp_path, uri):
    with pytest.raises(UsageError, match=r"is a folder, .*give sqlite:///mlflow\.db or a server's address"):
        preflight.require_tracking_address(uri.format(folder=tmp_path))


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "mlflow.db", "runs/m.sqlite", "http://h:1", "databricks://p", "postgresql://h/d"]
)
def test_databases_and_servers_are_tracking_addresses(uri):
    preflight.require_tracking_address(uri)


def test_dashboard_is_no_cluster():
    with pytest.raises(UsageError, match="Ray's dashboard"):
        preflight.require_ray_address("https://head:8265")
    for address in ("", "auto", "head:6379", "ray://head:10001"):
        preflight.require_ray_address(address)


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_temporary_folder_with_a_path_too_long_for_sockets(monkeypatch, variable):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "getpid", lambda: 12345)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, "/" + 24 * "a")  # with what Ray adds, 107 bytes
    preflight.require_short_temporary_folder()
    monkeypatch.setenv(variable, "/" + 27 * "a")
    with pytest.raises(UsageError, match=r"a is 3 characters too long for Ray's sockets: set RAY_TMPDIR"):
        preflight.require_short_temporary_folder()


def test_temporary_folder_is_rays_or_else_the_systems(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 12345)
    long, short = "/" + 60 * "a", "/b"
    for platform, ray, system, is_refused in (
        ("linux", short, long, False),
        ("linux", long, short, True),
        ("linux", "", long, True),
        ("linux", "", "", False),
        ("darwin", "", long, False),  # where Ray takes /tmp
        ("darwin", long, "", True),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv("RAY_TMPDIR", ray)
        monkeypatch.setenv("TMPDIR", system)
        with pytest.raises(UsageError, match="too long") if is_refused else contextlib.nullcontext():
            preflight.require_short_temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/" + 24 * "a")  # with what Ray adds, 107 bytes
    with pytest.raises(UsageError, match="a is 4 characters too long"):  # of 103 there
        preflight.require_short_temporary_folder()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch, number):
    def full(path, content):
        assert content == bytes(65536)  # a full disk may still take an empty file
        raise OSError(number, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    told = f"cannot write to {tmp_path}: No space left on device; free some space there"
    with pytest.raises(UsageError, match=f"^{re.escape(told)}, or choose another folder with --cache$"):
        preflight.require_writable(tmp_path, "--cache")
    with pytest.raises(UsageError, match=f"^{re.escape(told)}$"):
        preflight.require_writable(tmp_path)
    monkeypatch.undo()
    assert contents(tmp_path) == []


def test_home_that_cannot_be_written_is_named_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match=rf"^cannot write to {tmp_path}/home/x: {tmp_path}/home is a file"):
        preflight.require_writable(Path("~/x"))


def test_home_that_nobody_has(monkeypatch):
    monkeypatch.setattr(Path, "expanduser", _no_home)
    with pytest.raises(UsageError, match=r"^cannot write to ~/x: there is no home folder; choose another .* --c$"):
        preflight.require_writable(Path("~/x"), "--c")


def _no_home(path):
    raise RuntimeError("Could not determine home directory.")


def test_other_folder_can_be_chosen(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file is a file; choose another folder with --cache$"):
        preflight.require_writable(tmp_path / "file", "--cache")


def test_own_ray_without_a_token_is_refused(monkeypatch):
    for mode in ("token", ""):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        preflight.require_token()
    for mode in ("disabled", "DISABLED"):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with pytest.raises(UsageError, match=r"^RAY_AUTH_MODE=disabled would let everybody .*: unset it"):
            preflight.require_token()
    monkeypatch.delenv("RAY_AUTH_MODE")
    preflight.require_token()


PASSWORD = 'connection to server at "10.0.0.5", port 5432 failed: FATAL:  password authentication failed for user "ann"'
SERVER = "postgresql+psycopg://ann:secret@10.0.0.5/optuna"


def refusing(monkeypatch, message):
    """Let every connection fail as the driver of a database does."""
    refusal = sqlalchemy.exc.OperationalError("", {}, Exception(message))
    engine = SimpleNamespace(connect=lambda: (_ for _ in ()).throw(refusal))
    monkeypatch.setattr(sqlalchemy, "create_engine", lambda url, **settings: engine)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (PASSWORD, 'password authentication failed for user "ann"; give another user .*PGPASSWORD or PGPASSFILE'),
        (
            'FATAL:  database "optuna" does not exist',
            r'database "optuna" does not exist; make it there first \(`createdb',
        ),
        ('FATAL:  role "ann" does not exist', 'role "ann" does not exist; give another user'),
        ("(1049, \"Unknown database 'optuna'\")", "Unknown database 'optuna'.*; make it there first"),
        ("(1045, \"Access denied for user 'ann'@'h'\")", "Access denied for user .*; give another user"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.9"', "no pg_hba.conf entry .*; let this host in"),
        ('FATAL:  permission denied for database "optuna"', "permission denied .*; let this user in"),
    ],
)
def test_database_that_refuses_for_good_is_told_with_what_to_set(message, told, monkeypatch):
    refusing(monkeypatch, message)
    with pytest.raises(UsageError, match=f"^the storage cannot be used: .*{told}") as refused:
        preflight.require_login(SERVER, "the storage")
    assert not re.search(r"\n|FATAL", str(refused.value))


@pytest.mark.parametrize(
    "message", ["Connection refused", "FATAL:  the database system is starting up", "timeout expired"]
)
def test_database_that_may_answer_later_passes(message, monkeypatch):
    refusing(monkeypatch, message)
    preflight.require_login(SERVER, "the storage")


@pytest.mark.parametrize("kind", ["postgresql", "mysql+pymysql", "mariadb+mariadbconnector"])
def test_a_login_is_tried_once_and_for_five_seconds(kind, monkeypatch):
    asked, closed = [], []
    connection = SimpleNamespace(close=lambda: closed.append(True))
    engine = SimpleNamespace(connect=lambda: connection)
    monkeypatch.setattr(sqlalchemy, "create_engine", lambda url, **settings: asked.append((url, settings)) or engine)
    preflight.require_login(f"{kind}://host/db", "the storage")
    settings = {"connect_args": {"connect_timeout": 5}, "poolclass": sqlalchemy.pool.NullPool}
    assert asked == [(f"{kind}://host/db", settings)]
    assert closed == [True]


@pytest.mark.parametrize(
    "url", ["sqlite:///optuna.db", "journal://log", "http://host:5000", "grpc://host:13000", "mlflow.db"]
)
def test_only_servers_of_databases_are_asked_for_a_login(url, monkeypatch):
    refusing(monkeypatch, PASSWORD)
    preflight.require_login(url, "the storage")


def test_pipe_or_device_that_matplotlib_would_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preflight.require_usable_folder()
    place = tmp_path / "matplotlibrc"
    refused = (
        r"^matplotlibrc in this folder is no file of settings, and matplotlib would read it: remove it, or start in"
    )
    os.mkfifo(place)
    with pytest.raises(UsageError, match=refused):
        preflight.require_usable_folder()
    place.unlink()
    place.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match=refused):
        preflight.require_usable_folder()
    place.unlink()
    place.mkdir()  # which matplotlib passes over
    preflight.require_usable_folder()
    place.rmdir()
    place.write_text("text.usetex: True\n")
    preflight.require_usable_folder()
    os.truncate(place, 2**20)
    preflight.require_usable_folder()
    os.truncate(place, 2**20 + 1)
    with pytest.raises(UsageError, match=refused):
        preflight.require_usable_folder()

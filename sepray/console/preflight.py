"""Checks before anything large is imported or started: servers answer, databases exist, folders can be written to."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sqlite3
import stat
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

from ..errors import UnreachableError, UsageError, how_to_install, mask, refused_for_good

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
_PORTS["grpc"] = 13000  # of Optuna's proxy
_CONNECT_SECONDS = 3.0
_MATPLOTLIB, _LARGEST_SETTINGS = "matplotlibrc", 2**20
_PROBE_BYTES = 2**16  # a disk that is full may still take a folder or an empty file


def require_listening(url: str, shown: str) -> None:
    """Refuse the URL of a server where nothing listens; URLs of files, and those without a known port, pass.

    Args:
        url: URL of the server.
        shown: what messages call the server, without secrets.

    Raises:
        UnreachableError: nothing listens there, or its host or port is impossible.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        raise UnreachableError(f"{shown} has an impossible host or port; ports are 1 to 65535") from None
    if not parts.hostname or not port:
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise UnreachableError(f"{shown} does not answer: {error.strerror or error}") from None


def require_database(url: str, shown: str) -> None:
    """Refuse the URL of an SQLite file or Optuna journal that does not exist, or is something else; other URLs pass.

    Args:
        url: URL of the database.
        shown: what messages call the database, without secrets.

    Raises:
        UsageError: there is no such file, or it is no database.
    """
    journal, file = url.removeprefix("journal://"), url.removeprefix("sqlite:///")
    if url == journal == file:
        return
    if not Path(min(journal, file, key=len)).is_file():
        raise UsageError(f"there is no {shown}")
    if journal != url:
        return
    # SQLite looks itself. Opening and closing the file here would drop all locks that this process has on it (POSIX),
    # and the next process to close the database would delete the write-ahead log that is in use.
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(file)}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("pragma schema_version")
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise UsageError(f"{file} is no SQLite database: give another file, or move it away") from None


def require_driver(url: str, shown: str) -> None:
    """Refuse an Optuna storage that is no URL, or whose driver is not installed.

    Args:
        url: URL of the storage.
        shown: what messages call the storage, without secrets.

    Raises:
        UsageError: the storage is no URL, its driver is not installed, or it is a SQLite database in memory or with
            options.
    """
    scheme, separator, path = url.partition("://")
    if not separator:
        raise UsageError(
            f"{shown} is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file"
        )
    if scheme == "journal":
        return
    if scheme.partition("+")[0] == "sqlite":
        _require_file(path, shown)
    import sqlalchemy

    try:
        if scheme == "grpc":
            import grpc  # noqa: F401

            return
        sqlalchemy.engine.make_url(url).get_dialect().import_dbapi()
    except (ImportError, ValueError, sqlalchemy.exc.NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
        cause, remedy = str(error).splitlines()[0], how_to_install(error) or "check the URL and its driver"
        raise UsageError(f"{shown} cannot be used: {cause}; {remedy}") from None


def require_login(url: str, shown: str) -> None:
    """Refuse a database on a server that does not let this user in, or that the server does not have.

    A server that does not answer, or that is starting, passes: trying again may help there.

    Args:
        url: URL of the database; those of files, and of servers that are no PostgreSQL or MySQL, pass.
        shown: what messages call the database, without secrets.

    Raises:
        UsageError: the server refuses the connection for good; the message says what to set.
    """
    if url.partition("://")[0].partition("+")[0] not in ("postgresql", "mysql", "mariadb"):
        return
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": 5}, poolclass=sqlalchemy.pool.NullPool)
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        lines = str(error.orig).strip().splitlines()
        reason = next((line for line in lines if refused_for_good(line)), "")
        if reason:
            raise UsageError(
                f"{shown} cannot be used: {mask(reason.rpartition('FATAL:')[2].strip())}; {refused_for_good(reason)}"
            ) from None


def require_storage(url: str, shown: str) -> None:
    """Refuse an Optuna storage that does not answer, or that cannot be made.

    Args:
        url: URL of the storage.
        shown: what messages call the storage, without secrets.

    Raises:
        UsageError: the storage is no URL, its driver is not installed, or its folder cannot be written to.
        UnreachableError: nothing listens there.
    """
    require_listening(url, shown)
    require_driver(url, shown)
    scheme, _, path = url.partition("://")
    if scheme in ("sqlite", "journal"):
        file = path.removeprefix("/") if scheme == "sqlite" else path
        if scheme == "sqlite" and Path(file).exists():
            require_database(url, shown)
        require_writable(Path(file).absolute().parent, "--storage")


def _require_file(path: str, shown: str) -> None:
    """Refuse a database of SQLite that is no file by a plain path, where others find it again.

    Raises:
        UsageError: the database is in memory, or has options; processes and commands would each see another.
    """
    if path in ("", "/", "/:memory:"):
        raise UsageError(f"{shown} is in memory, and gone before anybody reads it: give sqlite:///file.db")
    if "?" in path or path.startswith("/file:"):
        raise UsageError(f"{shown} has options of SQLite's, and sepray has its own: give the file, sqlite:///file.db")


def require_tracking_address(uri: str) -> None:
    """Refuse a folder as MLflow's address, which MLflow took once: ``file:``, ``./mlruns``.

    Args:
        uri: address, or path of an SQLite file.

    Raises:
        UsageError: the address is a folder, or a database of SQLite in memory or with options.
    """
    path = uri.removeprefix("sqlite:///")
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.partition("+")[0] == "sqlite":
        _require_file(rest, f"MLflow's address {uri}")
    plain = "://" not in uri
    if uri.startswith("file:") or ((plain or path != uri) and Path(path).is_dir()) or (plain and not Path(uri).suffix):
        raise UsageError(
            f"{uri} is a folder, and this MLflow keeps no runs in folders: give sqlite:///mlflow.db or a server's "
            "address (`mlflow migrate-filestore` moves the runs of a folder into a database)"
        )


def require_ray_address(address: str) -> None:
    """Refuse the address of Ray's dashboard as that of a cluster.

    Raises:
        UsageError: the address is a web page's.
    """
    if address.startswith(("http://", "https://")):
        raise UsageError(
            f"{address} is the address of Ray's dashboard, which `ray job submit` takes: give --address "
            "ray://HOST:10001, HOST:6379 or auto, or unset RAY_ADDRESS"
        )


def require_short_temporary_folder() -> None:
    """Refuse a folder for temporary files whose path is too long for the sockets of a Ray that is started here.

    Raises:
        UsageError: Ray could not start.
    """
    folder = os.environ.get("RAY_TMPDIR") or (sys.platform.startswith("linux") and os.environ.get("TMPDIR")) or "/tmp"
    socket_path = f"{folder}/sepray.12345678/ray/session_2000-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    most = 103 if sys.platform == "darwin" else 107  # bytes of a socket's path that the system takes
    if (excess := len(os.fsencode(socket_path)) - most) > 0:
        raise UsageError(
            f"the path of {folder} is {excess} characters too long for Ray's sockets: set RAY_TMPDIR to a folder "
            "with a short path, such as /tmp"
        )


def require_token() -> None:
    """Refuse a variable by which a Ray that is started here would ask nobody for a token.

    Raises:
        UsageError: ``RAY_AUTH_MODE`` is ``disabled``.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        raise UsageError(
            "RAY_AUTH_MODE=disabled would let everybody on this machine run code as you: unset it; a study's own Ray "
            "makes a token for itself"
        )


def require_usable_folder() -> None:
    """Refuse to start where ``matplotlibrc`` in the current folder is no file, or too large for a file of settings.

    matplotlib reads it when it is imported, by whichever library: it would wait for a pipe for ever.

    Raises:
        UsageError: it is a pipe, a device, or of more than a megabyte.
    """
    try:
        found = os.stat(_MATPLOTLIB)
    except OSError:
        return
    is_file = stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_SETTINGS
    if not is_file and not stat.S_ISDIR(found.st_mode):
        raise UsageError(
            f"{_MATPLOTLIB} in this folder is no file of settings, and matplotlib would read it: remove it, or "
            "start in another folder"
        )


def require_writable(folder: Path, instead: str = "") -> None:
    """Refuse a folder that can neither be written to nor be made, or whose disk is full; nothing is left behind.

    Args:
        folder: the folder; ``~`` is the user's home.
        instead: flag with which another folder is chosen.

    Raises:
        UsageError: the folder cannot be written to; the message says why.
    """
    otherwise = f"; choose another folder with {instead}" if instead else ""
    try:
        folder = folder.expanduser()
        existing = folder.absolute()
    except RuntimeError:
        raise UsageError(f"cannot write to {folder}: there is no home folder{otherwise}") from None
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"cannot write to {folder}: {existing} is a file{otherwise}")
    try:
        with tempfile.TemporaryDirectory(prefix=".sepray-", dir=existing) as probe:
            (Path(probe) / "probe").write_bytes(bytes(_PROBE_BYTES))
            return
    except OSError as error:
        free = "; free some space there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        otherwise = otherwise.replace(";", ", or", 1) if free else otherwise
        raise UsageError(f"cannot write to {folder}: {error.strerror}{free}{otherwise}") from None


def count_gpus() -> int | None:
    """Return the number of NVIDIA GPUs that this process may use, as Ray counts them; None without Ray."""
    try:
        from ray._private.accelerators import get_accelerator_manager_for_resource as manager_of
    except ImportError:
        return None
    manager = manager_of("GPU")
    visible = manager.get_current_process_visible_accelerator_ids()
    installed = int(manager.get_current_node_num_accelerators())
    return installed if visible is None else min(installed, len(visible))

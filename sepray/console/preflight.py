"""Whether addresses answer and folders can be written to, asked before anything large is imported or started.

Imports nothing from sepray but its errors.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UnreachableError, UsageError

_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
_SECONDS = 3.0


def require_listening(url: str, shown: str) -> None:
    """Refuse the address of a server where nothing listens; addresses of files, and of unknown ports, pass.

    Args:
        url: of the server.
        shown: what messages call it, without secrets.

    Raises:
        UnreachableError: nothing listens.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    except ValueError:
        raise UnreachableError(f"{shown} has no port that can be: 1 to 65535") from None
    if not parts.hostname or not port:
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=_SECONDS).close()
    except OSError as error:
        raise UnreachableError(f"{shown} does not answer: {error.strerror or error}") from None


def require_database(url: str, shown: str) -> None:
    """Refuse an SQLite database or a journal that is not there, or is none; other addresses pass.

    Raises:
        UsageError: there is no such file, or it is something else.
    """
    journal, file = url.removeprefix("journal://"), url.removeprefix("sqlite:///")
    if url == journal == file:
        return
    if not Path(min(journal, file, key=len)).is_file():
        raise UsageError(f"there is no {shown}")
    if journal != url:
        return
    with Path(file).open("rb") as start:
        if start.read(15) not in (b"SQLite format 3", b""):
            raise UsageError(f"{file} is no SQLite database")


def require_storage(url: str, shown: str) -> None:
    """Refuse an Optuna storage that cannot be made or does not answer.

    Raises:
        UsageError: it is no address, its driver is not installed, or its folder cannot be written to.
        UnreachableError: nothing listens.
    """
    scheme, separator, path = url.partition("://")
    if not separator:
        raise UsageError(
            f"{shown} is not a URL: give sqlite:///file.db, postgresql://..., mysql://... or journal://file"
        )
    require_listening(url, shown)
    if scheme != "journal":
        import sqlalchemy

        try:
            sqlalchemy.engine.make_url(url).get_dialect().import_dbapi()
        except (ImportError, sqlalchemy.exc.NoSuchModuleError, sqlalchemy.exc.ArgumentError) as error:
            cause = str(error).splitlines()[0]
            raise UsageError(f"{shown} cannot be used: {cause}; check the URL and its driver") from None
    if scheme in ("sqlite", "journal"):
        file = path.removeprefix("/") if scheme == "sqlite" else path
        if file not in ("", ":memory:"):
            if scheme == "sqlite" and Path(file).exists():
                require_database(url, shown)
            require_writable(Path(file).absolute().parent)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or be made, and leave everything as it is.

    Raises:
        UsageError: with the reason.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"cannot write to {folder}: {there} is a file")
    try:
        with tempfile.TemporaryDirectory(prefix=".sepray-", dir=there):
            return
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def count_gpus() -> int | None:
    """Return how many NVIDIA GPUs this process may use, as Ray counts them; None where that cannot be told."""
    try:
        from ray._private.accelerators import get_accelerator_manager_for_resource as manager_of
    except ImportError:
        return None
    manager = manager_of("GPU")
    allowed = manager.get_current_process_visible_accelerator_ids()
    there = int(manager.get_current_node_num_accelerators())
    return there if allowed is None else min(there, len(allowed))

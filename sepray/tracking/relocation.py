"""Finds the artifacts of a local MLflow database whose folder was moved, renamed or copied.

MLflow stores the locations of artifacts as absolute paths. sepray keeps the artifacts of a local database in ``mlruns``
beside it (``environment.artifact_location``). If the two were moved or copied together, the paths are changed, so that
a copy reads and writes its own files and never those of the original.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .environment import artifact_location

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_MLRUNS = "mlruns"


def local_path(location: str | None) -> Path | None:
    """Return a location as a path; None if it is no absolute path or ``file:`` URI of this machine."""
    if location is None:
        return None
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(location) if not parts.scheme and Path(location).is_absolute() else None


def mlruns_beside(database: Path, artifacts: Path) -> Path:
    """Return where artifacts lie in ``mlruns`` beside a database, if they are there; else the path as it is."""
    names = artifacts.parts
    for k in range(len(names) - 1, 0, -1):
        if names[k] == _MLRUNS and (found := database.parent.joinpath(*names[k:])).exists():
            return found
    return artifacts


def update_paths(database: Path) -> None:
    """Change the paths of artifacts in an MLflow database to the folder ``mlruns`` beside it.

    Nothing is changed if ``mlruns`` was left behind. For a database that cannot be read or written, MLflow will raise
    the error.
    """
    here = str(database.parent / _MLRUNS)
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        former = [old for old in _former(connection, database) if os.path.isdir(here) or not os.path.isdir(old)]
        if not former:
            return
        with connection:
            for table, column in _COLUMNS:
                if column not in {row[1] for row in connection.execute(f"pragma table_info({table})")}:
                    continue
                for old in former:
                    connection.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) "
                        f"where {column} = ? or substr({column}, 1, ?) = ?",
                        (here, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )


def _former(connection: sqlite3.Connection, database: Path) -> Iterator[str]:
    """Yield the folders ``mlruns`` elsewhere in which experiments of sepray's have their artifacts, by the database."""
    found = set()
    for name, location in connection.execute("select name, artifact_location from experiments"):
        own = Path(artifact_location(f"sqlite:///{database}", name) or "")
        artifacts = local_path(location)
        if artifacts is not None and artifacts.parts[-2:] == own.parts[-2:] and artifacts != own:
            found.add(str(location).rpartition("/")[0])
    yield from sorted(found)

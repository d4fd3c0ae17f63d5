"""Looks a model up in a local registry's SQLite file, because MLflow and its store take seconds to import.

It finds out whether an address has no model, and where the folder of a model is. If it cannot tell, MLflow is asked.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from .relocation import local_path, mlruns_beside

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_LOGGED = re.compile(r"models:/(?P<id>m-[0-9a-f]+)")
_DELETED = "Deleted_Internal"  # MLflow keeps the row of a version that was deleted


def missing_part(model: str, uri: str) -> str | None:
    """Return a clause that says which part of ``models:/name@alias`` or ``models:/name/3`` the registry lacks.

    The result is None if nothing is missing, or if that cannot be told: for another form of address, a server, a locked
    file, or the tables of another version of MLflow.

    Args:
        model: address of the model.
        uri: address of MLflow.
    """
    match = _MODEL.fullmatch(model)
    if match is None:
        return None
    name, alias, version = match["name"], match["alias"], match["version"]
    with contextlib.suppress(sqlite3.Error), _opened(uri) as connection:  # locked, or tables of another MLflow
        if connection is None:
            return None
        if not _has(connection, "registered_models", name=name):
            return f"there is no registered model {name!r}"
        if alias and not _has(connection, "registered_model_aliases", name=name, alias=alias):
            return f"no version of {name} has the alias {alias!r}"
        if version and not _has(connection, "model_versions", name=name, version=version):
            return f"{name} has no version {version}"
    return None


def model_folder(model: str, uri: str) -> Path | None:
    """Return the local folder of ``models:/name@alias``, ``models:/name/3`` or ``models:/m-0a1b``.

    The result is None if there is no such folder with a packaged model, or if that cannot be told (``missing_part``).
    The files may also be in an object store, or with a tracking server.

    Args:
        model: address of the model.
        uri: address of MLflow.
    """
    with contextlib.suppress(sqlite3.Error), _opened(uri) as connection:
        if connection is None:
            return None
        location = model if _LOGGED.fullmatch(model) else _registered(connection, model)
        if location and (logged := _LOGGED.fullmatch(location)):
            location = _only(connection, "select artifact_location from logged_models where model_id = ?", logged["id"])
        folder = local_path(location)
        if folder is not None:
            folder = mlruns_beside(Path(uri.removeprefix("sqlite:///")), folder)
            if (folder / "MLmodel").is_file():
                return folder
    return None


def _registered(connection: sqlite3.Connection, model: str) -> str | None:
    """Return where the files of a registered version are, as MLflow's tables say."""
    match = _MODEL.fullmatch(model)
    if match is None:
        return None
    name, version = match["name"], match["version"]
    if version is None:
        version = _only(
            connection,
            "select version from registered_model_aliases where name = ? and alias = ?",
            name,
            match["alias"],
        )
    return _only(
        connection,
        "select coalesce(nullif(storage_location, ''), source) from model_versions "
        "where name = ? and version = ? and current_stage != ?",
        name,
        version,
        _DELETED,
    )


def _only(connection: sqlite3.Connection, query: str, *values: str | None) -> str | None:
    """Return the value that a query finds; None if it finds none, or several (workspaces may share names)."""
    rows = connection.execute(query, values).fetchmany(2)
    return str(rows[0][0]) if len(rows) == 1 and rows[0][0] is not None else None


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[sqlite3.Connection | None]:
    """Open a local registry for reading; None for the address of a server."""
    file = uri.removeprefix("sqlite:///")
    if file == uri:
        yield None
        return
    with contextlib.closing(sqlite3.connect(f"file:{quote(file)}?mode=ro", uri=True)) as connection:
        yield connection


def _has(connection: sqlite3.Connection, table: str, **values: str) -> bool:
    where = " and ".join(f"{column} = ?" for column in values)
    rows = connection.execute(f"select 1 from {table} where {where} limit 1", tuple(values.values()))
    return rows.fetchone() is not None

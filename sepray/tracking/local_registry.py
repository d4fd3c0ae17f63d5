"""Looks a model up in a local registry's SQLite file, because MLflow and its store take seconds to import.

It only says what a model address certainly lacks; whatever it does not understand is left to MLflow.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def missing_part(model: str, uri: str) -> str | None:
    """Return what is missing in the registry of ``models:/name@alias`` or ``models:/name/3``, as a clause.

    None where nothing is missing, or where this cannot be told: another form of address, a server, a locked file, the
    tables of another version of MLflow.

    Args:
        model: address of the model.
        uri: address of MLflow.
    """
    match, file = _MODEL.fullmatch(model), uri.removeprefix("sqlite:///")
    if match is None or file == uri:
        return None
    name, alias, version = match["name"], match["alias"], match["version"]
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            if not _has(connection, "registered_models", name=name):
                return f"there is no registered model {name!r}"
            if alias and not _has(connection, "registered_model_aliases", name=name, alias=alias):
                return f"no version of {name} has the alias {alias!r}"
            if version and not _has(connection, "model_versions", name=name, version=version):
                return f"{name} has no version {version}"
    except sqlite3.Error:  # locked, or tables of another MLflow
        return None
    return None


def _has(connection: sqlite3.Connection, table: str, **values: str) -> bool:
    where = " and ".join(f"{column} = ?" for column in values)
    rows = connection.execute(f"select 1 from {table} where {where} limit 1", tuple(values.values()))
    return rows.fetchone() is not None

"""Whether a local registry has a model, asked of its SQLite file: MLflow and its store take seconds and 250 MB.

Only a plain "there is none" is answered here; whatever this does not understand is left to MLflow.
"""

from __future__ import annotations

import re
import sqlite3

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def absent(model: str, address: str) -> str | None:
    """Return what ``models:/name@alias`` or ``models:/name/3`` lacks at ``address``; None where that is not plain.

    Args:
        model: address of a model.
        address: of MLflow.
    """
    match, file = _MODEL.fullmatch(model), address.removeprefix("sqlite:///")
    if match is None or file == address:
        return None
    name, alias, version = match["name"], match["alias"], match["version"]
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:

            def has(table: str, **wanted: str) -> bool:
                where = " and ".join(f"{column} = ?" for column in wanted)
                found = connection.execute(f"select 1 from {table} where {where} limit 1", tuple(wanted.values()))
                return found.fetchone() is not None

            if not has("registered_models", name=name):
                return f"there is no registered model {name!r}"
            if alias and not has("registered_model_aliases", name=name, alias=alias):
                return f"no version of {name} has the alias {alias!r}"
            if version and not has("model_versions", name=name, version=version):
                return f"{name} has no version {version}"
        finally:
            connection.close()
    except sqlite3.Error:  # locked, or tables of another MLflow
        return None
    return None

"""Connects to MLflow without its usage reports and log lines; creates a local database whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..disk.files import locked
from .environment import QUIET
from .relocation import update_paths

_CREATION_SECONDS = 300.0  # more than MLflow's migrations take on a busy machine


def connect(uri: str) -> Any:
    """Return an MlflowClient that has had an answer to its first request.

    Raises:
        Exception: there is no answer. MLflow passes on any error of the server, the network or the database.
    """
    mlflow = import_mlflow()
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        _create(path)
        update_paths(path)
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def import_mlflow() -> Any:
    """Import mlflow, which takes seconds the first time, without its usage reports and log lines."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


@contextlib.contextmanager
def registry_at(uri: str) -> Iterator[None]:
    """Set MLflow's global address of the registry to ``uri`` until the block ends, then back to what it was."""
    mlflow, variable = import_mlflow(), "MLFLOW_REGISTRY_URI"
    from mlflow.tracking._model_registry import utils

    before, given = utils._registry_uri, os.environ.get(variable)
    mlflow.set_registry_uri(uri)  # sets the variable too
    try:
        yield
    finally:
        utils._registry_uri = before
        os.environ.pop(variable, None)
        if given is not None:
            os.environ[variable] = given


def _create(path: Path) -> None:
    """Create MLflow's database if there is none.

    MLflow takes seconds for its migrations. When two processes migrate at once, or one is killed meanwhile, the file
    stays unusable. So one process makes the file under a temporary name, and then links it to the right name.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, patience=_CREATION_SECONDS):
        if path.exists():
            return
        begun = f".{path.name}.creating"
        for leftover in path.parent.glob(f"{glob.escape(begun)}*"):
            leftover.unlink()
        temporary = path.with_name(f"{begun}-{secrets.token_hex(8)}")
        temporary.touch(exist_ok=False)  # never an existing file or a link
        import_mlflow().MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):  # a user's `mlflow ui` was faster
            os.link(temporary, path)
        temporary.unlink()

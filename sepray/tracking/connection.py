"""Connects to MLflow without its usage reports and log lines; creates a local database whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .environment import QUIET


def connect(uri: str) -> Any:
    """Return an MlflowClient that has had an answer to its first request.

    Raises:
        Exception: there is no answer; MLflow passes on errors of the server, of the network and of its database.
    """
    mlflow = import_mlflow()
    if uri.startswith("sqlite:///"):
        _create(Path(uri.removeprefix("sqlite:///")))
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def import_mlflow() -> Any:
    """Import mlflow (seconds at first) without its usage reports and log lines."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _create(path: Path) -> None:
    """Create MLflow's database if there is none.

    MLflow takes seconds for its migrations. When two processes migrate at once, or one is killed meanwhile, the file
    stays unusable. So one process makes it under a temporary name and then links it to its own.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.creating")
        for leftover in path.parent.glob(f"{temporary.name}*"):
            leftover.unlink()
        import_mlflow().MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):  # a user's `mlflow ui` was faster
            os.link(temporary, path)
        temporary.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the system's lock of a folder, which needs no lock file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

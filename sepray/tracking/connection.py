"""Connects to MLflow, without its usage reports and log lines; a new local database appears whole or not at all."""

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
    """Return an MlflowClient that has had an answer.

    Raises:
        MlflowException: there is no answer.
    """
    mlflow = import_mlflow()
    if uri.startswith("sqlite:///"):
        _create(Path(uri.removeprefix("sqlite:///")))
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    client.search_experiments(max_results=1)
    return client


def import_mlflow() -> Any:
    """Import mlflow (seconds, at first) quietly."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _create(path: Path) -> None:
    """Create MLflow's database where there is none.

    MLflow takes seconds for its migrations, and when two processes do that at once, or one is killed over
    it, the file stays unusable. So it is made beside, by one process, and then linked to its name.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if path.exists():
            return
        beside = path.with_name(f".{path.name}.creating")
        for leftover in path.parent.glob(f"{beside.name}*"):
            leftover.unlink()
        import_mlflow().MlflowClient(f"sqlite:///{beside}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):  # a user's `mlflow ui` was quicker
            os.link(beside, path)
        beside.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the system's lock of a folder, which needs no file of its own."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

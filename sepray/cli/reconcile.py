"""``sepray reconcile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from . import application


@application.command("reconcile")
def reconcile(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")],
    storage: str = application.STORAGE,
    tracking_uri: str | None = None,
    storage_path: str = "sepray-results",
    cache: Path = application.CACHE,
) -> None:
    """Complete in MLflow what a study could not tell it, from the study's own records, once; registers its champion.

    Example: sepray reconcile cass-ecg

    Args:
        name: of the study.
        storage: its Optuna storage.
        tracking_uri: of MLflow; default: MLFLOW_TRACKING_URI, or mlflow.db in this folder.
        storage_path: where the study keeps its files.
        cache: folder where generated and decoded data is kept.
    """
    application.study(storage, name)
    from ..console import preflight
    from ..errors import mask
    from ..tracking.environment import resolve_uri

    address = resolve_uri(tracking_uri)  # a database that is gone is made again
    preflight.require_listening(address, f"the tracking server {mask(address)}")
    application.own_modules()
    from ..driver.reconcile import reconcile as reconcile_study

    reconcile_study(name, storage, address, storage_path, cache)

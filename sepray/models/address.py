"""Addresses of models, checked before anything heavy (torch, MLflow) is imported."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..console import preflight
from ..errors import UsageError, mask
from ..tracking import pretrained
from ..tracking.environment import resolve_uri
from ..tracking.local_registry import missing_part

_MODEL = re.compile(r"models:/[^/@]+(@[^/@]+|/[^/@]+)|models:/m-[0-9a-f]+|runs:/.+")


def check_address(model: str) -> None:
    """Refuse a text that is neither the address of a model nor a folder with one.

    The registry is not asked for the model (``require_models`` does that); a ``pretrained:`` model must exist.

    Raises:
        UsageError: ``model`` is no such address and no such folder.
    """
    if pretrained.is_pretrained(model):
        pretrained.folder_of(model)
    elif model.startswith(("models:", "runs:")):
        if not _MODEL.fullmatch(model):
            raise UsageError(
                f"{model!r} is not the address of a model; give models:/NAME@champion or models:/NAME/VERSION"
            )
    elif not (Path(model) / "MLmodel").is_file():
        raise UsageError(
            f"{model} is neither a folder with a model (no MLmodel in it) nor an address such as models:/NAME@champion"
        )


def require_tracking(uri: str | None) -> str:
    """Return the URI of an MLflow that exists and answers: the given one, or else the default.

    Raises:
        UsageError: there is no such database.
        UnreachableError: the server does not answer.
    """
    preflight.require_tracking_address(uri or os.environ.get("MLFLOW_TRACKING_URI") or "mlflow.db")
    address = resolve_uri(uri)
    shown = mask(address)
    preflight.require_database(
        address,
        f"MLflow database {shown}: is this the folder of the study? Give --tracking-uri, in Python tracking_uri=",
    )
    preflight.require_listening(address, f"the tracking server {shown}")
    return address


def require_models(uri: str | None, *models: str) -> str | None:
    """Return the URI of an MLflow that has these models; return ``uri`` as it is if none of them is registered.

    Raises:
        UsageError: there is no such database, or it has no such model.
        UnreachableError: the server does not answer.
    """
    registered = [model for model in models if ":/" in model]
    if not registered:
        return uri
    address = require_tracking(uri)
    for model in registered:
        if missing := missing_part(model, address):
            raise UsageError(f"{model}: {missing} in {mask(address)}")
    return address

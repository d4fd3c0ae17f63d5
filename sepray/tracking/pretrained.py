"""Loads models that come with sepray, by addresses such as ``pretrained:ecg``; they need neither a study nor MLflow.

Each is a folder in ``sepray/pretrained/``: ``model.json`` (settings, data, scores), ``separator/`` with the JSON and
the weights of a packaged model (``tracking.packaging``), and ``README.md``, the model card. It has no source files: the
code that is installed here builds the separator. So only sepray itself has to be trusted, and no key signs the model;
its digest shows whether a file is damaged. ``models.make_pretrained`` makes them.

Imports no torch and no mlflow until a model is loaded.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import UsageError
from . import model_code
from .model_code import ModelCode, content_digest, module_here
from .packaged_model import DIGEST, ModelError, PackagedModel

if TYPE_CHECKING:  # brings torch
    from .loader import SeparationModel

PREFIX = "pretrained:"
"""Beginning of the addresses of models that come with sepray."""
DESCRIPTION, DATA, CARD = "model.json", "separator", "README.md"
"""Files and folder of a model."""
FOLDER = Path(__file__).parents[1] / "pretrained"


def names() -> list[str]:
    """Return the names of the models that come with sepray, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{DESCRIPTION}"))


def is_pretrained(address: str) -> bool:
    """Say whether an address is one of a model that comes with sepray."""
    return address.startswith(PREFIX)


def folder_of(address: str) -> Path:
    """Return the folder of a model.

    Raises:
        UsageError: no model of this name comes with sepray.
    """
    name = address.removeprefix(PREFIX)
    if name not in names():
        known = ", ".join(PREFIX + known for known in names()) or "none"
        raise UsageError(f"no model {address!r} comes with sepray; there are: {known}")
    return FOLDER / name


def describe(address: str) -> dict[str, Any]:
    """Return the content of a model's ``model.json``: task, settings, scores, digest.

    Raises:
        UsageError: no model of this name comes with sepray.
        ModelError: its file cannot be read.
    """
    path = folder_of(address) / DESCRIPTION
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{address} cannot be read: install sepray again ({error})") from error
    return described


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a model's configuration and weights."""
    return content_digest(ModelCode("", {}), folder / DATA)


def built_here(data: Path) -> SeparationModel:
    """Build a packaged model from its configuration and weights with the code that is installed here.

    Args:
        data: folder with ``separator.json`` and ``weights.safetensors``.

    Raises:
        UnknownNameError: only the model names its separator's module (``registry.require_named``).
    """
    from . import loader

    module = module_here(str(model_code.described(data)["module"]))
    registry.require_named("sepray.separators", module)
    return loader.load(str(data), importlib.import_module(module).Config)


def load(address: str) -> PackagedModel:
    """Load a model, with the code that is installed here.

    Raises:
        UsageError: no model of this name comes with sepray.
        ModelError: its files are damaged.
    """
    folder, described = folder_of(address), describe(address)
    try:
        if described.get(DIGEST) == digest_of(folder):
            return PackagedModel(folder, described, None, built_here(folder / DATA))
    except OSError as error:
        raise ModelError(f"{address} cannot be read: install sepray again ({error})") from error
    raise ModelError(f"{address} is damaged (another digest): install sepray again")

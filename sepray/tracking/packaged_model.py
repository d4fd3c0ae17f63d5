"""A packaged model in a local folder, loaded by the loader that travels with it, without MLflow, which takes seconds.

It does what ``mlflow.pyfunc.load_model`` does with such a folder: the folder ``code`` is looked in first while the
model's loader is imported, and the loader builds the separator from the folder ``data``.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ..errors import UsageError, mask

if TYPE_CHECKING:  # brings torch
    from .loader import SeparationModel

DESCRIPTION = "MLmodel"
"""Name of the file, in the folder of a packaged model, that describes it."""
DIGEST = "digest"
"""Key of the metadata that only the models of sepray have."""

_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C where PyYAML was built so


class ModelError(UsageError):
    """There is no such model, MLflow refused it, or it cannot be loaded; one line, without secrets."""


@dataclass(frozen=True)
class PackagedModel:
    """A packaged model that is loaded.

    Attributes:
        folder: folder that it was loaded from.
        metadata: values that it was packaged with: sources, sample rate, task, study, digest.
        run_id: MLflow run that it was logged into; None for none.
        separation: separator of the model, and the kind of signal that it was built for.
    """

    folder: Path
    metadata: Mapping[str, Any]
    run_id: str | None
    separation: SeparationModel = field(repr=False)

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator where there is one.

        Raises:
            ModelError: another number of channels or axes than the model takes.
        """
        signal = self.separation.signal
        if data.ndim != 2 + len(signal.shape) or data.shape[1] != signal.channels:
            axes = "time" if len(signal.shape) == 1 else "height, width"
            count = f"{signal.channels} channel{'s' * (signal.channels != 1)}"
            raise ModelError(f"the model takes mixtures [batch, channel, {axes}] of {count}, not {list(data.shape)}")
        return self.separation.predict(data, params)


def describe_folder(folder: Path, name: str) -> tuple[dict[str, Any], str | None]:
    """Return the metadata of a packaged model and the id of its run, without loading it.

    Args:
        folder: folder with the file ``MLmodel``.
        name: what messages call the model.

    Raises:
        ModelError: the file cannot be read, or sepray has not packaged the model.
    """
    described = _read(folder, name)
    return dict(described["metadata"]), described.get("run_id")


def load_folder(folder: Path, name: str) -> PackagedModel:
    """Load a packaged model.

    Args:
        folder: folder with the file ``MLmodel``.
        name: what messages call the model.

    Raises:
        ModelError: sepray has not packaged the model, or it cannot be loaded here (a library that it needs is missing,
            a file is damaged); the original error is its cause.
    """
    described = _read(folder, name)
    function = described["flavors"]["python_function"]
    with _refused(name), _first_on_path(folder / function.get("code", "code")):
        load: Callable[[str], SeparationModel] = importlib.import_module(function["loader_module"])._load_pyfunc
        separation = load(str(folder / function["data"]))
    return PackagedModel(folder, dict(described["metadata"]), described.get("run_id"), separation)


def _read(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of the file ``MLmodel``.

    Raises:
        ModelError: it cannot be read, describes no Python function, or is not sepray's.
    """
    with _refused(name):
        described: Any = yaml.load((folder / DESCRIPTION).read_text(encoding="utf-8"), _YAML)
    function = described.get("flavors", {}).get("python_function") if isinstance(described, dict) else None
    if not function:
        raise ModelError(f"{name} cannot be loaded: its file {DESCRIPTION} describes no model of Python")
    if DIGEST not in (described.get("metadata") or {}):
        raise ModelError(f"{name} is a model of MLflow, but not one that sepray packaged")
    content: dict[str, Any] = described
    return content


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    """Turn every error of a model's own files and code into a ModelError that names the model."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{name} cannot be loaded: it needs the module {error.name}, which is not installed"
        ) from error
    except Exception as error:
        lines = mask(str(error)).strip().splitlines() or [""]
        raise ModelError(f"{name} cannot be loaded: {type(error).__name__}: {lines[0][:500]}") from error


@contextlib.contextmanager
def _first_on_path(code: Path) -> Iterator[None]:
    """Let modules be imported from a folder; what is imported can import the rest of its package later too."""
    path = str(code)
    sys.path.insert(0, path)
    importlib.invalidate_caches()  # of folders that were written within the file system's resolution of time
    try:
        yield
    finally:
        sys.path.remove(path)

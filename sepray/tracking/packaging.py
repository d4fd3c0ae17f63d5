"""Packages a separator as an MLflow model that loads without sepray's source tree and without pickle."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..disk.files import replace_folder
from ..identity import python_number
from . import load_check, model_code, sources, trust
from .connection import import_mlflow
from .environment import default_variables
from .packaged_model import DIGEST, SIGNATURE, ModelError, is_sealed
from .sources import PackagingError

if TYPE_CHECKING:  # they import torch, which takes seconds; a model that does not exist is refused without it
    from ..contracts import Separator, SeparatorConfig


def package_model(
    folder: Path,
    *,
    separator: Separator,
    config: SeparatorConfig,
    example: np.ndarray,
    metadata: Mapping[str, Any],
) -> str:
    """Write a pyfunc model into ``folder``, replacing what is there; return the digest of its content.

    The model holds the weights (safetensors), the configuration (JSON), MLflow's signature, an example of the input,
    and the pinned versions of what it imports. It also holds copies of the source files that the separator needs, in a
    package with a name of its own, and the data files of the separator's installed package. No server is needed.

    If ``SEPRAY_MODEL_KEY`` is set, the digest and the metadata are signed with it. The digest of the source files is
    added to this user's list of trusted code, so that the model still loads here after the files have changed.

    Before the model takes its place, it is loaded in a clean process and separates the example there. If that process
    itself fails (it has too little memory, or takes two minutes), the model is kept, with a warning: a trained model is
    worth more than its check.

    Args:
        folder: where the model is written.
        separator: the trained separator.
        config: the configuration that built it, from the separator's module.
        example: mixtures ``[batch, channel, *signal]``, preferably a single short one.
        metadata: values that ``models.describe`` returns: sources, sample rate, task, study. JSON values.

    Raises:
        PackagingError: the separator has no source file, its configuration has no JSON form, or the packaged model
            cannot be loaded or cannot separate; ``folder`` is unchanged.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        work = Path(name)
        module = type(config).__module__
        files = sources.collect(module, f"{__package__}.loader")
        package = sources.copy(files, work / "code")
        _write_data(work / "separator", separator, config, module)
        code = model_code.read(work, {"loader_module": f"{package}.tracking.loader"})
        digest = model_code.content_digest(code, work / "separator")
        sealed = {DIGEST: digest, **({SIGNATURE: signed} if (signed := trust.signature(digest, metadata)) else {})}
        pins = sources.requirements(files, "mlflow", "numpy", "safetensors", "torch")
        _save(work, package, pins, separator, example, {**metadata, **sealed})
        if unknown := load_check.require_working(work / "model", package, files, _example(example)):
            warnings.warn(f"{folder}: the model was not checked ({unknown}); it is kept", stacklevel=2)
        replace_folder(folder, work / "model")
    trust.remember(code.digest)
    return digest


def _write_data(folder: Path, separator: Separator, config: SeparatorConfig, module: str) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in separator.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    description = {
        "module": sources.name_in_copy(module),
        "config": dataclasses.asdict(config),  # type: ignore[call-overload]
        "signal": dataclasses.asdict(separator.signal),
    }
    try:
        text = json.dumps(description, indent=1, default=_plain_number)
    except TypeError as error:
        raise PackagingError(
            f"the separator cannot be packaged: {module}.Config has a value without a JSON form ({error}); "
            "use numbers, texts, booleans, tuples and dataclasses of them"
        ) from None
    (folder / "separator.json").write_text(text, encoding="utf-8")


def _plain_number(value: object) -> bool | int | float:
    """Return a number of numpy's as one of Python's, which JSON can hold.

    Raises:
        TypeError: the value is no number.
    """
    number = python_number(value)
    if number is value:
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return number  # type: ignore[no-any-return] # the type depends on the value


def is_whole(folder: Path) -> bool:
    """Say whether a folder holds a model with the code, configuration and weights that it was packaged with."""
    try:
        return is_sealed(folder, str(folder))
    except (ModelError, OSError, ValueError):
        return False


def _example(mixtures: np.ndarray) -> np.ndarray:
    return np.asarray(mixtures, dtype=np.float32)


def _save(
    work: Path,
    package: str,
    pins: list[str],
    separator: Separator,
    example: np.ndarray,
    metadata: Mapping[str, Any],
) -> None:
    signal = separator.signal
    free = (-1,) * len(signal.shape)
    mlflow = import_mlflow()
    with default_variables({"MLFLOW_UV_AUTO_DETECT": "false"}), _without_lists_of_modules():
        from mlflow.models import ModelSignature
        from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

        kind = np.dtype(np.float32)
        signature = ModelSignature(
            inputs=Schema([TensorSpec(kind, (-1, signal.channels, *free))]),
            outputs=Schema([TensorSpec(kind, (-1, len(signal.sources), signal.source_channels, *free))]),
            params=ParamSchema([ParamSpec("device", DataType.string, "auto")]),
        )
        mlflow.pyfunc.save_model(
            str(work / "model"),
            loader_module=f"{package}.tracking.loader",
            data_path=str(work / "separator"),
            code_paths=[str(work / "code" / package)],
            signature=signature,
            input_example=_example(example),
            pip_requirements=pins,
            metadata=dict(metadata),
        )


@contextlib.contextmanager
def _without_lists_of_modules() -> Iterator[None]:
    """Keep MLflow from listing the modules of all installed packages, which takes a second of CPU.

    MLflow compares the pins with the installed packages, and uses the list for a pin that names a module. All pins here
    name a distribution.
    """
    utils, name = importlib.import_module("mlflow.utils.requirements_utils"), "_MODULES_TO_PACKAGES"
    if getattr(utils, name, {}) is not None:  # this MLflow has no such list, or has made it already
        yield
        return
    setattr(utils, name, {})
    try:
        yield
    finally:
        setattr(utils, name, None)

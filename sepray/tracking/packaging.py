"""Makes an MLflow model of a separator: loads without the sepray source tree, and without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sources
from .connection import import_mlflow
from .environment import environment

if TYPE_CHECKING:  # they bring torch, and who only asks for a model that there is none of need not wait for it
    from ..contracts import Separator, SeparatorConfig

DIGEST = "digest"


def package_model(
    folder: Path,
    *,
    separator: Separator,
    config: SeparatorConfig,
    example: np.ndarray,
    metadata: Mapping[str, Any],
) -> str:
    """Write a pyfunc model into ``folder``, replacing what is there; return the digest of its content.

    It holds the weights (safetensors), the configuration (JSON), copies of the source files that the
    separator needs, under a package name of their own, the signature, an example of the input, and the
    pinned versions of what it imports. No server is needed.

    Args:
        folder: of the model.
        separator: with the weights.
        config: that built it; its module is the separator's.
        example: mixtures ``[batch, channel, *signal]``; best a single short one.
        metadata: what ``describe`` shall give: sources, sample rate, task, study. JSON values.

    Raises:
        PackagingError: the separator's source file cannot be found.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        work = Path(name)
        module = type(config).__module__
        found = sources.collect(module, f"{__package__}.loader")
        package = sources.copy(found, work / "code")
        _write_data(work / "separator", separator, config, module)
        digest = _digest(work)
        pins = sources.requirements(found, "mlflow", "numpy", "safetensors", "torch")
        _save(work, package, pins, separator, example, {**metadata, DIGEST: digest})
        shutil.rmtree(folder, ignore_errors=True)
        (work / "model").rename(folder)
    return digest


def _write_data(folder: Path, separator: Separator, config: SeparatorConfig, module: str) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in separator.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    description = {
        "module": sources.moved(module),
        "config": dataclasses.asdict(config),  # type: ignore[call-overload]
        "signal": dataclasses.asdict(separator.signal),
    }
    (folder / "separator.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def _digest(folder: Path) -> str:
    """Digest of code, configuration and weights: equal for the same model packaged twice."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


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
    with environment({"MLFLOW_UV_AUTO_DETECT": "false"}):
        from mlflow.models import ModelSignature
        from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

        kind = np.dtype(np.float32)
        signature = ModelSignature(
            inputs=Schema([TensorSpec(kind, (-1, signal.channels, *free))]),
            outputs=Schema([TensorSpec(kind, (-1, len(signal.sources), signal.channels, *free))]),
            params=ParamSchema([ParamSpec("device", DataType.string, "auto")]),
        )
        mlflow.pyfunc.save_model(
            str(work / "model"),
            loader_module=f"{package}.tracking.loader",
            data_path=str(work / "separator"),
            code_paths=[str(work / "code" / package)],
            signature=signature,
            input_example=np.asarray(example, dtype=np.float32),
            pip_requirements=pins,
            metadata=dict(metadata),
        )

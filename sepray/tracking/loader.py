"""Loads and serves a packaged model; a copy of this file travels with each model.

``mlflow.pyfunc.load_model`` calls ``_load_pyfunc``. In the model's folder ``data/separator`` lie
``separator.json`` (which module, its configuration, the signal) and ``weights.safetensors``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import threading
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from ..contracts import Separator, Signal
from .served import ServedModel

ITEMS_AT_ONCE = 256
VALUES_AT_ONCE = 2**22
"""Most values of mixtures that are separated at once; so a batch of long items has fewer of them."""
_TIMES_WEIGHTS, _BESIDE_WEIGHTS = 4, 2**28
"""The most bytes that building a separator may allocate: this multiple of the size of its weights, plus these bytes."""
_MOST_TENSORS = 20_000  # tensors made to build a separator: one of millions of layers would take hours
_MAKERS = frozenset(
    {
        torch.empty,
        torch.zeros,
        torch.ones,
        torch.full,
        torch.rand,
        torch.randn,
        torch.randint,
        torch.randperm,
        torch.eye,
    }
    | {torch.arange, torch.linspace, torch.logspace, torch.hann_window, torch.hamming_window, torch.empty_strided}
    | {torch.tril_indices, torch.triu_indices}
)
_DEVICES = ("cpu", "cuda", "mps", "xpu")  # "meta" would lose the weights


class SeparationModel:
    """A separator that takes and returns arrays.

    Attributes:
        separator: the separator, in evaluation mode.
        signal: names of the sources, channels, sample rate.
    """

    def __init__(self, separator: Separator, signal: Signal) -> None:
        self.separator = separator.eval().requires_grad_(False)
        self.signal = signal
        self._lock = threading.Lock()  # a server calls from several threads, and a call may move the weights

    def predict(self, data: np.ndarray, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Separate ``[batch, channel, *signal]`` into ``[batch, source, channel, *signal]``, both float32.

        Args:
            data: mixtures.
            params: ``{"device": "cuda"}``; "auto" (default) is an accelerator if there is one.

        Raises:
            ValueError: the mixtures are no real numbers or have another number of dimensions or channels, or this
                machine has no such device.
        """
        given = np.asarray(data)
        if given.dtype.kind not in "biuf":  # NumPy would turn dates into numbers, and drop imaginary parts
            raise ValueError(f"mixtures are real numbers, not {given.dtype}")
        array = given.astype(np.float32, copy=False)
        if array.ndim != 2 + len(self.signal.shape) or array.shape[1] != self.signal.channels:
            axes = "time" if len(self.signal.shape) == 1 else "height, width"
            raise ValueError(f"expected [batch, {self.signal.channels} channel(s), {axes}], got {list(array.shape)}")
        device = _device(str((params or {}).get("device", "auto")))
        if not len(array):
            return np.zeros((0, len(self.signal.sources), self.signal.source_channels, *array.shape[2:]), np.float32)
        mixture = torch.from_numpy(np.ascontiguousarray(array))
        at_once = max(1, min(ITEMS_AT_ONCE, VALUES_AT_ONCE // max(1, mixture[0].numel())))
        with self._lock, torch.no_grad():
            self._move(device)
            parts = [self.separator.separate(part.to(device)).float().cpu() for part in mixture.split(at_once)]
        return torch.cat(parts).numpy()

    def _move(self, device: torch.device) -> None:
        """Move the weights to a device; if it does not take all of them, move them back to the CPU."""
        try:
            self.separator.to(device)
        except Exception:
            self.separator.to("cpu")
            raise


def _device(name: str) -> torch.device:
    """Return a device by its name.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type in _DEVICES:
            torch.empty(1, device=device)
            return device
    except (RuntimeError, AssertionError, ValueError):  # torch has no such name, or was built without it
        pass
    raise ValueError(f"there is no device {name[:50]!r} here; give auto, cpu or cuda")


def _load_pyfunc(folder: str) -> ServedModel:
    """Build the separator and load its weights; MLflow calls this with the folder ``data/separator``."""
    root = __name__.rpartition(".tracking.")[0]
    return ServedModel(load(folder, importlib.import_module(f"{root}.{described(folder)['module']}").Config))


def described(folder: str) -> dict[str, Any]:
    """Return the content of ``separator.json``: the separator's module, configuration and signal, as JSON values."""
    description: dict[str, Any] = json.loads((Path(folder) / "separator.json").read_text(encoding="utf-8"))
    return description


def load(folder: str, config_class: Any) -> SeparationModel:
    """Build the separator from its configuration, a JSON form of ``config_class``, and load its weights."""
    description, weights = described(folder), Path(folder) / "weights.safetensors"
    signal = _rebuild(Signal, description["signal"])
    most = _TIMES_WEIGHTS * weights.stat().st_size + _BESIDE_WEIGHTS
    with torch.random.fork_rng(devices=[]), _Bounded(most):  # building draws initial weights; the caller's state stays
        separator = _rebuild(config_class, description["config"]).build(signal)
    separator.load_state_dict(load_file(weights))
    return SeparationModel(separator, signal)


class _Bounded(TorchFunctionMode):
    """Refuses to make tensors that are together larger than a model with such weights can need."""

    def __init__(self, most: int) -> None:
        """Allow so many bytes."""
        super().__init__()
        self._left, self._tensors = most, _MOST_TENSORS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a tensor if there is room for it; other functions are called as usual.

        Raises:
            ValueError: there is no room for the tensor.
        """
        given = kwargs or {}
        if func in _MAKERS and "out" not in given:
            plan = func(*args, **{k: v for k, v in given.items() if k != "generator"} | {"device": "meta"})
            self._left -= plan.numel() * plan.element_size()
            self._tensors -= 1
            if self._left < 0 or self._tensors < 0:
                raise ValueError("its settings ask for a model much larger than its weights")
        return func(*args, **given)


def _rebuild(kind: Any, value: Any) -> Any:
    """Return a dataclass from its JSON form; sequences become tuples."""
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _rebuild(hints[name], part) for name, part in value.items()})  # type: ignore[operator]
    return tuple(_rebuild(None, part) for part in value) if isinstance(value, list) else value

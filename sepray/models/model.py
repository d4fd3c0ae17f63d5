"""A trained model, loaded from a registry or a folder, that separates arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..console import preflight
from ..errors import UsageError
from ..plain_text import in_one_line
from .address import check_address, require_models

if TYPE_CHECKING:
    from ..tracking.packaged_model import PackagedModel

Address = str | os.PathLike[str]

_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")


class Model:
    """A trained model.

    Example::

        model = sepray.load_model("models:/cass-ecg@champion")
        estimates = model.separate(mixtures)  # [batch, channel, time] -> [batch, source, channel, time]

    Attributes:
        name: address that it was loaded from, e.g. ``models:/cass-ecg@champion``.
        sources: names of the sources that it separates, in the order of the source axis.
        sample_rate: rate of its signals in Hz; None for images.
        channels: number of channels of its mixtures.
        source_channels: number of channels of its estimates; they are the first channels of the mixture.
        shape: ``*signal`` of the items that it was trained on, e.g. ``(504,)`` samples.
        device: device that it separates on: ``cpu``, ``cuda``, ``cuda:1`` ...; ``auto`` is a GPU if there is one.
        metadata: metadata of the package: study, task with its settings, metric, hyperparameters, digest.
        run_id: MLflow run that it was logged into; None if it is not in MLflow.
    """

    def __init__(self, name: str, packaged: PackagedModel, device: str = "auto") -> None:
        signal = packaged.separation.signal
        self.name = name
        self.sources: tuple[str, ...] = tuple(signal.sources)
        self.sample_rate: float | None = signal.sample_rate
        self.channels: int = signal.channels
        self.source_channels: int = signal.source_channels
        self.shape: tuple[int, ...] = tuple(signal.shape)
        self.device = device
        self.metadata: Mapping[str, Any] = packaged.metadata
        self.run_id = packaged.run_id
        self._packaged = packaged

    def separate(self, mixtures: ArrayLike) -> NDArray[np.float32]:
        """Separate mixtures of any length that the method can take.

        Args:
            mixtures: ``[batch, channel, *signal]``, at the model's sample rate.

        Returns:
            The estimates, ``[batch, source, channel, *signal]``, in the order of ``sources``.

        Raises:
            UsageError: the mixtures have another number of axes or channels than the model takes.
        """
        array = np.asarray(mixtures, dtype=np.float32)
        return np.asarray(self._packaged.predict(array, {"device": self.device}), dtype=np.float32)

    def __repr__(self) -> str:
        rate = "images" if self.sample_rate is None else f"{self.sample_rate:g} Hz"
        sources = in_one_line(", ".join(self.sources))
        return f"Model({self.name!r}: {sources}; {self.channels} channel(s); {rate})"


def load_model(
    uri: Address, tracking_uri: str | None = None, device: str = "auto", trust_model_code: bool = False
) -> Model:
    """Load a trained model.

    Example::

        model = sepray.load_model("models:/cass-ecg@champion")
        model.sources  # ('maternal', 'fetal')

    Args:
        uri: ``models:/NAME@champion``, ``models:/NAME/VERSION``, a folder with an ``MLmodel`` file, or
            ``pretrained:ecg``, which comes with sepray.
        tracking_uri: MLflow tracking server or database; None: ``$MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the
            current folder.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., ``mps``; ``auto`` takes a GPU if there is one.
        trust_model_code: run code in the model even if it is neither installed here nor of your own studies. It runs
            with all your rights, in a process of its own.

    Raises:
        UsageError: there is no such model or device, sepray has not packaged the model, its code is not trusted, or it
            cannot be loaded here.
        UnreachableError: the tracking server does not answer.
    """
    address = os.fspath(uri)
    check_address(address)
    check_device(device)
    found = require_models(tracking_uri, address)
    from ..tracking import models, trust  # bring torch when they load

    with trust.consent(trust_model_code):
        packaged = models.load(address, found)
    _require_device(device)
    return Model(address, packaged, device)


def loaded(model: Address | Model, tracking_uri: str | None = None, device: str = "auto") -> Model:
    """Return a model as it is, or load the one at an address."""
    return model if isinstance(model, Model) else load_model(model, tracking_uri, device)


def check_model(model: Address | Model, device: str) -> None:
    """Check the address of a model, unless it is loaded, and the name of a device, without importing torch.

    Raises:
        UsageError: ``model`` is no address, or there is no such device.
    """
    if not isinstance(model, Model):
        check_address(os.fspath(model))
    check_device(device)


def check_device(name: str) -> None:
    """Check that a text is the name of a device, and that a GPU so named is there, without importing torch.

    Raises:
        UsageError: there is no such device.
    """
    if not _DEVICE.fullmatch(name):
        raise UsageError(f"unknown device {name!r}; there are cpu, cuda, cuda:1 ..., mps and auto")
    gpus = preflight.count_gpus() if name.startswith("cuda") else None  # counted as Ray does
    if gpus is not None and int(name.partition(":")[2] or 0) >= gpus:
        raise UsageError(f"there is no device {name!r}: this machine has {gpus} GPUs")


def _require_device(name: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    if name == "auto":
        return
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError):
        raise UsageError(f"there is no device {name!r}; `sepray doctor` lists the devices of this machine") from None

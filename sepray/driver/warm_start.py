"""Makes the estimates of another separator that training starts from.

A separator that starts from such estimates has the fields ``start`` and ``start_epochs`` in its ``Config``. The start
is one of

- ``"constant"``: no other separator;
- the name of a separator, which is trained first, for ``start_epochs`` epochs with its default settings, on the same
  view of the data and with the study's seed. This happens once for each study, in the driver;
- a registered model (``models:/NAME@champion``) or the folder of a packaged one.

The estimates of the training mixtures are kept in the study's folder and join the training view as ``data["start"]``,
``[item, source, channel, *signal]``. The other separator may not have seen more of the data than the separator itself
may see, because its estimates would pass that on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import identity, registry
from ..console import preflight
from ..console.terminal import console
from ..contracts import Augmentation, Oracle, SeparatorConfig, Signal, Supervision, Tensors
from ..errors import UsageError, mask
from ..execution import checkpoint
from ..tracking import models
from ..tracking.environment import resolve_uri
from ..tracking.packaged_model import DIGEST
from ..training.finite import NonFiniteLossError
from ..training.trainer import Trainer, build

CONSTANT = "constant"
_ITEMS_AT_ONCE = 64

Separate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class WarmStart:
    """The other separator, and where its estimates are kept.

    Attributes:
        name: name of the start in the separator's configuration.
        identity: plain values and configurations that the estimates depend on, beside the task and the seed.
        separator: function of the training view, its augmentation, the seed and the device. It returns the function
            that separates mixtures.
    """

    name: str
    identity: dict[str, Any]
    separator: Callable[[Tensors, Augmentation, int, str], Separate]

    def add_to(
        self, view: Tensors, augmentation: Augmentation, seed: int, device: str, folder: str
    ) -> dict[str, Tensor]:
        """Return the training view with the estimates as ``start``.

        Args:
            view: training view of the separator.
            augmentation: augmentation of the training items.
            seed: seed of the study.
            device: ``"cpu"`` or ``"cuda"``.
            folder: path or URI where the estimates are kept, and found again by the next start of the study.

        Raises:
            UsageError: the other separator could not be trained.
        """
        key = identity.digest({"start": self.identity, "seed": seed})
        kept = checkpoint.newest(folder)
        if kept is not None and kept.metadata.get("identity") == key:
            return {**view, "start": kept.tensors["start"]}
        separate = self.separator(view, augmentation, seed, device)
        estimates = torch.cat([separate(part.to(device)).cpu() for part in view["mixture"].split(_ITEMS_AT_ONCE)])
        checkpoint.save(folder, 0, {"start": estimates}, {"identity": key})
        return {**view, "start": estimates}


def find(config: Any, signal: Signal, supervision: Supervision, tracking_uri: str) -> WarmStart | None:
    """Return the other separator that a configuration wants to start from; None if it wants none.

    Args:
        config: configuration of the separator to be trained.
        signal: signal of the task.
        supervision: what the separator to be trained may see.
        tracking_uri: address of MLflow with the model registry.

    Raises:
        UsageError: there is no such separator or model, or it does not fit the task or the supervision.
        UnreachableError: the tracking server does not answer.
    """
    name = getattr(config, "start", CONSTANT)
    if name == CONSTANT:
        return None
    if ":/" in name or (Path(name).is_dir() and name not in registry.names("sepray.separators")):
        return _model(name, signal, supervision, tracking_uri)
    return _separator(name, config.start_epochs, signal, supervision)


def _separator(name: str, epochs: int, signal: Signal, supervision: Supervision) -> WarmStart:
    try:
        config: SeparatorConfig = registry.config("sepray.separators", name)
        model = config.build(signal)
    except registry.UnknownNameError:
        there = ", ".join(registry.names("sepray.separators"))
        raise UsageError(
            f"there is no start {name!r}: give {CONSTANT}, a separator ({there}), a registered model "
            f"(models:/NAME@champion) or the folder of a packaged one"
        ) from None
    except UsageError as error:
        raise UsageError(f"the start {name} does not fit the task: {error}") from None
    if isinstance(model, Oracle):
        raise UsageError(f"the start {name} is an oracle, which cannot separate anything without the true sources")
    _refuse_wider_supervision(name, model.supervision.value, supervision)

    def separator(view: Tensors, augmentation: Augmentation, seed: int, device: str) -> Separate:
        console.print(f"training {name} for {epochs} epochs: the study starts from its estimates")
        model = build(config, signal, seed)
        trainer = Trainer(model, view, {}, seed, config.batch_size, config.betas, device, augmentation)
        try:
            for _ in range(epochs):
                trainer.epoch()
        except NonFiniteLossError as error:
            raise UsageError(f"the start {name} cannot be trained: {error}; give a trained model instead") from None
        return trainer.separator.eval().separate

    described = {"separator": name, "config": config, "epochs": epochs, "hyperparameters": model.hyperparameters()}
    return WarmStart(name, described, separator)


def _model(name: str, signal: Signal, supervision: Supervision, tracking_uri: str) -> WarmStart:
    if ":/" in name:
        address = resolve_uri(tracking_uri)
        preflight.require_database(address, f"MLflow database {mask(address)} with the start {name}")
    loaded = models.load(name, tracking_uri)
    described = loaded.metadata
    if list(signal.sources) != described.get("sources") or signal.sample_rate != described.get("sample_rate"):
        kind = ", ".join(signal.sources) + (f" at {signal.sample_rate:g} Hz" if signal.sample_rate else "")
        raise UsageError(f"the start {name} does not separate the sources of the task: {kind}")
    _refuse_wider_supervision(name, described.get("supervision", Supervision.PAIRED.value), supervision)
    separate = models.as_function(loaded)
    return WarmStart(name, {"model": described[DIGEST]}, lambda view, augmentation, seed, device: separate)


def _refuse_wider_supervision(name: str, other: str, own: Supervision) -> None:
    """Refuse another separator that was trained on more than the separator itself may see."""
    if own is not Supervision.PAIRED and other not in (own.value, Supervision.NONE.value):
        raise UsageError(f"the start {name} is trained on more than this separator may see: {other}, not {own.value}")

"""What another separator makes of the training mixtures, for separators that start from that.

A separator that does has in its Config the fields ``start`` (``"constant"``: from nothing) and ``start_epochs``. Where
``start`` names a separator, that one is trained first, with its default settings, on the same view and from the
study's seed: once a study, in the driver. Where it is a registered or packaged model, that is loaded. Either way the
estimates of the training mixtures are kept in the study's folder and join the view as ``data["start"]``,
``[item, source, channel, *signal]``. What another separator was allowed to see must not be more than what the
separator itself may: its estimates would carry it over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from ..tracking.packaging import DIGEST
from ..training.trainer import NonFiniteLossError, Trainer, build

CONSTANT = "constant"
_ITEMS_AT_ONCE = 64

Separate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Start:
    """Where a study's separators start from.

    Attributes:
        name: as it was given.
        identity: all that the estimates depend on beside the task and the seed; plain values and configurations.
        separator: gives the function that separates mixtures, from the training view, its augmentation, the seed and
            the device.
    """

    name: str
    identity: dict[str, Any]
    separator: Callable[[Tensors, Augmentation, int, str], Separate]

    def added(self, seen: Tensors, augment: Augmentation, seed: int, device: str, folder: str) -> dict[str, Tensor]:
        """Return the training view with ``start``; ``folder`` (a path or a URI) keeps it for the next time.

        Raises:
            UsageError: the separator could not be trained.
        """
        known = identity.digest({"start": self.identity, "seed": seed})
        found = checkpoint.newest(folder)
        if found is not None and found.metadata.get("identity") == known:
            return {**seen, "start": found.tensors["start"]}
        separate = self.separator(seen, augment, seed, device)
        parts = [separate(part.to(device)).cpu() for part in seen["mixture"].split(_ITEMS_AT_ONCE)]
        start = torch.cat(parts)
        checkpoint.save(folder, 0, {"start": start}, {"identity": known})
        return {**seen, "start": start}


def find(config: Any, signal: Signal, supervision: Supervision, tracking_uri: str) -> Start | None:
    """Return where a configuration says that training starts from; None where that is nothing.

    Args:
        config: of the separator to be trained.
        signal: of the task.
        supervision: of the separator to be trained.
        tracking_uri: of the registry.

    Raises:
        UsageError: there is no such separator or model, or it does not fit.
        UnreachableError: the tracking server does not answer.
    """
    name = getattr(config, "start", CONSTANT)
    if name == CONSTANT:
        return None
    if ":/" in name or (Path(name).is_dir() and name not in registry.names("sepray.separators")):
        return _model(name, signal, supervision, tracking_uri)
    return _separator(name, config.start_epochs, signal, supervision)


def _separator(name: str, epochs: int, signal: Signal, supervision: Supervision) -> Start:
    try:
        config: SeparatorConfig = registry.config("sepray.separators", name)
        model = config.build(signal)
    except registry.UnknownNameError:
        there = ", ".join(registry.names("sepray.separators"))
        raise UsageError(
            f"there is no start {name!r}: give {CONSTANT}, a separator ({there}), a registered model "
            f"(models:/NAME@champion) or the folder of a packaged one"
        ) from None
    except ValueError as error:
        raise UsageError(f"the start {name} does not fit the task: {error}") from None
    if isinstance(model, Oracle):
        raise UsageError(f"the start {name} is an oracle, which separates nothing but what is known already")
    _check_supervision(name, model.supervision.value, supervision)

    def separator(seen: Tensors, augment: Augmentation, seed: int, device: str) -> Separate:
        console.print(f"training {name} for {epochs} epochs: its estimates are what the study starts from")
        model = build(config, signal, seed)
        trainer = Trainer(model, seen, {}, seed, config.batch_size, config.betas, device, augment)
        try:
            for _ in range(epochs):
                trainer.epoch()
        except NonFiniteLossError as error:
            raise UsageError(f"the start {name} cannot be trained: {error}; give a trained model instead") from None
        return trainer.separator.eval().separate

    described = {"separator": name, "config": config, "epochs": epochs, "hyperparameters": model.hyperparameters()}
    return Start(name, described, separator)


def _model(name: str, signal: Signal, supervision: Supervision, tracking_uri: str) -> Start:
    if ":/" in name:
        address = resolve_uri(tracking_uri)
        preflight.require_database(address, f"MLflow database {mask(address)} to take the start {name} from")
    loaded = models.load(name, tracking_uri)
    described = loaded.metadata.metadata or {}
    if list(signal.sources) != described.get("sources") or signal.sample_rate != described.get("sample_rate"):
        kind = ", ".join(signal.sources) + (f" at {signal.sample_rate:g} Hz" if signal.sample_rate else "")
        raise UsageError(f"the start {name} does not separate what the task has: {kind}")
    _check_supervision(name, described.get("supervision", Supervision.PAIRED.value), supervision)

    def separate(mixture: Tensor) -> Tensor:
        return torch.from_numpy(np.array(loaded.predict(mixture.cpu().numpy())))

    return Start(name, {"model": described[DIGEST]}, lambda seen, augment, seed, device: separate)


def _check_supervision(name: str, other: str, own: Supervision) -> None:
    """Refuse a start that was shown more than the separator may see."""
    if own is not Supervision.PAIRED and other not in (own.value, Supervision.NONE.value):
        raise UsageError(f"the start {name} is trained on more than this separator may see: {other}, not {own.value}")

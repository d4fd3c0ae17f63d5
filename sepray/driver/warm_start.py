"""Warm starts: trains or loads another separator, whose estimates a separator's training begins with.

A separator that takes such estimates has the fields ``start`` and ``start_epochs`` in its ``Config``. ``start`` is one
of

- ``"constant"``: no other separator;
- the name of a separator, which is trained first, for ``start_epochs`` epochs on the same view of the data. Fields of
  its ``Config`` and hyperparameters may follow the name: ``"glo_masking:paper learning_rate=0.002"``; all others have
  their defaults. It is trained in the driver: once with the study's seed for all trials of the search, and once with
  the seed of each retraining, to whose time its own is added;
- a registered model (``models:/NAME@champion``), one that comes with sepray (``pretrained:ecg``), or the folder of a
  packaged one.

Its estimates of the training mixtures are kept in the study's folder and join the training view as ``data["start"]``,
``[item, source, channel, *signal]``. It may not have seen more of the data than the separator itself may see, because
its estimates would pass that on.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .. import identity, registry
from ..console import preflight
from ..console.terminal import console
from ..contracts import Augmentation, Oracle, SeparatorConfig, Signal, Supervision, Tensors
from ..errors import UsageError, mask
from ..execution import checkpoint
from ..execution.devices import is_here
from ..spec.permissions import Permissions
from ..tracking import models, pretrained, trust
from ..tracking.environment import resolve_uri
from ..tracking.packaged_model import DIGEST, PackagedModel
from ..training.finite import NonFiniteLossError
from ..training.trainer import Trainer, build

CONSTANT = "constant"
_ITEMS_AT_ONCE = 64

Separate = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class WarmStart:
    """The other separator of a warm start.

    Attributes:
        name: what the field ``start`` of the separator's configuration says.
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
        """Return the training view with the estimates as ``start``; the arguments are those of ``estimates``."""
        return {**view, "start": self.estimates(view, augmentation, seed, device, folder)[0]}

    def estimates(
        self, view: Tensors, augmentation: Augmentation, seed: int, device: str, folder: str
    ) -> tuple[Tensor, float]:
        """Return the other separator's estimates of the training mixtures, and the seconds that this took.

        They are ``[item, source, channel, *signal]``, and are read from ``folder`` if an earlier start has kept them.

        Args:
            view: training view of the separator.
            augmentation: augmentation of the training items.
            seed: seed of the other separator's training.
            device: device of the trials in torch's words, such as ``"cpu"`` or ``"cuda"``. A driver that lacks it, as
                on the head of a cluster, computes on its CPU instead, and says so.
            folder: path or URI where the estimates are kept.

        Raises:
            UsageError: the other separator could not be trained.
        """
        key = identity.digest({"start": self.identity, "seed": seed})
        kept = checkpoint.newest(folder)
        if kept is not None and kept.metadata.get("identity") == key and "start" in kept.tensors:
            return kept.tensors["start"], float(kept.metadata.get("seconds", 0.0))
        began = time.monotonic()
        if not is_here(device):
            console.print(
                f"this process has no {device}: the warm start {self.name} is computed on its CPU; trials are on "
                f"{device}",
                soft_wrap=True,
            )
            device = "cpu"
        separate = self.separator(view, augmentation, seed, device)
        estimates = torch.cat([separate(part.to(device)).cpu() for part in view["mixture"].split(_ITEMS_AT_ONCE)])
        seconds = time.monotonic() - began
        checkpoint.save(folder, 0, {"start": estimates}, {"identity": key, "seconds": seconds})
        return estimates, seconds


def find(config: Any, signal: Signal, supervision: Supervision, tracking_uri: str) -> WarmStart | None:
    """Return the other separator that a configuration names for its warm start; None if it names none.

    A field ``start`` without a field ``start_epochs`` is the separator's own, and means something else.

    Args:
        config: configuration of the separator to be trained.
        signal: signal of the task.
        supervision: what the separator to be trained may see.
        tracking_uri: address of MLflow with the model registry.

    Raises:
        UsageError: there is no such separator or model, or it does not fit the task or the supervision.
        UnreachableError: the tracking server does not answer.
    """
    name = getattr(config, "start", CONSTANT) if hasattr(config, "start_epochs") else CONSTANT
    if name == CONSTANT:
        return None
    is_folder = os.path.isdir(name) and name not in registry.names("sepray.separators")
    if ":/" in name or pretrained.is_pretrained(name) or is_folder:
        return _model(name, signal, supervision, tracking_uri)
    return _separator(name, config.start_epochs, signal, supervision)


def _separator(text: str, epochs: int, signal: Signal, supervision: Supervision) -> WarmStart:
    name, *settings = text.split() or [text]
    try:
        config: SeparatorConfig = registry.config("sepray.separators", name)
        config, given = _with_settings(name, config, settings)
        model = config.build(signal)
    except registry.UnknownNameError:
        there = ", ".join(registry.names("sepray.separators"))
        raise UsageError(
            f"there is no warm start {name!r}: give {CONSTANT}, a separator ({there}), a registered model "
            f"(models:/NAME@champion) or the folder of a packaged one"
        ) from None
    except UsageError as error:
        raise UsageError(f"the warm start {name} does not fit the task: {error}") from None
    if isinstance(model, Oracle):
        raise UsageError(f"the warm start {name} is an oracle, which cannot separate anything without the true sources")
    _refuse_wider_supervision(f"the warm start {name}", model.supervision.value, supervision)

    def separator(view: Tensors, augmentation: Augmentation, seed: int, device: str) -> Separate:
        console.print(f"training {name} for {epochs} epochs: the study starts from its estimates")
        model = build(config, signal, seed)
        trainer = Trainer(model, view, given, seed, config.batch_size, config.betas, device, augmentation)
        try:
            for _ in range(epochs):
                trainer.epoch()
        except NonFiniteLossError as error:
            raise UsageError(
                f"the warm start {name} cannot be trained: {error}; give a trained model instead"
            ) from None
        return trainer.separator.eval().separate

    if unknown := sorted(set(given) - set(model.hyperparameters())):
        known = ", ".join([*(f.name for f in fields(config)), *model.hyperparameters()])  # type: ignore[arg-type]
        raise UsageError(f"the warm start {name} has no setting {', '.join(unknown)}; it has {known}")
    hyperparameters = {**model.hyperparameters(), **given}
    described = {"separator": name, "config": config, "epochs": epochs, "hyperparameters": hyperparameters}
    return WarmStart(name, described, separator)


def _with_settings(
    name: str, config: SeparatorConfig, settings: Sequence[str]
) -> tuple[SeparatorConfig, dict[str, float]]:
    """Return ``config`` with the settings that are its fields, and the other settings, taken for hyperparameters.

    Raises:
        UsageError: a setting does not have the form ``FIELD=VALUE``, or a value is of a wrong type.
    """
    own = {f.name for f in fields(config)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    others: dict[str, float] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        field = key.replace("-", "_")
        try:
            if not equals:
                raise ValueError("it has no value")
            if field in own:
                changes[field] = _as_type_of(getattr(config, field), value)
            else:
                others[field] = float(value)
        except ValueError as error:
            raise UsageError(f"the warm start {name}: {setting!r} is no setting FIELD=VALUE ({error})") from None
    return replace(config, **changes), others  # type: ignore[type-var]


def _as_type_of(present: Any, value: str) -> Any:
    if isinstance(present, tuple):
        return tuple(_as_type_of(present[0] if present else "", part) for part in value.split(","))
    if isinstance(present, bool):
        return {"True": True, "False": False}[value] if value in ("True", "False") else int(value) != 0
    return value if isinstance(present, str) else (int if isinstance(present, int) else float)(value)


def _model(name: str, signal: Signal, supervision: Supervision, tracking_uri: str) -> WarmStart:
    loaded = load_model("the warm start", name, signal, supervision, tracking_uri)
    separate = models.as_function(loaded)
    return WarmStart(name, {"model": loaded.metadata[DIGEST]}, lambda view, augmentation, seed, device: separate)


def trusting(permitted: Permissions | None) -> contextlib.AbstractContextManager[None]:
    """Return a context in which the code of models runs if ``--trust-model-code`` permits it."""
    return trust.consent(permitted is not None and permitted.trust_model_code)


def load_model(what: str, name: str, signal: Signal, supervision: Supervision, tracking_uri: str) -> PackagedModel:
    """Return a trained model whose estimates or weights a training may begin with.

    Args:
        what: what the model is, for messages: ``the warm start`` or ``the initial model``.
        name: address of the model.
        signal: signal of the task.
        supervision: what the separator to be trained may see.
        tracking_uri: address of MLflow with the model registry.

    Raises:
        UsageError: there is no such model, it separates other sources, or it was trained on more than the separator may
            see.
        UnreachableError: the tracking server does not answer.
    """
    if ":/" in name:
        address = resolve_uri(tracking_uri)
        preflight.require_database(address, f"MLflow database {mask(address)} with {what} {name}")
    loaded = models.load(name, tracking_uri)
    described = loaded.metadata
    if list(signal.sources) != described.get("sources") or signal.sample_rate != described.get("sample_rate"):
        kind = ", ".join(signal.sources) + (f" at {signal.sample_rate:g} Hz" if signal.sample_rate else "")
        raise UsageError(f"{what} {name} does not separate the sources of the task: {kind}")
    trained_with = str(described.get("supervision", Supervision.PAIRED.value))
    _refuse_wider_supervision(f"{what} {name}", trained_with, supervision)
    return loaded


def _refuse_wider_supervision(what: str, other: str, own: Supervision) -> None:
    """Refuse a separator or model that was trained on more than the study's separator may see.

    Args:
        what: its name, for the message.
        other: the supervision that it was trained with, a value of ``Supervision``.
        own: supervision of the study's separator.

    Raises:
        UsageError: it has seen more.
    """
    if own is not Supervision.PAIRED and other not in (own.value, Supervision.NONE.value):
        raise UsageError(f"{what} was trained on more than this separator may see: {other}, not {own.value}")

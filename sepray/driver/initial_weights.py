"""Reads the weights of a trained model, which every training of a study begins with (``--start``).

A study that starts from a model challenges it too: its final table has a row of the model as it comes, and the model's
own digest is part of what makes the study the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..console import preflight
from ..contracts import Separator
from ..errors import UsageError, mask
from ..tracking import models, pretrained
from ..tracking.environment import resolve_uri
from ..tracking.packaged_model import DIGEST, PackagedModel
from .warm_start import refuse_wider_supervision


@dataclass(frozen=True)
class InitialWeights:
    """A trained model that a study starts from.

    Attributes:
        name: its address.
        digest: SHA-256 of the model.
        values: its parameters and buffers by name.
        model: the model, for its row of the final table.
    """

    name: str
    digest: str
    values: dict[str, np.ndarray[Any, Any]] = field(repr=False)
    model: PackagedModel = field(repr=False)


def find(start: str, separator: Separator, tracking_uri: str) -> InitialWeights | None:
    """Return the model that trainings begin with; None where the study names none.

    Args:
        start: address of the model; empty for none.
        separator: an untrained separator of the study.
        tracking_uri: MLflow of a registered model.

    Raises:
        UsageError: there is no such model, or it is of another separator, other sources, or saw more than the study's.
        UnreachableError: the tracking server does not answer.
    """
    if not start:
        return None
    if ":/" in start:
        address = resolve_uri(tracking_uri)
        preflight.require_database(address, f"MLflow database {mask(address)} with the start {start}")
    elif pretrained.is_pretrained(start):
        pretrained.folder_of(start)
    loaded = models.load(start, tracking_uri)
    signal = separator.signal
    if list(signal.sources) != loaded.metadata.get("sources") or signal.sample_rate != loaded.metadata["sample_rate"]:
        kind = ", ".join(signal.sources) + (f" at {signal.sample_rate:g} Hz" if signal.sample_rate else "")
        raise UsageError(f"the start {start} does not separate the sources of the task: {kind}")
    refuse_wider_supervision(start, str(loaded.metadata.get("supervision", "paired")), separator.supervision)
    trained = getattr(loaded.separation, "separator", None)
    if trained is None:
        raise UsageError(f"the start {start} brings code of its own, whose weights are not handed out")
    values = {name: value.cpu().numpy() for name, value in trained.state_dict().items()}
    own = {name: tuple(value.shape) for name, value in separator.state_dict().items()}
    if {name: value.shape for name, value in values.items()} != own:
        raise UsageError(
            f"the start {start} is another separator, or one of other sizes: {_told(trained)} Give the study these "
            "settings (--separator, --separator.FIELD, and --task.FIELD for leads and template)"
        )
    return InitialWeights(start, str(loaded.metadata[DIGEST]), values, loaded)


def _told(separator: Separator) -> str:
    name = type(separator).__module__.rpartition(".")[2]
    weights = sum(value.numel() for value in separator.state_dict().values())
    signal = separator.signal
    template = ", with --task.template" if signal.template else ""
    return f"{name} of {weights} weights, {signal.channels} channel(s){template}."

"""Reads the initial weights of a study's trainings from a trained model, the initial model (``--start``).

The study's final table has a row for that model as it comes, and its digest is part of the study's fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..contracts import Separator
from ..errors import UsageError
from ..module_names import given_name
from ..tracking.packaged_model import DIGEST
from .warm_start import load_model


@dataclass(frozen=True)
class InitialWeights:
    """The initial model of a study.

    Attributes:
        digest: SHA-256 of the model.
        values: its parameters and buffers by name.
    """

    digest: str
    values: dict[str, np.ndarray[Any, Any]] = field(repr=False)


def find(model: str, separator: Separator, tracking_uri: str) -> InitialWeights | None:
    """Return the initial model; None if the study names none.

    Args:
        model: address of the model; empty for none.
        separator: an untrained separator of the study.
        tracking_uri: MLflow of a registered model.

    Raises:
        UsageError: there is no such model, or it is of another separator or other sources, or was trained on more than
            the study's separator may see.
        UnreachableError: the tracking server does not answer.
    """
    if not model:
        return None
    loaded = load_model("the initial model", model, separator.signal, separator.supervision, tracking_uri)
    trained = getattr(loaded.separation, "separator", None)
    if trained is None:
        raise UsageError(f"the initial model {model} runs in a process of its own, which does not hand out its weights")
    values = {name: value.cpu().numpy() for name, value in trained.state_dict().items()}
    own = {name: tuple(value.shape) for name, value in separator.state_dict().items()}
    if {name: value.shape for name, value in values.items()} != own:
        raise UsageError(
            f"the initial model {model} is another separator, or of other sizes: {_told(trained)} Give the study these "
            "settings (--separator, --separator.FIELD, and --task.FIELD for leads and template)"
        )
    return InitialWeights(str(loaded.metadata[DIGEST]), values)


def _told(separator: Separator) -> str:
    package, _, name = type(separator).__module__.rpartition(".")
    if package.endswith(".separators"):  # of sepray, or of the model's copy of sepray
        name = given_name(f"sepray.separators.{name}")
    weights = sum(value.numel() for value in separator.state_dict().values())
    signal = separator.signal
    template = ", with --task.template" if signal.template else ""
    return f"{name} of {weights} weights, {signal.channels} channel(s){template}."

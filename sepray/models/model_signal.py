"""Reads the kind of a model's signals from its metadata: their rate, and which of its sources are hearts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from .model import Model

if TYPE_CHECKING:
    from ..contracts import Signal

HEARTS = "hearts"
"""Key of the ranges of heart rates in the metadata of a packaged model; older models lack it."""

_PULSE_RATE = 100.0  # Hz: a model with a lower rate, whose metadata do not say more, separates pulse waves


def require_sounds(model: Model) -> float:
    """Return the sample rate of a model of sounds.

    Raises:
        UsageError: the model separates images.
    """
    if model.sample_rate is None or len(model.shape) != 1:
        raise UsageError(f"{model.name} separates images; recordings need a model of sounds")
    return float(model.sample_rate)


def heart_signal(model: Model) -> Signal:
    """Return the kind of a model's signals, with its hearts and the ranges of their rates.

    If the metadata lack them, they follow from the names of its sources (maternal, fetal, heart).

    Raises:
        UsageError: none of its sources has a heart.
    """
    from ..contracts import Signal
    from ..signals.beats import ADULT, ADULT_PULSE, FETUS

    rate = require_sounds(model)
    kept = model.metadata.get(HEARTS)
    if kept is None:
        slow = rate < _PULSE_RATE
        ranges = {"maternal": ADULT, "mother": ADULT, "fetal": FETUS, "fetus": FETUS}
        ranges |= {"heart": ADULT_PULSE if slow else (40.0, 200.0)}
        rates = tuple((name, *ranges[name]) for name in model.sources if name in ranges)
        pulses = tuple(name for name, *_ in rates if slow)
    else:
        rates = tuple((name, float(low), float(high)) for name, low, high in kept["rates"])
        pulses = tuple(kept["pulses"])
    if not rates:
        raise UsageError(f"none of the sources of {model.name} ({', '.join(model.sources)}) is known to be a heart")
    hearts = tuple(name for name, *_ in rates)
    return Signal(model.sources, model.channels, model.shape, rate, hearts, heart_rates=rates, pulse_sources=pulses)


def lowest_heart_rate(model: Model) -> float:
    """Return the lowest rate of a model's hearts in beats a second; 0 unless all of its sources are ECGs."""
    try:
        return heart_signal(model).lowest_heart_rate
    except UsageError:
        return 0.0

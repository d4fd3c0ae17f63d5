"""Says for which sources a measure is defined, and takes its mean over these."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..choices import BSS_EVAL, MEASURES
from .units import Values


def over_sources(metric: str, values: Values) -> Values:
    """Return the mean of ``[item, source]`` over the sources that a measure is defined for, ``[item]``; NaN if none."""
    measured = defined(metric, values)
    count = measured.sum(axis=1)
    total = np.where(measured, values, 0.0).sum(axis=1)
    return np.where(count, total / np.maximum(count, 1), np.nan)


def defined(metric: str, values: Values) -> NDArray[np.bool_]:
    """Return where a measure is defined, ``[item, source]``; anywhere else a NaN is a separator's failure."""
    missing = np.isnan(values)
    if metric in BSS_EVAL:  # defined for items without a silent source
        return ~missing
    if MEASURES[metric].signals == "hearts":  # defined for sources with a heart
        return np.broadcast_to(~missing.all(axis=0), values.shape)
    return np.ones(values.shape, dtype=bool)

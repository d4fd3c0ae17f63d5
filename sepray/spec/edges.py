"""Finds settings at an end of their searched range, beyond which better values may lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

NEAR = 0.02
"""Share of a range, on the linear or logarithmic scale of its distribution, that counts as its edge at either end."""


def sentences(settings: Mapping[str, Any], ranges: Mapping[str, BaseDistribution]) -> list[str]:
    """Return a sentence, without a full stop, for each setting that is at an edge of the range that it was searched in.

    Args:
        settings: hyperparameter -> value.
        ranges: hyperparameter that was searched -> its distribution; choices have no edges.
    """
    return [
        sentence
        for name, distribution in ranges.items()
        if name in settings and (sentence := _sentence(name, settings[name], distribution))
    ]


def _sentence(name: str, value: Any, distribution: BaseDistribution) -> str:
    if not isinstance(distribution, FloatDistribution | IntDistribution) or distribution.low >= distribution.high:
        return ""
    low, high = float(distribution.low), float(distribution.high)
    at = _position(float(value), low, high, distribution.log)
    if NEAR < at < 1 - NEAR:
        return ""
    end = "lower" if at <= NEAR else "upper"
    # Below zero a weight or a number mostly has no meaning.
    advice = "the best may be none of it" if end == "lower" and low == 0 else "widen it"
    return f"{name} {_short(value)} is at the {end} end of its range ({_short(low)} to {_short(high)}): {advice}"


def _position(value: float, low: float, high: float, is_log: bool) -> float:
    """Return where a value lies between the ends, from 0 to 1, on the scale of the range."""
    if is_log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e+")

"""Offsets of signals: finds those of recordings that the training mixtures of the model did not have.

The offset of a signal is its median over its standard deviation, so that it does not depend on the unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..signals.baseline import with_slow_part

MIXTURE_LEVEL = "mixture_level"
"""Key of the range of offsets in the metadata of a packaged model; models of before version 0.2 lack it."""

SOURCE_BASELINE = "source_baseline"
"""Key of the slow part of the hearts that a model was trained on (``source_baseline``); older models lack it."""

NO_BASELINE = 0.2
"""Largest slow part of hearts, the rest = 1, that their beats alone may have."""

BREATHES = 0.4
"""Slow part of a recording, the rest = 1, beyond which a note is given: hearts are separated better without it."""

_TOLERANCE = 0.1  # so many standard deviations beyond the range still count as within the range
_FAR = 2.5  # standard deviations beyond the range: where a stretch lies farther out, the level wanders
_FARTHEST = 10.0  # standard deviations beyond the range: where a much shorter stretch lies farther out, the level jumps
_NEARLY_ALL = 95  # percent of the hearts
_USUAL = 40  # percent of the stretches that have a smaller spread than the usual one
_OFTEN = (95, 1.0)  # percent of stretches within so many standard deviations of the range; else the level wanders
_ITEMS = 1000  # approximate number of items that are looked at
_HEARTS = 100  # approximate number of items of hearts that are looked at
_TAILS = (1, 99)  # percentiles of the training mixtures between which the range lies


def offset_range(mixtures: NDArray[Any]) -> dict[str, float] | None:
    """Return the range of the offsets of mixtures: ``low``, ``usual`` and ``high``; None if all are silent.

    Args:
        mixtures: ``[item, channel, time]``.
    """
    some = mixtures[:: max(1, len(mixtures) // _ITEMS)]
    values = np.asarray(some, dtype=np.float64).reshape(-1, mixtures.shape[-1])
    spreads = values.std(axis=1)
    heard = spreads > 0
    if not heard.any():
        return None
    offsets = np.median(values[heard], axis=1) / spreads[heard]
    low, usual, high = np.percentile(offsets, (_TAILS[0], 50, _TAILS[1]))
    return {"low": float(low), "usual": float(usual), "high": float(high)}


def offset(middle: float, spread: float, trained: dict[str, float]) -> float:
    """Return the value to subtract from a signal so that its offset is the usual one.

    It is 0 for an offset in the range, or less than a tenth of a standard deviation beyond it.

    Args:
        middle: median of the signal.
        spread: its standard deviation.
        trained: range of the offsets of the training mixtures, as ``offset_range`` returns it.
    """
    if (trained["low"] - _TOLERANCE) * spread <= middle <= (trained["high"] + _TOLERANCE) * spread:
        return 0.0
    return middle - trained["usual"] * spread


def wanders(middles: NDArray[Any], spreads: NDArray[Any], trained: dict[str, float]) -> bool:
    """Return whether the level of a signal changes by more than that of training mixtures.

    Small wander is in training too: the level does not wander unless a stretch lies 2.5 standard deviations beyond the
    range, or one in twenty lies one beyond it. Of 40 minutes of ``ecg:varied`` in stretches of 4 s, which wanders by up
    to the height of the mother's R, none lies more than 1.2 beyond it (``benchmarks/wander.py``).

    Args:
        middles: ``[stretch]``, medians of stretches as long as training mixtures, less the offset of the whole.
        spreads: their standard deviations. What is quieter than usual is counted in the usual one.
        trained: range of the offsets of the training mixtures, as ``offset_range`` returns it.
    """
    beyond = _beyond(middles, spreads, trained)
    return bool(beyond.max() > _FAR or np.percentile(beyond, _OFTEN[0]) > _OFTEN[1])


def jumps(middles: NDArray[Any], spreads: NDArray[Any], trained: dict[str, float]) -> bool:
    """Return whether the level of a signal jumps for much less than the length of an item.

    It does if a stretch lies 10 standard deviations beyond the range. Of 300 items of ``ecg:varied`` none has a quarter
    that lies more than 7.8 beyond it (``benchmarks/wander.py``).

    Args:
        middles: ``[stretch]``, medians of stretches of a quarter of training mixtures.
        spreads: their standard deviations, as for ``wanders``.
        trained: range of the offsets of the training mixtures, as ``offset_range`` returns it.
    """
    return bool(_beyond(middles, spreads, trained).max() > _FARTHEST)


def slow_share(slow: NDArray[Any], rest: NDArray[Any]) -> float:
    """Return how large the slow part of a signal is where it is largest, the rest = 1; 0 if it is silent.

    Args:
        slow: ``[stretch]``, root mean squares of the slow part in stretches as long as training mixtures.
        rest: likewise, of the signal without it. What is quieter than usual is counted in the usual one.
    """
    units = np.maximum(rest, usual_spread(rest))
    return float(np.max(slow / units)) if units.all() else 0.0


def source_baseline(sources: NDArray[Any], lowest: float) -> float:
    """Return how large the part of hearts is that is slower than any beats, the rest = 1, in all but one of twenty.

    Args:
        sources: ``[item, source, channel, time]``.
        lowest: the lowest heart rate, in beats a sample.
    """
    some = sources[:: max(1, len(sources) // _HEARTS)]
    hearts = np.asarray(some, dtype=np.float64).reshape(-1, sources.shape[-1])
    shares = []
    for heart in hearts[hearts.std(axis=1) > 0]:
        parts = zip(*with_slow_part([heart[None]], lowest), strict=True)
        signal, slow = (np.concatenate(part, axis=-1) for part in parts)
        shares.append(slow.std() / (signal - slow).std())
    return float(np.percentile(shares, _NEARLY_ALL)) if shares else 0.0


def _beyond(middles: NDArray[Any], spreads: NDArray[Any], trained: dict[str, float]) -> NDArray[np.float64]:
    """Return by how many standard deviations each stretch lies beyond the range; 0 if all are silent."""
    units = np.maximum(spreads, usual_spread(spreads))
    if not units.all():
        return np.zeros(len(middles))
    levels = middles / units
    beyond: NDArray[np.float64] = np.maximum(levels - trained["high"], trained["low"] - levels)
    return beyond


def usual_spread(spreads: NDArray[Any]) -> float:
    """Return the usual standard deviation of the stretches ``[stretch]`` that are not silent; 0 if all are.

    It is a bit below the median, so that of three stretches two may have a step.
    """
    heard = spreads[spreads > 0]
    return float(np.percentile(heard, _USUAL, method="lower")) if len(heard) else 0.0

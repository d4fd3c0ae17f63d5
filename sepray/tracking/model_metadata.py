"""What the metadata of a packaged model must look like before anything is made of them.

Whoever may write to a registry or a folder can change them, and no digest of older models covers them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..shapes import is_text

_MOST_VALUES = 10_000_000  # of a file that describes a model, its characters among them
_MOST_SAMPLES = 2**20  # of a frame of the STFT
_LARGEST = 1e30  # number
_RATES = (1.0, 1000.0)  # beats a minute
_LONGEST_NAME = 100  # characters of a source, which becomes a part of names of files


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _is_frame(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_SAMPLES


def _is_list_of(check: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(check, value))


def _is_heart(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 3 and all(map(_is_number, value[1:]))):
        return False
    name, low, high = value
    is_name = is_text(name) and 0 < len(name) <= _LONGEST_NAME and not {"/", "\0"} & set(name)
    return is_name and _RATES[0] <= low <= high <= _RATES[1]


def _are_hearts(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and {"rates", "pulses"} <= value.keys()
        and _is_list_of(_is_heart, value["rates"])
        and _is_list_of(is_text, value["pulses"])
    )


def _is_range(value: Any) -> bool:
    names = {"low", "usual", "high"}
    return value is None or (
        isinstance(value, Mapping) and value.keys() == names and all(map(_is_number, value.values()))
    )


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "sources": lambda value: _is_list_of(is_text, value),
    "sample_rate": lambda value: value is None or _is_number(value),
    "task_config": lambda value: isinstance(value, Mapping) and all(map(is_text, value)),
    "hyperparameters": lambda value: isinstance(value, Mapping),
    "mixture_level": _is_range,
    "source_baseline": _is_number,
    "hearts": _are_hearts,
    "n_fft": _is_frame,
    "hop": _is_frame,
    **dict.fromkeys(("digest", "signature", "task", "metric", "supervision", "data_fingerprint", "study"), is_text),
}
"""Key -> whether its value can be sepray's."""


def is_bounded(value: Any) -> bool:
    """Say whether values that were read from YAML stay small where they are written out.

    An alias stands for a value that is somewhere else; aliases of aliases make billions of values of a few lines.
    """
    return _size(value, {}) <= _MOST_VALUES


def _size(value: Any, known: dict[int, float]) -> float:
    """Return how many values and characters a value has, written out; infinite if it has itself as a part.

    Args:
        value: mappings, lists and plain values.
        known: identity -> size of those that were counted, infinite while one is counted.
    """
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return 1 + (len(value) if isinstance(value, str | bytes) else 0)
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = (*value, *value.values()) if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def wrong(metadata: Mapping[str, Any]) -> str | None:
    """Return the name of a value that sepray never writes so; None where there is none.

    A value that is missing is not wrong: older versions have kept fewer.
    """
    return next((name for name, check in _KINDS.items() if name in metadata and not check(metadata[name])), None)

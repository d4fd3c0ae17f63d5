"""Checks the metadata of a packaged model before they are used.

Whoever may write to a registry or a folder can change them, and the digest of older models does not cover them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..shapes import is_text

_MOST_VALUES = 10_000_000  # values and characters in a file that describes a model
_MOST_SAMPLES = 2**20  # samples in a frame of the STFT
_LARGEST = 1e30  # absolute value of a number
_RATES = (1.0, 1000.0)  # least and greatest heart rate, in beats a minute
_LONGEST_NAME = 100  # characters in the name of a source, which becomes a part of names of files


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
    """Say whether values that were read from YAML stay small when they are written out.

    An alias stands for a value that is written elsewhere. With aliases of aliases, a few lines make billions of values.
    """
    return _size(value, {}) <= _MOST_VALUES


def _size(value: Any, known: dict[int, float]) -> float:
    """Return how many values and characters a value has when it is written out; infinite if it contains itself.

    Args:
        value: mappings, lists and plain values.
        known: identity of a mapping or list -> its size; infinite until its parts are counted.
    """
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return 1 + (len(value) if isinstance(value, str | bytes) else 0)
    if id(value) not in known:
        known[id(value)] = math.inf
        parts = (*value, *value.values()) if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def wrong(metadata: Mapping[str, Any]) -> str | None:
    """Return the first key that sepray cannot have written so, or a few words; None if there is none.

    A missing value is not wrong: older versions wrote fewer. YAML has dates, sets and the like, which are not JSON.
    They are wrong wherever they stand, because the signature is over the JSON of the metadata.
    """
    found = next((name for name, check in _KINDS.items() if name in metadata and not check(metadata[name])), None)
    return found or (None if _is_json(metadata, set()) else "date, or another value beyond JSON,")


def _is_json(value: Any, known: set[int]) -> bool:
    """Say whether a value is JSON, with whole numbers of less than 31 digits.

    Args:
        value: value read from YAML.
        known: identities of the mappings and lists that were looked at, because aliases repeat them.
    """
    if isinstance(value, Mapping | list):
        if id(value) in known:
            return True
        known.add(id(value))
        parts = value.values() if isinstance(value, Mapping) else value
        return (not isinstance(value, Mapping) or all(map(is_text, value))) and all(_is_json(p, known) for p in parts)
    return value is None or isinstance(value, str | bool | float) or _is_number(value)

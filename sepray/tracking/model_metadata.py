"""What the metadata of a packaged model must look like before anything is made of them.

Whoever may write to a registry or a folder can change them, and no digest of older models covers them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MOST_SAMPLES = 2**20  # of a frame of the STFT


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_frame(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_SAMPLES


def _is_list_of(check: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(check, value))


def _is_heart(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and _is_text(value[0]) and all(map(_is_number, value[1:]))


def _are_hearts(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and {"rates", "pulses"} <= value.keys()
        and _is_list_of(_is_heart, value["rates"])
        and _is_list_of(_is_text, value["pulses"])
    )


def _is_range(value: Any) -> bool:
    names = {"low", "usual", "high"}
    return value is None or (
        isinstance(value, Mapping) and value.keys() == names and all(map(_is_number, value.values()))
    )


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "sources": lambda value: _is_list_of(_is_text, value),
    "sample_rate": lambda value: value is None or _is_number(value),
    "task_config": lambda value: isinstance(value, Mapping) and all(map(_is_text, value)),
    "hyperparameters": lambda value: isinstance(value, Mapping),
    "mixture_level": _is_range,
    "hearts": _are_hearts,
    "n_fft": _is_frame,
    "hop": _is_frame,
    **dict.fromkeys(("digest", "signature", "task", "metric", "supervision", "data_fingerprint", "study"), _is_text),
}
"""Key -> whether its value can be sepray's."""


def wrong(metadata: Mapping[str, Any]) -> str | None:
    """Return the name of a value that sepray never writes so; None where there is none.

    A value that is missing is not wrong: older versions have kept fewer.
    """
    return next((name for name, check in _KINDS.items() if name in metadata and not check(metadata[name])), None)

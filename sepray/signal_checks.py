"""Checks what a task or a trained model states about its signals, and a task about its augmentation.

Imports nothing from sepray but the contracts, the errors, and how the checks of separators name types.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

from .contracts import Augmentation, Signal
from .errors import UsageError
from .separator_checks import type_name

AXES = {1: ("time",), 2: ("height", "width")}
"""Number of a signal's axes -> their names."""

_SOURCE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_LONGEST_NAME = 64  # a part of names of files and metrics, which may have about 250 letters
_RESERVED = ("mean", "mixture")  # columns of tables, and a curve of pictures, beside the sources


def check_source_names(names: Sequence[str], what: str = "sources") -> None:
    """Refuse names of sources that cannot be part of a file's name, a metric's, a hyperparameter's or a flag's.

    Raises:
        UsageError: a name has other characters than ASCII letters, digits, ``_`` and ``-``, begins with ``-``, has more
            than 64 letters, or is a column of the tables. Or a name is there twice, also with other capitals, which
            some file systems ignore. Or two ordered pairs of names give one name (``cross.{i}_to_{j}``).
    """
    for name in names:
        if not isinstance(name, str) or not _SOURCE_NAME.fullmatch(name):
            raise UsageError(
                f"{what} must be names of letters (a-z, A-Z), digits, _ and - (not first), one is {name!r}"
            )
        if len(name) > _LONGEST_NAME:
            raise UsageError(f"{what} must be names of at most {_LONGEST_NAME} letters, one is {name!r}")
        if name.lower() in _RESERVED:
            raise UsageError(f"{what} must not be called {' or '.join(_RESERVED)}, one is {name!r}")
    if len({name.lower() for name in names}) < len(names):
        raise UsageError(f"{what} must be different names (not by capitals alone), are {', '.join(names)}")
    pairs: dict[str, tuple[str, str]] = {}
    for a, b in itertools.permutations(names, 2):
        other = pairs.setdefault(f"{a}_to_{b}".lower(), (a, b))
        if other != (a, b):
            raise UsageError(
                f"{what} must be names whose ordered pairs have different names: {other[0]!r} to {other[1]!r} and "
                f"{a!r} to {b!r} are both {a}_to_{b}"
            )


def check_signal(signal: object, any_names: bool = False) -> None:
    """Check what a task or a trained model states about its signals.

    Args:
        signal: a ``Signal``.
        any_names: whether sources may be called anything, as those of old models.

    Raises:
        UsageError: an entry is not as ``contracts`` says.
    """
    if not isinstance(signal, Signal):
        raise UsageError(f"signal must be a Signal, is {type_name(signal)}")
    if not isinstance(signal.sources, tuple) or not signal.sources:
        raise UsageError(f"signal.sources must be a tuple of one name or more, is {signal.sources!r}")
    if any_names:
        if not all(isinstance(name, str) and name.strip() for name in signal.sources):
            raise UsageError(f"signal.sources must be names, are {signal.sources!r}")
        if len(set(signal.sources)) < len(signal.sources):
            raise UsageError(f"signal.sources must be different names, are {signal.sources!r}")
    else:
        check_source_names(signal.sources, "signal.sources")
    if not _is_count(signal.channels):
        raise UsageError(f"signal.channels must be a whole number above 0, is {signal.channels!r}")
    own: object = signal.component_channels
    if own is not None and (not _is_count(own) or signal.source_channels > signal.channels):
        wanted = f"None or a whole number from 1 to signal.channels = {signal.channels}"
        raise UsageError(f"signal.component_channels must be {wanted}, is {own!r}")
    shape: object = signal.shape
    if not isinstance(shape, tuple) or len(shape) not in AXES or not all(map(_is_count, shape)):
        raise UsageError(f"signal.shape must be (time,) or (height, width), whole numbers above 0, is {shape!r}")
    rate: object = signal.sample_rate
    is_rate = isinstance(rate, int | float) and type(rate) is not bool and 0 < rate < math.inf
    if rate is not None and not is_rate:
        raise UsageError(f"signal.sample_rate must be a number of Hz above 0, or None for images, is {rate!r}")
    if rate is not None and len(shape) == 2 and not any_names:
        raise UsageError(f"signal.sample_rate must be None for images, is {rate!r} with the shape {shape!r}")
    hearts = signal.heart_sources
    if not _are_among(hearts, signal.sources):
        known = ", ".join(signal.sources)
        raise UsageError(f"signal.heart_sources must be a tuple of names among {known}, each once, is {hearts!r}")
    template: object = signal.template
    if type(template) is not bool or (template and (rate is None or len(shape) != 1)):
        raise UsageError(f"signal.template must be True or False, and False for images, is {template!r}")
    pulses: object = signal.pulse_sources
    if not _are_among(pulses, hearts):
        raise UsageError(f"signal.pulse_sources must be a tuple of names among {hearts!r}, each once, is {pulses!r}")
    rates: object = signal.heart_rates
    if not isinstance(rates, tuple) or not all(_is_heart_rate(entry, hearts) for entry in rates):
        wanted = f"a tuple of (name among {hearts!r}, lowest, highest beats a minute)"
        raise UsageError(f"signal.heart_rates must be {wanted}, is {rates!r}")
    if len({name for name, *_ in rates}) < len(rates):
        raise UsageError(f"signal.heart_rates must have each name once, is {rates!r}")


def _are_among(names: object, known: Collection[str]) -> bool:
    if not isinstance(names, tuple) or not all(isinstance(name, str) and name in known for name in names):
        return False
    return len(set(names)) == len(names)


def _is_heart_rate(entry: object, hearts: Collection[str]) -> bool:
    if not isinstance(entry, tuple | list) or len(entry) != 3:
        return False
    name, low, high = entry
    return _are_among((name,), hearts) and _is_number(low) and _is_number(high) and 0 < low < high < math.inf


def check_augmentation(augmentation: object, signal: Signal) -> None:
    """Check the random changes that a task makes to training items.

    Args:
        augmentation: an ``Augmentation``.
        signal: signal of the task, checked.

    Raises:
        UsageError: an entry is not as ``contracts`` says.
    """
    if not isinstance(augmentation, Augmentation):
        raise UsageError(f"augmentation must be an Augmentation, is {type_name(augmentation)}")
    crop: object = augmentation.crop
    lengths = (0, signal.shape[0]) if len(signal.shape) == 1 else (0,)
    if isinstance(crop, bool) or not isinstance(crop, Integral) or crop not in lengths:
        wanted = f"0 or signal.shape[0] = {lengths[1]}" if len(lengths) > 1 else "0 for images"
        raise UsageError(f"augmentation.crop must be {wanted}, is {crop!r}")
    remix: object = augmentation.remix
    if not _is_number(remix) or not 0 <= remix <= 1:
        raise UsageError(f"augmentation.remix must be a number from 0 to 1, is {remix!r}")
    level: Any = augmentation.remix_level
    is_pair = isinstance(level, tuple | list) and len(level) == 2 and all(map(_is_number, level))
    if not is_pair or not -math.inf < level[0] <= level[1] < math.inf:
        raise UsageError(f"augmentation.remix_level must be (lowest, highest) gain in dB, finite, is {level!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, Real)


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0  # no bool, and no number of numpy, which JSON lacks

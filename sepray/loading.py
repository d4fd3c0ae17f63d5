"""Loads a task's data and builds a separator, and checks that both are what ``contracts`` says.

Imports nothing from sepray but the contracts, their checks and the errors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .contracts import (
    SPLITS,
    Oracle,
    Separator,
    SeparatorConfig,
    Signal,
    Split,
    TaskConfig,
    TaskData,
    Tracks,
)
from .disk.temporary import keep_compiled_private
from .errors import UsageError
from .secrecy import HIDDEN
from .separator_checks import check_config, check_dataclass, check_separator, type_name
from .signal_checks import AXES, check_augmentation, check_signal

LEAST_ITEMS = 2
"""Items that every split needs: with fewer there is no interval, and no second item to compare with."""

_ELEMENTS_AT_ONCE = 1 << 24  # 64 MB of a tensor that may be mapped from a file larger than memory


def load_task(config: TaskConfig, cache: Path) -> TaskData:
    """Return the data of a task, checked; errors that its ``load`` raises pass through.

    Args:
        config: configuration of the task.
        cache: folder for its generated and decoded data; ``~`` is expanded.

    Raises:
        UsageError: the data break the contract; one line names the task, the tensor, what it must be and what it is.
    """
    name = type(config).__module__.removeprefix("sepray.tasks.")
    if not callable(getattr(config, "load", None)):
        raise UsageError(f"{name}: Config must have a method load(cache) that returns a TaskData")
    check_dataclass(config)
    _refuse_hidden(name, config)
    data: Any = config.load(cache.expanduser())
    try:
        check_task_data(data)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    return data  # type: ignore[no-any-return] # check_task_data has refused every other type


def _refuse_hidden(name: str, config: TaskConfig) -> None:
    """Refuse a configuration that was read from a study's storage or a model, which keep no secrets.

    Raises:
        UsageError: a field had one.
    """
    for field in dataclasses.fields(config):  # type: ignore[arg-type] # checked before
        given = getattr(config, field.name)
        if any(isinstance(text, str) and HIDDEN in text for text in (given if isinstance(given, tuple) else (given,))):
            raise UsageError(
                f"{name}: {field.name} had a secret, which studies and models do not keep: give it in the "
                "study's own command, or let the task read it from the environment"
            )


def build_separator(config: SeparatorConfig, signal: Signal) -> Separator:
    """Return ``config.build(signal)``, checked before any trial; errors that its own code raises pass through.

    Args:
        config: configuration of the separator.
        signal: signal of the task.

    Raises:
        UsageError: the configuration or the separator breaks the contract; one line names the class or the module.
    """
    name = type(config).__module__.removeprefix("sepray.separators.")
    if not callable(getattr(config, "build", None)):
        raise UsageError(f"{name}: Config must have a method build(signal) that returns a Separator")
    check_config(config)
    keep_compiled_private()
    separator: object = config.build(signal)
    if not isinstance(separator, Separator):
        raise UsageError(
            f"{name}: Config.build must return a sepray.contracts.Separator, returns {type_name(separator)}"
        )
    needed = ("hyperparameters", "separate_given" if isinstance(separator, Oracle) else "separate")
    for method in needed:
        if getattr(type(separator), method) is getattr(Oracle if method == "separate_given" else Separator, method):
            raise UsageError(f"{name}: {type(separator).__name__} must define {method}()")
    check_separator(separator)
    if signal.template and not separator.takes_template:
        raise UsageError(f"{name} does not take what is left without the template: leave out --task.template")
    if signal.source_channels != signal.channels and not separator.makes_components:
        raise UsageError(
            f"{name} gives each source all {signal.channels} channels of the mixture, and the task's sources have "
            f"{signal.source_channels}: leave out --task.one-component"
        )
    return separator


def refuse_unfit(separator: SeparatorConfig, task: TaskConfig) -> None:
    """Refuse a separator that does not take a task's signal before there is data, where the task's settings tell it.

    Raises:
        UsageError: as ``build_separator`` says.
    """
    signal: object = getattr(task, "signal", None)
    if isinstance(signal, Signal):
        build_separator(separator, signal)


def check_task_data(data: object) -> None:
    """Check types, shapes, values and names of a task's data.

    Raises:
        UsageError: a part of the data is not as ``contracts`` says.
    """
    if not isinstance(data, TaskData):
        raise UsageError(f"load must return a TaskData, returns {type_name(data)}")
    check_signal(data.signal)
    check_augmentation(data.augmentation, data.signal)
    crop = data.augmentation.crop
    for name in SPLITS:
        _check_split(name, getattr(data, name), data.signal, crop if name == "train" else 0)
        _check_parts(name, getattr(data, name), data.signal)
    if data.augmentation.remix and data.train.parts is None and data.signal.source_channels < data.signal.channels:
        raise UsageError("train.parts must be there: augmentation.remix makes all channels of mixtures anew")
    _check_units(data)
    if data.tracks is not None:
        _check_tracks(data.tracks, data.signal, len(data.unit_names))
        _check_units_of_tracks(data, data.tracks)
    if not isinstance(data.fingerprint, str) or not data.fingerprint:
        raise UsageError(f"fingerprint must be a string that is not empty, is {data.fingerprint!r}")


def _check_split(name: str, split: object, signal: Signal, crop: int) -> None:
    if not isinstance(split, Split):
        raise UsageError(f"{name} must be a Split, is {type_name(split)}")
    signal_axes = AXES[len(signal.shape)]
    item, source = ("item",), ("source",)
    own = "channel" if signal.component_channels is None else "channel of sources"
    axes = {"mixture": (*item, "channel", *signal_axes), "sources": (*item, *source, own, *signal_axes)}
    if split.observed is not None:
        axes["observed"] = (*item, own, *signal_axes)
    if split.parts is not None:
        axes["parts"] = (*item, *source, "channel", *signal_axes)
    for field, named in axes.items():
        _check_type(f"{name}.{field}", getattr(split, field), named)
    if len(split) < LEAST_ITEMS:
        raise UsageError(f"{name} must have {LEAST_ITEMS} items or more, has {len(split)}")
    longer = crop and split.mixture.shape[-1] > crop
    shape = split.mixture.shape[2:] if longer else signal.shape
    sizes = dict(zip(signal_axes, shape, strict=True))
    sizes |= {
        "item": len(split),
        "source": len(signal.sources),
        "channel": signal.channels,
        own: signal.source_channels,
    }
    if split.beats is not None:
        _check_beats(f"{name}.beats", split.beats, (len(split), len(signal.sources)))
    for field, named in axes.items():
        wanted = {axis: sizes[axis] for axis in named}
        _check_shape(f"{name}.{field}", getattr(split, field), wanted)
        _check_finite(f"{name}.{field}", getattr(split, field))


def _check_parts(name: str, split: Split, signal: Signal) -> None:
    """Refuse sources that mixtures cannot be made anew of, or that are not the first channels of what they add."""
    if split.parts is None:
        return
    if not torch.equal(split.parts[:, :, : signal.source_channels], split.sources):
        raise UsageError(f"{name}.sources must be the first {signal.source_channels} channel(s) of {name}.parts")


def _check_beats(name: str, beats: object, sizes: tuple[int, int]) -> None:
    if not isinstance(beats, Tensor) or beats.ndim != 3 or tuple(beats.shape[:2]) != sizes:
        found = f"is {list(beats.shape)}" if isinstance(beats, Tensor) else f"is {type_name(beats)}"
        raise UsageError(f"{name} must be a tensor [item, source, beat] of [{sizes[0]}, {sizes[1]}, any], {found}")
    if beats.dtype != torch.float64 or bool(beats.isinf().any()):
        raise UsageError(f"{name} must be seconds as float64, NaN where there are fewer beats")


def _check_units(data: TaskData) -> None:
    """Refuse units that do not say of every item what it was cut from, or that are in two splits."""
    names: object = data.unit_names
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"unit_names must be a tuple of words such as ('recordings',), is {names!r}")
    split_of: dict[tuple[int, str], str] = {}
    for name in SPLITS:
        split: Split = getattr(data, name)
        units: object = split.units
        if units is None:
            continue
        if not isinstance(units, tuple) or len(units) != len(split):
            found = f"has {len(units)}" if isinstance(units, tuple) else f"is {type_name(units)}"
            raise UsageError(f"{name}.units must be a tuple of an entry for each of {len(split)} items, {found}")
        for item, unit in enumerate(units):
            if not _is_unit(unit, len(names)):
                wanted = f"a tuple of {len(names)} names ({', '.join(names)})"
                raise UsageError(f"{name}.units must hold {wanted} for each item, has {unit!r} for item {item}")
            for part in enumerate(unit):
                if (other := split_of.setdefault(part, name)) != name:
                    raise UsageError(f"{part[1]!r} is in {other}.units and in {name}.units: splits must share none")


def _is_unit(unit: object, parts: int) -> bool:
    return isinstance(unit, tuple) and len(unit) == parts and all(isinstance(part, str) and part for part in unit)


def _check_tracks(tracks: object, signal: Signal, parts: int) -> None:
    if not isinstance(tracks, Tracks):
        raise UsageError(f"tracks must be a Tracks or None, is {type_name(tracks)}")
    if len(signal.shape) != 1 or signal.sample_rate is None:
        raise UsageError("tracks are of sounds, and the signal is not one over time with a sample rate")
    names: object = tracks.names
    if not isinstance(names, tuple) or not names or not all(map(_is_file_name, names)) or len(set(names)) < len(names):
        raise UsageError(f"tracks.names must be a tuple of different names of files, is {names!r}")
    for field in ("mixtures", "sources", "units"):
        found: object = getattr(tracks, field)
        if (field != "units" or found is not None) and (not isinstance(found, tuple) or len(found) != len(names)):
            raise UsageError(f"tracks.{field} must be a tuple of an entry for each of {len(names)} tracks")
    for name, unit in zip(names, tracks.units or (), strict=False):
        if not _is_unit(unit, parts):
            wanted = f"a tuple of {parts} names"
            raise UsageError(f"tracks.units must hold {wanted} for each track, has {unit!r} for track {name}")
    for name, mixture, sources in zip(tracks.names, tracks.mixtures, tracks.sources, strict=True):
        _check_type(f"mixture of track {name}", mixture, ("channel", "time"))
        _check_type(f"sources of track {name}", sources, ("source", "channel", "time"))
        sizes = {"channel": signal.channels, "time": mixture.shape[-1]}
        _check_shape(f"mixture of track {name}", mixture, sizes)
        own = sizes | {"channel": signal.source_channels}
        _check_shape(f"sources of track {name}", sources, {"source": len(signal.sources), **own})
        if not mixture.shape[-1]:
            raise UsageError(f"mixture of track {name} must have a sample or more, is {_described(mixture)}")
        _check_finite("tracks.mixtures", mixture, f"track {name}, channel")
        _check_finite("tracks.sources", sources, f"track {name}, source")


def _check_units_of_tracks(data: TaskData, tracks: Tracks) -> None:
    """Refuse tracks, which are the test split, that are cut from what the other splits are cut from."""
    others = {
        part: name for name in ("train", "validation") for u in getattr(data, name).units or () for part in enumerate(u)
    }
    for part in (part for unit in tracks.units or () for part in enumerate(unit)):
        if other := others.get(part):
            raise UsageError(f"{part[1]!r} is in {other}.units and in tracks.units: splits must share none")


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and bool(name) and "/" not in name and name not in (".", "..")


def _check_type(name: str, tensor: object, axes: Sequence[str]) -> None:
    wanted = f"float32 [{', '.join(axes)}]"
    if not isinstance(tensor, Tensor):
        raise UsageError(f"{name} must be a torch tensor, {wanted}, is {type_name(tensor)}")
    if tensor.dtype != torch.float32 or tensor.ndim != len(axes):
        raise UsageError(f"{name} must be {wanted}, is {_described(tensor)}")
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.requires_grad:
        kind = str(tensor.layout).removeprefix("torch.") if tensor.layout != torch.strided else str(tensor.device)
        detached = ", which requires gradients" if tensor.requires_grad else ""
        raise UsageError(f"{name} must be a dense tensor on the CPU without gradients, is {kind}{detached}")


def _check_shape(name: str, tensor: Tensor, sizes: dict[str, int]) -> None:
    if tuple(tensor.shape) != tuple(sizes.values()):
        wanted = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        raise UsageError(f"{name} must be float32 [{wanted}], is {_described(tensor)}")


def _check_finite(name: str, tensor: Tensor, first_axis: str = "item") -> None:
    at_once = max(1, _ELEMENTS_AT_ONCE // max(1, tensor[0].numel()))
    for start in range(0, len(tensor), at_once):
        items = tensor[start : start + at_once]
        low, high = items.aminmax()  # both are NaN where one value is; needs no memory beside, as isfinite() would
        if not (math.isfinite(low) and math.isfinite(high)):
            wrong = ~items.isfinite()
            first = int(wrong.flatten(1).any(1).nonzero()[0, 0])
            value = float(items[first][wrong[first]][0])
            raise UsageError(f"{name} must be finite, is {value} in {first_axis} {start + first}")


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"

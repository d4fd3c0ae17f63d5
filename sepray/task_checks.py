"""Checks of a task's data, right after ``load``: types, shapes, values, units, beats and whole tracks.

Each error is one line, such as "train.sources must be float32 [item, source, channel, time], is float64 [50, 2, 512]".
Imports nothing from sepray but the contracts, the errors, names of files, and the other checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .contracts import SPLITS, Signal, Split, TaskData, Tracks
from .disk import file_names
from .errors import UsageError
from .separator_checks import type_name
from .signal_checks import AXES, check_augmentation, check_signal

LEAST_ITEMS = 2
"""Items that every split needs: with fewer there is no interval, and no second item to compare with."""

_ELEMENTS_AT_ONCE = 1 << 24  # 64 MB of a tensor that may be mapped from a file larger than memory
_ROUNDING = 1e-3  # by which the pixels of an image may miss 0..1


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


def silence(data: TaskData) -> str:
    """Say which mixtures and sources are 0 in every item of a split, as a sentence; empty where there are none.

    A task may have silent items, and even silent sources, so that nothing is refused here.

    Args:
        data: data of a task, checked.
    """
    told = []
    for name in SPLITS:
        split: Split = getattr(data, name)
        parts = {"mixture": split.mixture} | {s: split.sources[:, k] for k, s in enumerate(data.signal.sources)}
        silent = [part for part, items in parts.items() if not any(bool(item.any()) for item in items)]
        told += [f"{name} ({', '.join(silent)})"] if silent else []
    return f"All values are 0 in {', '.join(told)}: look at what the task loads." if told else ""


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
        is_image = len(signal.shape) == 2 and field in ("sources", "observed")
        _check_values(f"{name}.{field}", getattr(split, field), "item", is_image)


def _check_parts(name: str, split: Split, signal: Signal) -> None:
    """Refuse sources that are not the first channels of what they add to the mixtures."""
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
    latest = beats.nan_to_num(nan=-math.inf).cummax(-1).values[..., :-1]  # latest beat before each beat
    wrong = (beats[..., 1:] <= latest).nonzero()
    if len(wrong):
        item, source, beat = wrong[0].tolist()
        raise UsageError(
            f"{name} must rise in each source of an item, is {beats[item, source, beat + 1]:g} s after "
            f"{latest[item, source, beat]:g} s in item {item}, source {source}"
        )


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
    if not isinstance(names, tuple) or not names:
        raise UsageError(f"tracks.names must be a tuple of names of files, is {names!r}")
    _check_file_names("tracks.names", names)
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
        _check_values("tracks.mixtures", mixture, f"track {name}, channel")
        _check_values("tracks.sources", sources, f"track {name}, source")


def _check_units_of_tracks(data: TaskData, tracks: Tracks) -> None:
    """Refuse tracks, which are the test split, that are cut from what the other splits are cut from."""
    others = {
        part: name for name in ("train", "validation") for u in getattr(data, name).units or () for part in enumerate(u)
    }
    for part in (part for unit in tracks.units or () for part in enumerate(unit)):
        if other := others.get(part):
            raise UsageError(f"{part[1]!r} is in {other}.units and in tracks.units: splits must share none")


def _check_file_names(what: str, names: tuple[object, ...]) -> None:
    """Refuse names that some system cannot give to files, or would take for one another."""
    earlier: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not file_names.is_usable(name):
            is_long = isinstance(name, str) and len(name) > 80
            shown = f"{str(name)[:20]!r} and {len(str(name)) - 20} letters more" if is_long else repr(name)
            raise UsageError(f"{what} must be {file_names.WANTED}, one is {shown}")
        if (other := earlier.setdefault(file_names.folded(name), name)) is not name or names.count(name) > 1:
            raise UsageError(f"{what} must be different names (not by capitals alone), has {other!r} and {name!r}")


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


def _check_values(name: str, tensor: Tensor, first_axis: str, is_image: bool = False) -> None:
    """Refuse values that are not finite, and pixels of images outside 0..1."""
    at_once = max(1, _ELEMENTS_AT_ONCE // max(1, tensor[0].numel()))
    for start in range(0, len(tensor), at_once):
        items = tensor[start : start + at_once]
        low, high = map(float, items.aminmax())  # NaN where one value is; needs no memory beside, as isfinite() would
        if not (math.isfinite(low) and math.isfinite(high)):
            wrong, wanted = ~items.isfinite(), "finite"
        elif is_image and (low < -_ROUNDING or high > 1 + _ROUNDING):
            wrong, wanted = (items < -_ROUNDING) | (items > 1 + _ROUNDING), "pixels in 0..1"
        else:
            continue
        first = int(wrong.flatten(1).any(1).nonzero()[0, 0])
        value = float(items[first][wrong[first]][0])
        raise UsageError(f"{name} must be {wanted}, is {value:g} in {first_axis} {start + first}")


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"

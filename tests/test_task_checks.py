"""Every breach of the contract of a task's data is refused in one line."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sepray import task_checks
from sepray.contracts import Augmentation, Signal, Split, TaskData, Tracks
from sepray.disk.file_names import WANTED
from sepray.errors import UsageError
from sepray.task_checks import check_task_data

SIGNAL = Signal(("low", "high"), 1, (512,), 128.0)


def split(items: int = 3, sources: int = 2, channels: int = 1, *shape: int, observed: bool = False) -> Split:
    random = torch.Generator().manual_seed(items)
    made = torch.randn(items, sources, channels, *(shape or (512,)), generator=random)
    return Split(made.sum(1), made, made[:, -1].clone() if observed else None)


def images(items: int) -> Split:
    made = split(items, 2, 3, 8, 9).sources.sigmoid()
    return Split(made.sum(1), made)


DATA = TaskData(SIGNAL, split(50), split(4), split(5), "abc")
IMAGES = TaskData(Signal(("a", "b"), 3, (8, 9), None), images(4), images(3), images(2), "abc")


def with_value(tensor: torch.Tensor, index: tuple[int, ...], value: float) -> torch.Tensor:
    changed = tensor.clone()
    changed[index] = value
    return changed


def changed(name: str, **fields: Any) -> TaskData:
    return replace(DATA, **{name: replace(getattr(DATA, name), **fields)})


def signal(**fields: Any) -> TaskData:
    return replace(DATA, signal=replace(SIGNAL, **fields))


ZEROS = torch.zeros(2, 1, 900)
CROPS: list[Any] = [512.0, "512", True, -512, math.nan, None]
REMIXES: list[Any] = ["1", 2.0, -1, math.nan, None, True]
LEVELS: list[Any] = [3.0, (math.nan, 0), (0, math.inf), (6, -6), (0,), (0, 0, 0), ("0", "6"), None]
UNUSABLE = ["x/X", "a\\b", "a\n", "a\0", "a:b", "CON?", "", ".", "..", "a.", "a ", " a", "\udce9", 3, None]
BEATS = torch.tensor([0.0, math.nan, 2.0, 2.5, math.nan], dtype=torch.float64).repeat(5, 2, 1)
CROP = "augmentation.crop must be 0 or signal.shape[0] = 512"
REMIX = "augmentation.remix must be a number from 0 to 1"
LEVEL = "augmentation.remix_level must be (lowest, highest) gain in dB, finite"


def tracks(**fields: Any) -> TaskData:
    sound = Tracks(("A", "B"), (ZEROS[0], ZEROS[0]), (ZEROS, ZEROS))
    return replace(signal(sample_rate=8000), tracks=replace(sound, **fields))


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        IMAGES,
        changed("train", observed=DATA.train.mixture),
        changed("test", beats=BEATS),
        tracks(names=("AM Contra - Heart Peripheral (2)", "Caf\u00e9.wav")),
        signal(sources=("0-4", "Rest_2"), heart_sources=("0-4",), sample_rate=128),
        replace(DATA, train=split(6, 2, 1, 700), augmentation=Augmentation(crop=512)),
        replace(DATA, augmentation=Augmentation(crop=512, remix=0.5)),
        replace(DATA, signal=replace(SIGNAL, sample_rate=None)),
    ],
)
def test_sound_data_pass(data: TaskData) -> None:
    check_task_data(data)


TRAIN = DATA.train
REFUSALS: dict[str, tuple[Any, str]] = {
    "no TaskData": ({"train": 1}, "load must return a TaskData, returns dict"),
    "no Signal": (replace(DATA, signal=("a", "b")), "signal must be a Signal, is tuple"),
    "no Split": (replace(DATA, test=torch.zeros(2)), "test must be a Split, is torch.Tensor torch.float32 [2]"),
    "no Augmentation": (replace(DATA, augmentation=None), "augmentation must be an Augmentation, is NoneType"),
    "type and rank": (
        changed("train", sources=TRAIN.sources.double()[:, :, 0]),
        "train.sources must be float32 [item, source, channel, time], is float64 [50, 2, 512]",
    ),
    "type": (
        changed("validation", mixture=DATA.validation.mixture.half()),
        "validation.mixture must be float32 [item, channel, time], is float16 [4, 1, 512]",
    ),
    "rank": (
        replace(IMAGES, test=replace(IMAGES.test, mixture=IMAGES.test.mixture[:, 0])),
        "test.mixture must be float32 [item, channel, height, width], is float32 [2, 8, 9]",
    ),
    "numpy": (
        changed("test", mixture=np.zeros((5, 1, 512))),
        "test.mixture must be a torch tensor, float32 [item, channel, time], is numpy.ndarray float64 [5, 1, 512]",
    ),
    "no tensor": (
        changed("test", sources=[1.0]),
        "test.sources must be a torch tensor, float32 [item, source, channel, time], is list",
    ),
    "observed's type": (
        changed("train", observed=TRAIN.mixture.int()),
        "train.observed must be float32 [item, channel, time], is int32 [50, 1, 512]",
    ),
    "empty": (replace(DATA, validation=split(0)), "validation must have 2 items or more, has 0"),
    "one item": (replace(DATA, test=split(1)), "test must have 2 items or more, has 1"),
    "items": (
        changed("train", sources=TRAIN.sources[:49]),
        "train.sources must be float32 [item=50, source=2, channel=1, time=512], is float32 [49, 2, 1, 512]",
    ),
    "items observed": (
        changed("train", observed=TRAIN.mixture[:20]),
        "train.observed must be float32 [item=50, channel=1, time=512], is float32 [20, 1, 512]",
    ),
    "sources": (
        replace(DATA, test=split(5, 3)),
        "test.sources must be float32 [item=5, source=2, channel=1, time=512], is float32 [5, 3, 1, 512]",
    ),
    "channels": (
        replace(DATA, test=split(5, 2, 2)),
        "test.mixture must be float32 [item=5, channel=1, time=512], is float32 [5, 2, 512]",
    ),
    "channels of sources": (
        changed("test", sources=torch.zeros(5, 2, 2, 512)),
        "test.sources must be float32 [item=5, source=2, channel=1, time=512], is float32 [5, 2, 2, 512]",
    ),
    "time": (
        replace(DATA, test=split(5, 2, 1, 500)),
        "test.mixture must be float32 [item=5, channel=1, time=512], is float32 [5, 1, 500]",
    ),
    "height": (
        replace(IMAGES, train=split(4, 2, 3, 9, 9)),
        "train.mixture must be float32 [item=4, channel=3, height=8, width=9], is float32 [4, 3, 9, 9]",
    ),
    "longer without a crop": (
        replace(DATA, train=split(6, 2, 1, 700)),
        "train.mixture must be float32 [item=6, channel=1, time=512], is float32 [6, 1, 700]",
    ),
    "longer and not to train on": (
        replace(DATA, test=split(6, 2, 1, 700), augmentation=Augmentation(crop=512)),
        "test.mixture must be float32 [item=6, channel=1, time=512], is float32 [6, 1, 700]",
    ),
    "shorter than a crop": (
        replace(DATA, train=split(6, 2, 1, 500), augmentation=Augmentation(crop=512)),
        "train.mixture must be float32 [item=6, channel=1, time=512], is float32 [6, 1, 500]",
    ),
    "sources shorter than their mixture": (
        replace(DATA, train=Split(torch.zeros(6, 1, 700), torch.zeros(6, 2, 1, 512)), augmentation=Augmentation(512)),
        "train.sources must be float32 [item=6, source=2, channel=1, time=700], is float32 [6, 2, 1, 512]",
    ),
    "crop": (
        replace(DATA, augmentation=Augmentation(crop=256)),
        "augmentation.crop must be 0 or signal.shape[0] = 512, is 256",
    ),
    "crop of images": (
        replace(IMAGES, augmentation=Augmentation(crop=8)),
        "augmentation.crop must be 0 for images, is 8",
    ),
    "units of some items": (
        changed("test", units=(("a",), ("b",))),
        "test.units must be a tuple of an entry for each of 5 items, has 2",
    ),
    "list of units": (
        changed("test", units=["a"] * 5),
        "test.units must be a tuple of an entry for each of 5 items, is list",
    ),
    "units without names": (
        changed("test", units=(("a",), ("b",), ("c", "d"), ("e",), ("f",))),
        "test.units must hold a tuple of 1 names (recordings) for each item, has ('c', 'd') for item 2",
    ),
    "unit of no name": (
        changed("validation", units=(("a",), ("",), ("b",), ("b",))),
        "validation.units must hold a tuple of 1 names (recordings) for each item, has ('',) for item 1",
    ),
    "unit in two splits": (
        replace(changed("test", units=(("a",),) * 5), validation=replace(DATA.validation, units=(("a",),) * 4)),
        "'a' is in validation.units and in test.units: splits must share none",
    ),
    "names of units": (
        replace(DATA, unit_names=()),
        "unit_names must be a tuple of words such as ('recordings',), is ()",
    ),
    "NaN": (
        changed("train", mixture=with_value(TRAIN.mixture, (7, 0, 511), math.nan)),
        "train.mixture must be finite, is nan in item 7",
    ),
    "infinity": (
        changed("test", sources=with_value(DATA.test.sources, (4, 1, 0, 0), -math.inf)),
        "test.sources must be finite, is -inf in item 4",
    ),
    "NaN observed": (
        changed("train", observed=with_value(TRAIN.mixture, (0, 0, 0), math.inf)),
        "train.observed must be finite, is inf in item 0",
    ),
    "list of sources": (
        signal(sources=["low", "high"]),
        "signal.sources must be a tuple of one name or more, is ['low', 'high']",
    ),
    "no sources": (signal(sources=()), "signal.sources must be a tuple of one name or more, is ()"),
    "two names alike": (
        signal(sources=("low", "low")),
        "signal.sources must be different names (not by capitals alone), are low, low",
    ),
    "pairs alike": (
        signal(sources=("a", "b_to_c", "a_to_b", "c")),
        "signal.sources must be names whose ordered pairs have different names: 'a' to 'b_to_c' and 'a_to_b' to 'c' "
        "are both a_to_b_to_c",
    ),
    "NaN in a track": (
        tracks(sources=(ZEROS, with_value(ZEROS, (1, 0, 8), math.nan))),
        "tracks.sources must be finite, is nan in track B, source 1",
    ),
    "infinity in a track": (
        tracks(mixtures=(with_value(ZEROS[0], (0, 3), math.inf), ZEROS[0])),
        "tracks.mixtures must be finite, is inf in track A, channel 0",
    ),
    "units of tracks without a length": (
        tracks(units=(1, 2)),
        "tracks.units must hold a tuple of 1 names for each track, has 1 for track A",
    ),
    "units of tracks that are words": (
        tracks(units=(("x",), "y")),
        "tracks.units must hold a tuple of 1 names for each track, has 'y' for track B",
    ),
    "lists of names of tracks": (
        tracks(names=(["A"], "B")),
        f"tracks.names must be {WANTED}, one is ['A']",
    ),
    "list of tracks": (
        tracks(names=["A", "B"]),
        "tracks.names must be a tuple of names of files, is ['A', 'B']",
    ),
    **{
        f"track {name!r}": (tracks(names=("B", name)), f"tracks.names must be {WANTED}, one is {name!r}")
        for name in UNUSABLE
    },
    "a long name of a track": (
        tracks(names=("B", "a" * 300)),
        f"tracks.names must be {WANTED}, one is '{'a' * 20}' and 280 letters more",
    ),
    "names of tracks that differ by capitals": (
        tracks(names=("Stra\u00dfe", "STRASSE")),
        "tracks.names must be different names (not by capitals alone), has 'Stra\u00dfe' and 'STRASSE'",
    ),
    "names of tracks that are alike": (
        tracks(names=("A", "A")),
        "tracks.names must be different names (not by capitals alone), has 'A' and 'A'",
    ),
    "image with a rate": (
        replace(IMAGES, signal=replace(IMAGES.signal, sample_rate=3.0)),
        "signal.sample_rate must be None for images, is 3.0 with the shape (8, 9)",
    ),
    "pixels of bytes": (
        replace(IMAGES, train=replace(IMAGES.train, sources=with_value(IMAGES.train.sources, (1, 0, 2, 7, 8), 255))),
        "train.sources must be pixels in 0..1, is 255 in item 1",
    ),
    "pixels below 0": (
        replace(IMAGES, train=replace(IMAGES.train, observed=with_value(IMAGES.train.mixture, (3, 0, 0, 0), -1) / 2)),
        "train.observed must be pixels in 0..1, is -0.5 in item 3",
    ),
    "a range twice": (
        signal(heart_sources=("low",), heart_rates=(("low", 50, 60), ("low", 70, 80))),
        "signal.heart_rates must have each name once, is (('low', 50, 60), ('low', 70, 80))",
    ),
    **{
        f"rates {low!r} to {high!r}": (
            signal(heart_sources=("low",), heart_rates=(("low", low, high),)),
            f"signal.heart_rates must be a tuple of (name among ('low',), lowest, highest beats a minute), is "
            f"(('low', {low!r}, {high!r}),)",
        )
        for low, high in ((math.nan, 60.0), (-5.0, 60.0), (50.0, math.nan), (True, 60.0))
    },
    "a heart twice": (
        signal(heart_sources=("low", "low")),
        "signal.heart_sources must be a tuple of names among low, high, each once, is ('low', 'low')",
    ),
    "beats that are not sorted": (
        changed("test", beats=with_value(BEATS, (4, 1, 3), 1.5)),
        "test.beats must rise in each source of an item, is 1.5 s after 2 s in item 4, source 1",
    ),
    "a beat twice": (
        changed("test", beats=with_value(BEATS, (2, 0, 1), 0.0)),
        "test.beats must rise in each source of an item, is 0 s after 0 s in item 2, source 0",
    ),
    "a unit of two names": (
        changed("test", units=(("u", "v"),) * 5),
        "test.units must hold a tuple of 1 names (recordings) for each item, has ('u', 'v') for item 0",
    ),
    "a unit of one name of two": (
        replace(changed("test", units=(("u",),) * 5), unit_names=("mothers", "fetuses")),
        "test.units must hold a tuple of 2 names (mothers, fetuses) for each item, has ('u',) for item 0",
    ),
    "list of hearts": (
        signal(heart_sources=(["low"],)),
        "signal.heart_sources must be a tuple of names among low, high, each once, is (['low'],)",
    ),
    "list of pulses": (
        signal(heart_sources=("low",), pulse_sources=(["low"],)),
        "signal.pulse_sources must be a tuple of names among ('low',), each once, is (['low'],)",
    ),
    **{
        f"crop {crop!r}": (replace(DATA, augmentation=Augmentation(crop=crop)), f"{CROP}, is {crop!r}")
        for crop in CROPS
    },
    **{f"remix {x!r}": (replace(DATA, augmentation=Augmentation(remix=x)), f"{REMIX}, is {x!r}") for x in REMIXES},
    **{f"level {x!r}": (replace(DATA, augmentation=Augmentation(remix_level=x)), f"{LEVEL}, is {x!r}") for x in LEVELS},
    "empty track": (
        tracks(mixtures=(ZEROS[0], ZEROS[0, :, :0]), sources=(ZEROS, ZEROS[..., :0])),
        "mixture of track B must have a sample or more, is float32 [1, 0]",
    ),
    "unit of a track in another split": (
        replace(tracks(units=(("x",), ("a",))), train=replace(TRAIN, units=(("a",),) * len(TRAIN))),
        "'a' is in train.units and in tracks.units: splits must share none",
    ),
    "no name": (
        signal(sources=("low", "")),
        "signal.sources must be names of letters (a-z, A-Z), digits, _ and - (not first), one is ''",
    ),
    "channels of the signal": (signal(channels=0), "signal.channels must be a whole number above 0, is 0"),
    "shape of the signal": (
        signal(shape=(2, 2, 2)),
        "signal.shape must be (time,) or (height, width), whole numbers above 0, is (2, 2, 2)",
    ),
    "no shape": (
        signal(shape=(0,)),
        "signal.shape must be (time,) or (height, width), whole numbers above 0, is (0,)",
    ),
    "rate": (
        signal(sample_rate=0.0),
        "signal.sample_rate must be a number of Hz above 0, or None for images, is 0.0",
    ),
    "rate that is not finite": (
        signal(sample_rate=math.nan),
        "signal.sample_rate must be a number of Hz above 0, or None for images, is nan",
    ),
    "hearts": (
        signal(heart_sources=("low", "heart")),
        "signal.heart_sources must be a tuple of names among low, high, each once, is ('low', 'heart')",
    ),
    "a heart's name alone": (
        signal(heart_sources="low"),
        "signal.heart_sources must be a tuple of names among low, high, each once, is 'low'",
    ),
    "pulses of no heart": (
        signal(heart_sources=("low",), pulse_sources=("high",)),
        "signal.pulse_sources must be a tuple of names among ('low',), each once, is ('high',)",
    ),
    "a range upside down": (
        signal(heart_sources=("low",), heart_rates=(("low", 115.0, 55.0),)),
        "signal.heart_rates must be a tuple of (name among ('low',), lowest, highest beats a minute), is "
        "(('low', 115.0, 55.0),)",
    ),
    "a range without an end": (
        signal(heart_sources=("low",), heart_rates=(("low", 55.0, float("inf")),)),
        "signal.heart_rates must be a tuple of (name among ('low',), lowest, highest beats a minute), is "
        "(('low', 55.0, inf),)",
    ),
    "a range from nothing": (
        signal(heart_sources=("low",), heart_rates=(("low", 0.0, 115.0),)),
        "signal.heart_rates must be a tuple of (name among ('low',), lowest, highest beats a minute), is "
        "(('low', 0.0, 115.0),)",
    ),
    "a range of no heart": (
        signal(heart_sources=("low",), heart_rates=(("high", 55.0, 115.0),)),
        "signal.heart_rates must be a tuple of (name among ('low',), lowest, highest beats a minute), is "
        "(('high', 55.0, 115.0),)",
    ),
    "beats of one source": (
        replace(DATA, test=replace(DATA.test, beats=torch.zeros(len(DATA.test), 1, 3, dtype=torch.float64))),
        f"test.beats must be a tensor [item, source, beat] of [{len(DATA.test)}, 2, any], is [{len(DATA.test)}, 1, 3]",
    ),
    "beats in float32": (
        replace(DATA, test=replace(DATA.test, beats=torch.zeros(len(DATA.test), 2, 3))),
        "test.beats must be seconds as float64, NaN where there are fewer beats",
    ),
    "fingerprint": (replace(DATA, fingerprint=""), "fingerprint must be a string that is not empty, is ''"),
    "no fingerprint": (
        replace(DATA, fingerprint=None),
        "fingerprint must be a string that is not empty, is None",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_breaches_are_refused_in_one_line(name: str) -> None:
    data, message = REFUSALS[name]
    with pytest.raises(UsageError) as refusal:
        check_task_data(data)
    assert str(refusal.value) == message


@pytest.mark.parametrize(("value", "is_pixel"), [(-0.0009, True), (1.0009, True), (-0.0011, False), (1.0011, False)])
def test_pixels_may_be_rounded(value: float, is_pixel: bool) -> None:
    sources = with_value(IMAGES.test.sources, (1, 1, 2, 7, 8), value)
    data = replace(IMAGES, test=replace(IMAGES.test, sources=sources))
    if is_pixel:
        check_task_data(data)
    else:
        with pytest.raises(UsageError, match=rf"^test\.sources must be pixels in 0\.\.1, is {value} in item 1$"):
            check_task_data(data)


@pytest.mark.parametrize("at_once", [1, 2 * 512, 3 * 512])
@pytest.mark.parametrize("item", [0, 5, 6])
def test_values_are_looked_at_in_chunks(item: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_checks, "_ELEMENTS_AT_ONCE", at_once)
    sound = replace(DATA, test=split(7))
    check_task_data(sound)
    bad = replace(sound, test=replace(sound.test, mixture=with_value(sound.test.mixture, (item, 0, 3), math.nan)))
    with pytest.raises(UsageError, match=f"^test.mixture must be finite, is nan in item {item}$"):
        check_task_data(bad)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            changed("train", mixture=DATA.train.mixture.clone().requires_grad_()),
            "train.mixture must be a dense tensor on the CPU without gradients, is cpu, which requires gradients",
        ),
        (
            changed("test", sources=DATA.test.sources.to_sparse()),
            "test.sources must be a dense tensor on the CPU without gradients, is sparse_coo",
        ),
        (
            changed("validation", mixture=DATA.validation.mixture.to("meta")),
            "validation.mixture must be a dense tensor on the CPU without gradients, is meta",
        ),
        (signal(sample_rate=True), "signal.sample_rate must be a number of Hz above 0, or None for images, is True"),
    ],
)
def test_tensors_that_a_study_could_not_train_on_are_refused(data: TaskData, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_task_data(data)
    assert str(refused.value) == message


def component(parts: torch.Tensor, component_channels: object = 1, train: bool = True, **fields: Any) -> TaskData:
    """Return data whose sources are the first channel of what they add to mixtures of three."""
    whole = Split(parts.sum(1), parts[:, :, :1].contiguous(), parts=parts if train else None)
    kind = replace(SIGNAL, channels=3, component_channels=component_channels)
    return replace(DATA, signal=kind, train=whole, validation=whole, test=whole, **fields)


PARTS = torch.randn(4, 2, 3, 512, generator=torch.Generator().manual_seed(0))


def test_sources_of_the_first_channels_pass_and_others_are_refused() -> None:
    check_task_data(component(PARTS))
    check_task_data(component(PARTS, train=False))
    swapped = component(PARTS)
    swapped = replace(swapped, train=replace(swapped.train, parts=PARTS.flip(2)))
    for data, words in (
        (component(PARTS, 4), r"^signal\.component_channels must be None or a whole number from 1 to .* = 3, is 4$"),
        (component(PARTS, 0), r"^signal\.component_channels must be None or .*, is 0$"),
        (component(PARTS, 2), r"^train\.sources must be .*"),
        (swapped, r"^train\.sources must be the first 1 channel\(s\) of train\.parts$"),
        (component(PARTS, train=False, augmentation=Augmentation(remix=0.5)), r"^train\.parts must be there: "),
    ):
        with pytest.raises(UsageError, match=words):
            check_task_data(data)


def test_silence_is_told_of_whole_splits_and_of_sources_in_all_items() -> None:
    assert task_checks.silence(DATA) == ""
    one_item = with_value(DATA.train.sources, (7, 0), 0.0)
    assert task_checks.silence(changed("train", sources=one_item)) == ""
    zeros = torch.zeros_like(DATA.train.sources)
    last = changed("train", mixture=zeros.sum(1), sources=zeros)
    last = replace(last, test=replace(DATA.test, sources=with_value(DATA.test.sources, (slice(None), 1), 0.0)))
    check_task_data(last)
    told = "All values are 0 in train (mixture, low, high), test (high): look at what the task loads."
    assert task_checks.silence(last) == told

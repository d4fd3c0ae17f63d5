"""What holds for every task; a module placed into sepray.tasks is enrolled by being there."""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sepray import registry
from sepray.contracts import Split, TaskData

NAMES = registry.names("sepray.tasks")
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass
class Loaded:
    module: Any
    data: TaskData
    cache: Path
    cpu_seconds: float


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    module = registry.find("sepray.tasks", request.param)
    cache = tmp_path_factory.mktemp(request.param)
    start = time.process_time()
    data = module.DEBUG.load(cache)
    return Loaded(module, data, cache, time.process_time() - start)


def _splits(data: TaskData) -> dict[str, Split]:
    return {name: getattr(data, name) for name in SPLITS}


def _digests(items: Tensor) -> set[str]:
    return {hashlib.sha256(item.numpy().tobytes()).hexdigest() for item in items}


def test_there_are_tasks() -> None:
    assert "ecg" in NAMES


def test_config_is_frozen_and_says_itself_in_json(task: Loaded) -> None:
    config = task.module.DEBUG
    assert type(config) is task.module.Config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1
    json.dumps(dataclasses.asdict(config), allow_nan=False)


def test_debug_takes_less_than_a_second(task: Loaded) -> None:
    assert task.cpu_seconds < 1  # of this process' CPU time, so that a busy machine does not fail it


def test_names_and_sample_rate(task: Loaded) -> None:
    signal = task.data.signal
    assert len(set(signal.sources)) == len(signal.sources) >= 2
    assert all(name and "/" not in name for name in signal.sources)  # scores are named source/measure
    assert (signal.sample_rate is None) == (len(signal.shape) == 2)
    assert signal.sample_rate is None or signal.sample_rate > 0


def test_shapes_and_types(task: Loaded) -> None:
    signal, crop = task.data.signal, task.data.augmentation.crop
    assert crop in (0, *signal.shape[-1:])
    for name, split in _splits(task.data).items():
        assert len(split) >= 1
        shape = split.mixture.shape[2:]
        assert shape == signal.shape if not crop or name != "train" else shape[0] > crop
        assert split.mixture.shape == (len(split), signal.channels, *shape)
        assert split.sources.shape == (len(split), len(signal.sources), signal.channels, *shape)
        assert split.mixture.dtype == split.sources.dtype == torch.float32


def test_values_are_finite_and_no_source_is_always_silent(task: Loaded) -> None:
    for split in _splits(task.data).values():
        assert split.mixture.isfinite().all()
        assert split.sources.isfinite().all()
        assert (split.sources.square().transpose(0, 1).flatten(1).sum(1) > 0).all()


def test_sources_explain_their_mixture(task: Loaded) -> None:
    for split in _splits(task.data).values():
        total = split.sources.sum(1)
        unexplained = (split.mixture - total).square().sum() / split.mixture.square().sum()
        of_another = (split.mixture - total.roll(1, 0)).square().sum() / split.mixture.square().sum()
        assert unexplained < 0.5
        assert len(split) == 1 or unexplained < 0.5 * of_another


def test_no_recording_is_in_two_splits(task: Loaded) -> None:
    recordings = task.module.DEBUG.recordings(task.cache)
    assert recordings.keys() == set(SPLITS)
    everything = [one for split in SPLITS for one in recordings[split]]
    assert all(recordings[split] for split in SPLITS)
    assert len(set(everything)) == len(everything)


def test_no_item_is_in_two_splits(task: Loaded) -> None:
    for items in ("mixture", "sources"):
        digests = [_digests(getattr(split, items)) for split in _splits(task.data).values()]
        assert len(set.union(*digests)) == sum(len(one) for one in digests)


def test_same_seed_same_bits(task: Loaded, tmp_path: Path) -> None:
    for cache in (task.cache, tmp_path):  # read back, and made anew
        again = task.module.DEBUG.load(cache)
        assert again.signal == task.data.signal
        assert again.fingerprint == task.data.fingerprint
        for name, split in _splits(again).items():
            assert torch.equal(split.mixture, getattr(task.data, name).mixture)
            assert torch.equal(split.sources, getattr(task.data, name).sources)


def test_other_seed_other_data(task: Loaded, tmp_path: Path) -> None:
    config = task.module.DEBUG
    other = dataclasses.replace(config, seed=config.seed + 1).load(tmp_path)
    assert other.fingerprint != task.data.fingerprint
    assert not torch.equal(other.train.mixture, task.data.train.mixture)

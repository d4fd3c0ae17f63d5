"""Rules for every task; a module placed into sepray.tasks is enrolled by being there."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from sepray import registry
from sepray.contracts import SPLITS, Split, Supervision, TaskData
from sepray.loading import load_task
from sepray.training.views import view

NAMES = registry.names("sepray.tasks")


@dataclasses.dataclass
class Loaded:
    module: Any
    data: TaskData
    cache: Path


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    module = registry.find("sepray.tasks", request.param)
    cache = tmp_path_factory.mktemp(request.param)
    return Loaded(module, load_task(module.DEBUG, cache), cache)


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


def test_debug_is_small(task: Loaded) -> None:
    tensors = [tensor for split in _splits(task.data).values() for tensor in (split.mixture, split.sources)]
    assert sum(tensor.numel() for tensor in tensors) <= 500_000
    assert sum(len(split) for split in _splits(task.data).values()) <= 40
    assert sum(path.stat().st_size for path in task.cache.rglob("*") if path.is_file()) <= 2_000_000


def test_debug_has_several_sources_and_a_rate_unless_it_has_images(task: Loaded) -> None:
    signal = task.data.signal
    assert len(signal.sources) >= 2
    assert (signal.sample_rate is None) == (len(signal.shape) == 2)


def test_sizes_are_those_of_the_configuration(task: Loaded) -> None:
    assert [len(split) for split in _splits(task.data).values()] == [getattr(task.module.DEBUG, s) for s in SPLITS]
    crop = task.data.augmentation.crop
    assert (task.data.train.mixture.shape[-1] > task.data.validation.mixture.shape[-1]) == bool(crop)


def test_no_source_is_always_silent(task: Loaded) -> None:
    for split in _splits(task.data).values():
        assert (split.sources.square().transpose(0, 1).flatten(1).sum(1) > 0).all()


def test_sources_explain_their_mixture(task: Loaded) -> None:
    for split in _splits(task.data).values():
        total = split.sources.sum(1)
        unexplained = (split.mixture - total).square().sum() / split.mixture.square().sum()
        of_another = (split.mixture - total.roll(1, 0)).square().sum() / split.mixture.square().sum()
        assert unexplained < 0.5
        assert unexplained < 0.5 * of_another


def test_no_recording_is_in_two_splits(task: Loaded) -> None:
    recordings = task.module.DEBUG.recordings(task.cache)
    assert recordings.keys() == set(SPLITS)
    everything = [one for split in SPLITS for one in recordings[split]]
    assert all(recordings[split] for split in SPLITS)
    assert len(set(everything)) == len(everything)


def test_unpaired_samples_are_in_none_of_the_mixtures(task: Loaded) -> None:
    train = task.data.train
    seen = view(train, Supervision.UNPAIRED_SOURCES, torch.Generator().manual_seed(0))
    items = [i for i, mixture in enumerate(train.mixture) if any(torch.equal(mixture, m) for m in seen["mixture"])]
    assert 0 < len(items) < len(train)
    for source in range(train.sources.shape[1]):
        of_mixtures = train.sources[torch.tensor(items), source]
        assert not _digests(seen["sources"][:, source]) & _digests(of_mixtures)


def test_items_say_what_they_were_cut_from(task: Loaded) -> None:
    """All items have as many names, and no two splits share any; ``load_task`` refuses other units."""
    for split in _splits(task.data).values():
        assert split.units is not None
        assert len(split.units) == len(split)
        assert {len(unit) for unit in split.units} == {len(task.data.unit_names)}


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
            assert split.units == getattr(task.data, name).units


def test_rate_and_length_are_those_of_the_configuration(task: Loaded, tmp_path: Path) -> None:
    config = task.module.DEBUG
    if task.data.signal.sample_rate is None:
        pytest.skip("has images")
    rate = config.sample_rate * 5 // 4
    data = load_task(dataclasses.replace(config, sample_rate=rate, item_samples=config.item_samples // 2), tmp_path)
    assert (data.signal.sample_rate, data.signal.shape) == (rate, (config.item_samples // 2,))
    assert data.fingerprint != task.data.fingerprint


def test_other_seed_other_data(task: Loaded, tmp_path: Path) -> None:
    config = task.module.DEBUG
    other = dataclasses.replace(config, seed=config.seed + 1).load(tmp_path)
    assert other.fingerprint != task.data.fingerprint
    assert not torch.equal(other.train.mixture, task.data.train.mixture)


@pytest.mark.parametrize(
    ("name", "files", "level"),
    [("bach10", 20, 1 / 8), ("stems", 10, 1 / 8), ("speech_noise", 10, None), ("piano_mix", 5, 1 / 8)],
)
def test_synthesised_recordings_are_whole_and_not_clipped(
    name: str, files: int, level: float | None, tmp_path: Path
) -> None:
    registry.find("sepray.tasks", name).DEBUG.load(tmp_path)
    paths = sorted(tmp_path.glob("synthesised-*/**/*.wav"))
    assert len(paths) == files
    for path in paths:
        samples, rate = soundfile.read(path)
        assert rate == 8000
        assert 4000 <= len(samples) <= 20000
        assert 0.2 < np.abs(samples).max() < 1
        if level is not None:  # 16 bits of a part of unit power over eight
            assert np.sqrt(np.square(samples).mean()) == pytest.approx(level, rel=1e-3)

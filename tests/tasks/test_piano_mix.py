from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sepray.errors import UsageError
from sepray.tasks.piano_mix import Config

from .sounds import RATE, disjoint, heard, tone, write

SPLITS = ("train", "validation", "test")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    rising = np.sin(2 * np.pi * np.cumsum(np.linspace(400, 900, 4 * RATE)) / RATE)
    write(tmp_path / "piano" / "long.wav", 0.2 * rising)
    for k in range(5):
        write(tmp_path / "others" / "flu" / f"{k}.wav", tone(2000 + 20 * k), tone(2000 + 20 * k))  # stereo
    small = Config(train=60, validation=20, test=20, item_samples=1024, sample_rate=RATE)
    return replace(small, piano=str(tmp_path / "piano"), others=str(tmp_path / "others"))


def test_one_long_recording_is_cut_into_stretches_and_others_are_divided(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    assert data.signal.sources == ("piano", "others")
    assert data.signal.channels == 1
    piano = {split: heard(getattr(data, split).sources[:, 0]) for split in SPLITS}
    assert max(piano["train"]) <= 750 <= min(piano["validation"]) + 10  # 70 % of the way from 400 to 900 Hz
    assert max(piano["validation"]) <= 800 <= min(piano["test"]) + 10
    assert disjoint([set(heard(getattr(data, split).sources[:, 1])) for split in SPLITS])


def test_levels_are_within_five_decibels(config: Config, tmp_path: Path) -> None:
    data = config.load(tmp_path / "cache")
    power = data.train.sources.double().square().mean((2, 3))
    ratio = 10 * torch.log10(power[:, 0] / power[:, 1])
    assert -5.001 <= ratio.min() < -4
    assert 4 < ratio.max() <= 5.001
    assert torch.equal(data.train.mixture, data.train.sources.sum(1))


def test_three_recordings_are_divided_whole(config: Config, tmp_path: Path) -> None:
    for k in range(3):
        write(tmp_path / "more" / f"{k}.wav", tone(300 + 20 * k))
    data = replace(config, piano=str(tmp_path / "more")).load(tmp_path / "cache")
    found = [set(heard(getattr(data, split).sources[:, 0])) for split in SPLITS]
    assert sorted(map(len, found)) == [1, 1, 1]
    assert disjoint(found)


def test_a_window_is_a_second_by_default() -> None:
    assert Config().item_samples / Config().sample_rate == pytest.approx(1.024)
    with pytest.raises(UsageError, match="ratio must be two rising numbers"):
        Config(ratio=(0.0,))  # type: ignore[arg-type]

import numpy as np
import pytest
import torch
import torchaudio.functional
from numpy.typing import NDArray

from sepray.signals import resampling


def noise(channels: int, frames: int) -> NDArray[np.float32]:
    return 0.1 * np.random.default_rng(0).standard_normal((channels, frames)).astype(np.float32)


@pytest.mark.parametrize(("rate", "new"), [(44100, 16000), (16000, 44100), (8000, 16000), (48000, 44100)])
@pytest.mark.parametrize("frames", [5, 997, 30011])
def test_blocks_are_resampled_as_torchaudio_resamples_the_whole(
    rate: int, new: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, "_SAMPLES_AT_ONCE", 4096)
    signal = noise(2, frames)
    expected = torchaudio.functional.resample(torch.from_numpy(signal).double(), rate, new).numpy()
    for pieces in (1, 7):
        blocks = iter(np.array_split(signal, pieces, axis=1))
        found = np.concatenate(list(resampling.resampled(blocks, rate, new)), axis=1)
        assert found.shape == expected.shape == (2, resampling.resampled_length(frames, rate, new))
        assert np.abs(found - expected).max() <= 2.0**-21  # it is rounded to 2^-20
        assert np.array_equal(found * 2**20, np.round(found * 2**20))


def test_equal_rates_leave_the_blocks_as_they_are() -> None:
    blocks = [noise(1, 5), noise(1, 7)]
    found = list(resampling.resampled(iter(blocks), 8000, 8000))
    assert [one is other for one, other in zip(found, blocks, strict=True)] == [True, True]
    assert list(resampling.resampled(iter([]), 8000, 4000)) == []


def test_blocks_that_fill_a_chunk_to_the_last_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk is 4096 samples, and the filter needs 14 on either side of it (at a rate that is halved)."""
    monkeypatch.setattr(resampling, "_SAMPLES_AT_ONCE", 4096)
    expected = None
    for frames in (4096 + 14, 4096 + 13, 4096 + 28, 2 * 4096 + 28):
        signal = noise(1, frames)
        expected = torchaudio.functional.resample(torch.from_numpy(signal).double(), 16000, 8000).numpy()
        found = np.concatenate(list(resampling.resampled(iter([signal]), 16000, 8000)), axis=1)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 2.0**-21


@pytest.mark.parametrize(
    ("frames", "rate", "new", "length"), [(10, 3, 1, 4), (9, 3, 1, 3), (10, 1, 3, 30), (1, 44100, 16000, 1)]
)
def test_length_is_rounded_up(frames: int, rate: int, new: int, length: int) -> None:
    assert resampling.resampled_length(frames, rate, new) == length

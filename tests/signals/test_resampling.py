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

"""The filter gives what scipy's polyphase resampling gives with the same filter."""

import math

import numpy as np
import pytest
from scipy.signal import firwin, resample_poly

from sepray.signals.polyphase import Resampler, low_pass


@pytest.mark.parametrize("ratio", [2, 3, 441])
def test_low_pass_is_scipys(ratio):
    expected = firwin(32 * ratio + 1, 1 / ratio, window=("kaiser", 8.6))
    np.testing.assert_allclose(low_pass(ratio), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("up", "down"), [(2, 1), (1, 2), (3, 2), (64, 45), (65, 64), (125, 2), (2, 125), (32, 11025), (9973, 20107)]
)
def test_resampling_is_scipys(up, down):
    """Over one group of outputs, a full one, and several; and where a period has more inputs than outputs."""
    resample = Resampler(up, down)
    periods = max(2, 300 // up)
    margin = down * math.ceil((resample.reach + 2) / down)
    signal = np.random.default_rng(up).normal(size=(2, 3, periods * down + 2 * margin)).astype(np.float32)
    ratio = max(up, down)
    filter_ = firwin(32 * ratio + 1, 1 / ratio, window=("kaiser", 8.6))
    whole = resample_poly(signal.astype(np.float64), up, down, axis=-1, window=filter_)
    start = margin * up // down
    found = resample(signal, margin, periods)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole[..., start : start + periods * up], atol=2e-5)


def test_reach_is_how_far_an_output_sample_looks():
    """Sixteen samples of the lower rate at either side."""
    assert (Resampler(4, 1).reach, Resampler(1, 4).reach, Resampler(3, 2).reach) == (16, 64, 16)
    changed = np.zeros((1, 200), np.float32)
    for offset, reached in ((16, True), (17, False)):
        changed[:] = 0
        changed[0, 100 - offset] = 1
        assert bool(Resampler(4, 1)(changed, 100, 1)[0, 0]) == reached, offset

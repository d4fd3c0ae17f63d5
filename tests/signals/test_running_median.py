"""Levels over time: a running median in blocks is that of the whole; stretches are seen up to both ends."""

import numpy as np
import pytest

from sepray.signals.running_median import drift, less_drift, less_running_median, stretches

NOISE = np.random.default_rng(1).normal(size=(2, 300))


def blocks(signal, length):
    return [signal[:, k : k + length] for k in range(0, signal.shape[1], length)]


@pytest.mark.parametrize(("frames", "length", "block"), [(300, 31, 7), (300, 30, 64), (300, 31, 300), (20, 31, 6)])
def test_running_median_in_blocks_is_that_of_the_whole(frames, length, block):
    signal = NOISE[:, :frames]
    found = np.concatenate(list(less_running_median(blocks(signal, block), (0, length))), axis=1)
    np.testing.assert_array_equal(found[0], signal[0])
    mirrored = np.pad(signal[1], length // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, length | 1)
    np.testing.assert_array_equal(found[1], signal[1] - np.median(windows, axis=1))


def test_a_drift_is_told_from_steps_and_is_a_line_from_the_first_sample_on():
    levels = np.stack([0.5 * np.arange(300), 1e6 * (np.arange(300) > 137)])
    middles, _ = stretches([levels], 30)
    assert [drift(own, 30) for own in middles] == [0.5, 0]
    assert drift(middles[0, :8], 30) == 0  # four changes
    found = np.concatenate(list(less_drift(blocks(levels, 70), (0.5, 0.0))), axis=1)
    np.testing.assert_array_equal(found, levels * np.array([[0.0], [1.0]]))


def test_channels_have_running_medians_of_their_own():
    both, first, second = (
        np.concatenate(list(less_running_median(blocks(NOISE, 40), lengths)), axis=1)
        for lengths in ((31, 7), (31, 0), (0, 7))
    )
    np.testing.assert_array_equal(both, np.stack([first[0], second[1]]))


def test_a_step_stays_sharp_and_a_drift_is_followed():
    time = np.arange(300)
    levels = np.stack([1e6 * (time >= 137), 5.0 * time])
    found = np.concatenate(list(less_running_median([levels], (31, 31))), axis=1)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[1, 15:-15], 0)


@pytest.mark.parametrize("block", [1, 7, 55])
def test_stretches_overlap_by_half_and_reach_both_ends(block):
    signal = NOISE[:, :55]
    parts = [slice(0, 10), slice(0, 20), slice(10, 30), slice(20, 40), slice(30, 55), slice(40, 55)]
    middles, spreads = stretches(blocks(signal, block), 20)
    np.testing.assert_allclose(middles, np.stack([np.median(signal[:, part], axis=1) for part in parts], axis=1))
    np.testing.assert_allclose(spreads, np.stack([signal[:, part].std(axis=1) for part in parts], axis=1))


def test_long_stretches_are_looked_at_in_places():
    signal = np.repeat(NOISE[:, :3], 8192, axis=1)
    middles, _ = stretches(blocks(signal, 5000), 16384)
    np.testing.assert_allclose(middles[:, [0, -1]], NOISE[:, [0, 2]])
    np.testing.assert_allclose(middles[:, 1], NOISE[:, :2].mean(axis=1))

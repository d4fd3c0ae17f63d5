"""The baseline of an ECG: it goes, beats stay as they are, and blocks make no difference."""

import numpy as np
import pytest

from sepray.signals.baseline import Baseline, with_slow_part

LOWEST = 0.004  # beats a sample: 60 a minute at 250 Hz
NOISE = np.random.default_rng(1).normal(size=(2, 70_000))


def slow_of(signal, length=None):
    length = length or signal.shape[1]
    blocks = [signal[:, k : k + length] for k in range(0, signal.shape[1], length)]
    both = [np.stack(one) for one in with_slow_part(blocks, LOWEST)]
    whole = np.concatenate(both, axis=-1)
    np.testing.assert_array_equal(whole[0], signal)
    return whole[1]


@pytest.mark.parametrize("length", [999, 32_768, 40_000])
def test_blocks_make_no_difference(length):
    np.testing.assert_array_equal(slow_of(NOISE, length), slow_of(NOISE))


@pytest.mark.parametrize(("frames", "length"), [(1, 1), (100, 7), (124, 124)])
def test_of_recordings_that_are_too_short_for_a_slope_nothing_moves(frames, length):
    signal = np.arange(frames) % 2 + np.zeros((2, 1))
    np.testing.assert_allclose(slow_of(signal, length), signal.mean(), atol=0.01)


@pytest.mark.parametrize("frames", [250, 900, 4000])
def test_a_drift_goes_on_beyond_both_ends(frames):
    """Mirrored it would have a corner, which beside a drift of a thousand a second is hundreds high."""
    drift = 3 + 4.0 * np.arange(frames)[None]
    np.testing.assert_allclose(slow_of(drift), drift, atol=1e-6)


def test_both_ends_of_a_breath_are_followed():
    """Mirrored, the largest error is 0.24."""
    time = np.arange(5000) / 250
    errors = [
        np.abs(slow_of(wave) - wave).max() for wave in np.sin(2 * np.pi * 0.25 * time + np.arange(8)[:, None])[:, None]
    ]
    assert max(errors) < 0.09


@pytest.mark.parametrize(("frequency", "share"), [(0.1, 1), (0.25, 1), (0.45, 1), (0.75, 0.5), (1, 0), (3, 0)])
def test_what_is_slower_than_hearts_beat_is_in_it_and_nothing_else(frequency, share):
    wave = np.sin(2 * np.pi * frequency * LOWEST * np.arange(20_000))[None] + 3
    inner = slice(5000, 15_000)  # the ends are less certain
    np.testing.assert_allclose(slow_of(wave)[:, inner] - 3, share * (wave[:, inner] - 3), atol=0.03)


def test_what_is_taken_away_has_a_level_of_its_own_in_each_channel():
    found = np.concatenate(list(Baseline(LOWEST, (0.0, 0.5), (0.1, 0.1)).taken_from([NOISE])), axis=-1)
    np.testing.assert_allclose(found, NOISE - slow_of(NOISE) - np.array([[0.0], [0.5]]), atol=1e-12)


def test_a_long_recording_is_not_held_until_its_end():
    taken = []

    def blocks():
        for start in range(0, 200_000, 5000):
            taken.append(start)
            yield NOISE[:, start % 60_000 :][:, :5000]

    next(iter(with_slow_part(blocks(), LOWEST)))
    assert len(taken) < 20

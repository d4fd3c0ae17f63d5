"""The baseline of an ECG: it goes, beats stay as they are, and blocks make no difference."""

import numpy as np
import pytest

from sepray.signals.baseline import Baseline, with_slow_part

LOWEST = 0.004  # beats a sample: 60 a minute at 250 Hz
NOISE = np.random.default_rng(1).normal(size=(2, 70_000))


def slow_of(signal, limit, length=None):
    length = length or signal.shape[1]
    blocks = [signal[:, k : k + length] for k in range(0, signal.shape[1], length)]
    both = [np.stack(one) for one in with_slow_part(blocks, LOWEST, (limit,) * len(signal))]
    whole = np.concatenate(both, axis=-1)
    np.testing.assert_array_equal(whole[0], signal)
    return whole[1]


@pytest.mark.parametrize("length", [999, 32_768, 40_000])
def test_blocks_make_no_difference(length):
    np.testing.assert_array_equal(slow_of(NOISE, 2.0, length), slow_of(NOISE, 2.0))


@pytest.mark.parametrize(("frames", "length"), [(1, 1), (300, 7), (900, 900), (4000, 500)])
def test_recordings_shorter_than_the_filter_are_mirrored(frames, length):
    signal = NOISE[:, :frames]
    mirrored = np.pad(signal, ((0, 0), (10_000, 10_000)), mode="symmetric")
    np.testing.assert_allclose(
        slow_of(signal, 9.0, length), slow_of(mirrored, 9.0)[:, 10_000 : 10_000 + frames], atol=1e-12
    )


@pytest.mark.parametrize(("frequency", "share"), [(0.1, 1), (0.25, 1), (0.45, 1), (0.75, 0.5), (1, 0), (3, 0)])
def test_what_is_slower_than_hearts_beat_is_in_it_and_nothing_else(frequency, share):
    wave = np.sin(2 * np.pi * frequency * LOWEST * np.arange(20_000))[None] + 3
    inner = slice(5000, 15_000)  # mirrored ends have a corner
    np.testing.assert_allclose(slow_of(wave, 9.0)[:, inner] - 3, share * (wave[:, inner] - 3), atol=0.03)


def test_a_disturbance_counts_as_high_as_a_baseline_may_be():
    wave = np.sin(np.arange(4000) / 300)[None]
    disturbed = wave.copy()
    disturbed[:, 2000:2010] = 1e9
    assert np.abs(slow_of(disturbed, 2.0) - slow_of(wave, 2.0)).max() < 0.15


def test_a_channel_without_a_limit_stays_as_it_is():
    found = np.concatenate(list(Baseline(LOWEST, (0.0, 4.0), (0.0, 0.5)).taken_from([NOISE])), axis=-1)
    np.testing.assert_array_equal(found[0], NOISE[0])
    np.testing.assert_allclose(found[1], NOISE[1] - slow_of(NOISE, 4.0)[1] - 0.5, atol=1e-12)


def test_a_long_recording_is_not_held_until_its_end():
    taken = []

    def blocks():
        for start in range(0, 200_000, 5000):
            taken.append(start)
            yield NOISE[:, start % 60_000 :][:, :5000]

    next(iter(with_slow_part(blocks(), LOWEST, (2.0, 2.0))))
    assert len(taken) < 20

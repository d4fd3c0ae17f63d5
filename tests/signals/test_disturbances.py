"""Disturbances of an ECG go, whatever their size; beats, breaths and what is around a disturbance stay as they are."""

import numpy as np
import pytest

from sepray.signals.disturbances import Disturbances, Tally, disturbances

RATE = 100
LOWEST = 0.01  # beats a sample: 60 a minute
TIME = np.arange(3000) / RATE
BEATS = np.exp(-0.5 * ((TIME - np.round(TIME / 0.8) * 0.8) / 0.02) ** 2)  # 75 a minute, 1 high
BEATS += 0.01 * np.random.default_rng(1).normal(size=3000)


def taken_from(signal, length=None):
    """Return the signal, what is far and the steps, each ``[time]``."""
    blocks = [signal[None, k : k + (length or 10_000)] for k in range(0, len(signal), length or 10_000)]
    found = disturbances(blocks, len(signal), LOWEST).taken_from(blocks)
    return tuple(np.concatenate(part, axis=-1)[0] for part in zip(*found, strict=True))


def around(start, stop, margin=0.06):
    return (start - margin <= TIME) & (stop + margin > TIME)


@pytest.mark.parametrize("height", [3.0, -1e6])
@pytest.mark.parametrize(("start", "seconds"), [(10.3, 0.01), (10.3, 0.1), (10.3, 0.45), (0.0, 0.2), (29.8, 0.2)])
def test_a_pop_is_put_on_the_level_and_nothing_else_is_changed(start, seconds, height):
    pop = around(start, start + seconds, 0)
    signal, far, steps = taken_from(BEATS + height * pop)
    near = around(start, start + seconds)
    assert far[pop].all()
    assert not far[~near].any()
    assert not steps.any()
    np.testing.assert_array_equal(signal[~near], BEATS[~near])
    assert np.abs(signal[near]).max() < 1.1


@pytest.mark.parametrize("height", [1.5, -30.0, 1e6])
@pytest.mark.parametrize("seconds", [0.7, 3.0, 40.0])
def test_a_step_is_taken_away_for_as_long_as_it_lasts(height, seconds):
    away = around(10.3, 10.3 + seconds, 0)
    signal, _, steps = taken_from(BEATS + height * away)
    sharp = around(10.3, 10.3, 0.3) | around(10.3 + seconds, 10.3 + seconds, 0.3)
    assert np.abs(signal - BEATS)[~sharp].max() < 0.4
    assert np.abs(signal).max() < 1.5
    assert steps[around(10.3, 10.3, 0.02)].any()
    assert not steps[~sharp].any()


@pytest.mark.parametrize("frames", [100, 300, 1000])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_step_is_seen_wherever_it_is_in_a_short_recording(frames, share):
    signal, far, _ = taken_from(BEATS[:frames] + 1000.0 * (np.arange(frames) >= share * frames))
    level = np.median(signal)
    assert np.abs(signal - level).max() < 2
    assert np.mean(far) < 0.35


@pytest.mark.parametrize("frames", [40, 75, 100, 160, 250, 400])
def test_short_recordings_without_a_disturbance_stay_as_they_are(frames):
    for start in range(0, 300, 20):
        beats = BEATS[start : start + frames] + 0.2 * np.sin(TIME[:frames] * 9)
        np.testing.assert_array_equal(taken_from(beats)[0], beats)


@pytest.mark.parametrize(("height", "hertz"), [(1.0, 0.3), (2.0, 0.3), (10.0, 0.1)])
def test_beats_and_breaths_are_none(height, hertz):
    breath = BEATS + height * np.sin(2 * np.pi * hertz * TIME) + 0.5 * TIME
    signal, far, steps = taken_from(breath)
    inner = slice(60, -60)  # where the level of a steep end is uncertain
    np.testing.assert_array_equal(signal[inner] - signal[60], breath[inner] - breath[60])
    assert np.abs(signal - breath).max() < 0.5
    assert not far.any()
    assert not steps[inner].any()


def test_an_ectopic_beat_is_none():
    ectopic = BEATS - 3.2 * np.exp(-0.5 * ((TIME - 10.1) / 0.05) ** 2)
    np.testing.assert_array_equal(taken_from(ectopic)[0], ectopic)


@pytest.mark.parametrize("length", [7, 137, 3000])
def test_blocks_make_no_difference(length):
    disturbed = BEATS + 50.0 * around(10.3, 10.5) + 20.0 * (TIME > 20) + np.sin(TIME)
    for found, whole in zip(taken_from(disturbed, length), taken_from(disturbed), strict=True):
        np.testing.assert_allclose(found, whole, atol=1e-12)


def test_channels_have_heights_of_their_own_and_a_silent_one_stays():
    both = np.stack([0.01 * BEATS, 100 * BEATS, 0 * BEATS])
    found = disturbances([both], 3000, LOWEST)
    assert found.heights == pytest.approx((0.01, 1e2, 0), rel=0.05)
    popped = both + 50.0 * around(10.3, 10.4)
    parts = zip(*Disturbances(found.length, found.heights).taken_from([popped]), strict=True)
    signal, far, _ = (np.concatenate(part, axis=-1) for part in parts)
    assert far.any(axis=1).tolist() == [True, False, False]
    np.testing.assert_array_equal(signal[1:], popped[1:])


@pytest.mark.parametrize("length", [100, 1030, 3000])
def test_what_is_taken_away_is_counted_whatever_the_blocks(length):
    disturbed = np.stack([BEATS, BEATS + 50.0 * around(10.3, 10.4, 0) + 20.0 * (TIME > 20) - 30.0 * (TIME > 25)])
    blocks = [disturbed[:, k : k + length] for k in range(0, 3000, length)]
    tally = Tally(2)
    signal = np.concatenate(list(tally.watching(disturbances(blocks, 3000, LOWEST).taken_from(blocks))), axis=-1)
    assert np.abs(signal).max() < 1.5
    assert tally.far.tolist() == [0, pytest.approx(18, abs=2)]
    assert tally.first.tolist() == [0, pytest.approx(1026, abs=1)]
    assert tally.steps.tolist() == [0, 2]

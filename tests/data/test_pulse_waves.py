"""Breath, beats and pulses in closed form: ranges of what is drawn, and what is drawn from a seed."""

import numpy as np
import pytest

from sepray.data.heart_records import PHASES
from sepray.data.pulse_waves import at_phase, beats, breath, synthetic_pulses, tops

ITEMS = 2000
SECONDS = np.arange(504) / 32


def random(seed=0):
    return np.random.default_rng(seed)


class Drawn:
    """Stands in for a generator: gives the middle of each range, and keeps the ranges and shapes."""

    def __init__(self, share=0.5):
        self.share, self.asked = share, []

    def uniform(self, low, high, size):
        self.asked.append((low, high, size))
        return np.full(size, low + self.share * (high - low))


def test_breath_has_its_rate_and_rises_for_the_shorter_part():
    source = Drawn()
    phase, wave = breath(source, 3, (6.0, 18.0), SECONDS)
    assert source.asked[0] == (6.0, 18.0, (3, 1))
    assert source.asked[1:] == [(0, 0.05, (3, 1)), (0, 1, (3, 1)), (0, 1, (3, 1)), (1 / 3, 0.45, (3, 1))]
    # 12 a minute are 0.2 Hz; the drift of 0.025 is a sine over the item that begins at half its period.
    drift = 0.025 * 15.75 / 6 * np.sin(2 * np.pi * (SECONDS / 15.75 + 0.5))
    np.testing.assert_allclose(phase, np.tile(0.2 * (SECONDS + drift) + 0.5, (3, 1)))
    inspiration, cycle = (1 / 3 + 0.45) / 2, phase % 1
    rising = cycle < inspiration
    expected = -np.cos(np.pi * np.where(rising, cycle / inspiration, (1 - cycle) / (1 - inspiration)))
    np.testing.assert_allclose(wave, expected, atol=1e-12)


def test_breath_is_between_minus_one_and_one_and_differs_from_item_to_item():
    phase, wave = breath(random(), ITEMS, (8.0, 30.0), SECONDS)
    assert phase.shape == wave.shape == (ITEMS, 504)
    assert -1 <= wave.min() < -0.999
    assert 0.999 < wave.max() <= 1
    rates = 60 * (phase[:, -1] - phase[:, 0]) / SECONDS[-1]
    assert 7.7 < rates.min() < 8.3
    assert 29 < rates.max() < 31
    rising = (np.diff(wave) > 0).mean(axis=1)
    assert 0.30 < np.quantile(rising, 0.1) < 0.36 < 0.41 < np.quantile(rising, 0.9) < 0.47
    assert np.quantile(phase[:, 0] % 1, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_heart_beats_faster_while_breathing_in_and_slowly_up_and_down():
    source = Drawn()
    breathing = np.tile(0.2 * SECONDS, (2, 1))
    phase = beats(source, (60.0, 90.0), SECONDS, breathing)
    assert source.asked[:3] == [(60.0, 90.0, (2, 1)), (0, 0.05, (2, 1)), (0, 0.03, (2, 1))]
    assert source.asked[3:] == [(0, 1, (2, 1))] * 2
    rate = 1 + 0.025 * np.sin(2 * np.pi * breathing) + 0.015 * np.sin(2 * np.pi * (0.1 * SECONDS + 0.5))
    np.testing.assert_allclose(phase, 0.5 + np.cumsum(1.25 * rate / 32, axis=1))


def test_synthetic_pulse_is_a_large_wave_and_a_later_smaller_one():
    source = Drawn()
    (pulse,) = synthetic_pulses(source, 1)
    asked = [(low, high) for low, high, size in source.asked]
    assert asked == [(0.22, 0.30), (0.07, 0.10), (1.0, 1.0), (0.54, 0.64), (0.10, 0.15), (0.25, 0.55)]
    assert {size for _, _, size in source.asked} == {(1, 1)}
    phase = np.arange(PHASES) / PHASES

    def around(centre, width):
        """A Gaussian and its neighbours of the beats before and after."""
        return sum(
            np.exp(-0.5 * ((phase - centre - beat) / width) ** 2) * (abs(phase - centre - beat) <= 0.5)
            for beat in (-1, 0, 1)
        )

    expected = around(0.26, 0.085) + 0.4 * around(0.59, 0.125)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(pulse, expected, atol=1e-12)


def test_synthetic_pulses_differ_and_are_each_from_0_to_1():
    pulses = synthetic_pulses(random(), 100)
    assert (pulses.min(axis=1) == 0).all()
    assert (pulses.max(axis=1) == 1).all()
    assert np.unique(pulses.argmax(axis=1)).size > 10


def test_pulse_is_read_between_its_phases_and_around_the_beat():
    pulse = np.zeros((2, PHASES))
    pulse[0, 3], pulse[0, 4], pulse[1, -1], pulse[1, 0] = 1, 3, 2, 4
    phases = np.array([[3, 3.25, 4, 4.5], [PHASES - 1, PHASES - 0.25, PHASES, 5 * PHASES + 0.5]]) / PHASES
    np.testing.assert_allclose(at_phase(pulse, phases), [[1, 1.5, 3, 1.5], [2, 3.5, 4, 2]])
    np.testing.assert_allclose(at_phase(pulse, phases - 3), [[1, 1.5, 3, 1.5], [2, 3.5, 4, 2]])


def test_pulses_are_highest_where_the_heart_passes_their_top():
    """Tops at a quarter and at three quarters of a beat; hearts of 2 and 1 beats a second from phases 0.5 and 3.75."""
    pulse = np.zeros((2, PHASES))
    pulse[0, PHASES // 4] = pulse[1, 3 * PHASES // 4] = 1
    seconds = np.arange(201) / 100
    found = tops(pulse, np.stack([0.5 + 2 * seconds, 3.75 + seconds]), 100.0)
    assert found.shape == (2, 5)
    np.testing.assert_allclose(found[0], [0.375, 0.875, 1.375, 1.875, np.nan])
    np.testing.assert_allclose(found[1], [0, 1, 2, np.nan, np.nan], atol=1e-12)

"""Beats in closed form: each drawn quantity has the range, and the spread over it, that its constant says."""

import numpy as np
import pytest

from sepray.data import varied_ecg
from sepray.data.varied_ecg import (
    Rhythm,
    Shapes,
    band_passed,
    beats,
    coloured,
    complexes,
    decimated,
    drawn,
    shapes,
    widenings,
)

ITEMS = 2000


def random(seed=0):
    return np.random.default_rng(seed)


def is_uniform(values, low, high):
    """Values lie between the limits, reach both, and their mean lies in the middle."""
    values = np.ravel(values)
    width = high - low
    assert low <= values.min() < low + 0.02 * width
    assert high - 0.02 * width < values.max() <= high
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * width)
    return True


def test_hearts_beat_at_rates_that_vary_with_the_breath_and_at_random():
    found = beats(random(), ITEMS, (55, 115), 60)
    assert is_uniform(60 / found.period, 55, 115)
    periods = np.diff(found.times, axis=1) / found.period[:, None]
    assert (found.times[:, 0] < 1).all()
    assert (found.times[:, -1] > 61).all()
    np.testing.assert_allclose(periods.mean(axis=1), 1, atol=0.02)
    deviations = periods.std(axis=1)
    assert 0.002 < deviations.min() < 0.008  # little of both
    assert 0.025 < deviations.max() < 0.035  # 4% / sqrt(2) with 1.5%
    assert not found.ectopic.any()
    depths = (found.amplitudes.max(axis=1) - found.amplitudes.min(axis=1)) / 2
    assert is_uniform(depths, 0, 0.15)


class Drawn:
    """Stands in for a generator: gives a share of each range, and keeps the ranges."""

    def __init__(self, share):
        self.share, self.asked = share, []

    def uniform(self, low, high, size):
        self.asked.append((low, high))
        return np.full(size, low + self.share * (high - low))

    def standard_normal(self, size):
        return np.ones(size)


def test_beats_are_the_ones_worked_out_by_hand():
    source = Drawn(0.75)
    found = beats(source, 2, (50, 60), 4)
    ranges = [(50, 60), (0.15, 0.4), (0, 2 * np.pi), (0.0, 0.04), (0.002, 0.015), (0, 1), (0.6, 0.8), (0, 1)]
    assert source.asked == [*ranges, (0.0, 0.15), (0, 1)]
    # 57.5 beats a minute; each period is longer by 1.175%, and with the breath by up to 3%.
    period, expected = 60 / 57.5, [-1 - 0.75 * 60 / 57.5]
    for _ in range(10):  # six seconds of at most 60 a minute, a tenth more, and three
        sway = 1 + 0.03 * np.sin(2 * np.pi * (0.3375 * expected[-1] + 0.75))
        expected.append(expected[-1] + period * sway * 1.01175)
    np.testing.assert_allclose(found.times, [expected[1:]] * 2)
    np.testing.assert_allclose(found.period, [period] * 2)
    strengths = 1 + 0.1125 * np.sin(2 * np.pi * (0.3375 * found.times + 0.75))
    np.testing.assert_allclose(found.amplitudes, strengths)


@pytest.mark.parametrize(("share", "usual"), [(0.24, False), (0.25, True), (0.26, True)])
def test_beat_is_early_or_missed_where_less_than_that_share_is_drawn(share, usual):
    found = beats(Drawn(share), 1, (60, 60), 4, ectopic=0.25, missed=0.25)
    assert (found.amplitudes != 0).all() == usual
    assert found.ectopic.any() == (not usual)


def test_beat_before_the_first_and_after_the_last_sample_is_drawn_as_far_as_it_reaches():
    """Three quarters of a second from the first or the last sample, at 100 Hz."""
    shape = Shapes(np.zeros((1, 5)), np.ones((1, 5)), np.array([[0, 0, 1.0, 0, 0]]))
    for time, inside in ((-1.3, slice(0, 76)), (2.2, slice(124, 200)), (-1.0, slice(0, 76)), (0.99, slice(124, 200))):
        one = Rhythm(np.array([[time]]), np.ones(1), np.ones((1, 1)), np.zeros((1, 1), bool))
        (signal,) = drawn(one, shape, np.ones((1, 1)), 100, 200)
        since = np.arange(200) / 100 - 1 - time
        expected = np.zeros(200)
        expected[inside] = np.exp(-0.5 * since[inside] ** 2)
        np.testing.assert_allclose(signal, expected, atol=1e-12)


def test_early_beats_are_followed_by_a_pause_and_missed_ones_are_not_there():
    found = beats(random(), 200, (60, 60), 60, ectopic=0.1, missed=0.2)
    periods = np.diff(found.times, axis=1)
    early, after = found.ectopic[:, 1:-1], periods[:, 1:]
    assert 0.07 < found.ectopic.mean() < 0.1  # never two in a row
    assert not (found.ectopic[:, 1:] & found.ectopic[:, :-1]).any()
    short = periods[:, :-1][early]  # 0.6 to 0.8, with the breath and jitter
    assert 0.55 < short.min() < 0.62 < 0.78 < short.max() < 0.87
    np.testing.assert_allclose((periods[:, :-1] + after)[early], 2, atol=0.2)
    assert (found.amplitudes == 0).mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("fetal", [False, True])
def test_shapes_have_the_ranges_of_an_adults_or_a_fetus(fetal):
    period = np.full(ITEMS, 0.64)
    found = shapes(random(), period, fetal)
    sign = np.sign(found.amplitudes[:, 2])
    assert abs(sign.mean()) < 0.1
    p, q, r, s, t = (found.amplitudes * sign[:, None]).T
    assert is_uniform(p / (0.6 if fetal else 1), -0.05, 0.25)
    assert is_uniform(q, -0.6, 0)
    assert is_uniform(s, -1, 0)
    assert is_uniform(t / (0.4 if fetal else 1), -0.25, 0.6)
    assert (r < 1).mean() == pytest.approx(0.25, abs=0.03)
    assert is_uniform(r[r < 1], 0.1, 0.8)
    width = found.widths[:, 2]
    if fetal:
        assert 0.004 <= width.min() < 0.005 < 0.018 < width.max() <= 0.0208
    else:
        assert is_uniform(width, 0.010, 0.026)
    for wave, side in ((1, -1), (3, 1)):
        assert is_uniform(side * found.centres[:, wave] / width, 1.5, 3)
        assert is_uniform(found.widths[:, wave] / width, 0.6, 1.3)
    assert is_uniform(found.centres[:, 0], -0.2, -0.11)
    assert is_uniform(found.widths[:, 0], 0.018, 0.05)
    assert is_uniform(found.centres[:, 4], 0.8 * 0.2, 0.8 * 0.32)  # sqrt(0.64) = 0.8
    assert is_uniform(found.widths[:, 4], 0.035, 0.09)


def test_a_beat_is_the_sum_of_its_waves_and_an_ectopic_one_is_wide():
    places, widths = np.array([[-0.16, -0.03, 0, 0.04, 0.3]]), np.array([[0.03, 0.01, 0.012, 0.011, 0.06]])
    amplitudes = np.array([[0.2, -0.3, 1, -0.5, 0.4]])
    both = Rhythm(np.array([[0.5, 2.5]]), np.ones(1), np.array([[1.0, 2.0]]), np.array([[False, True]]))
    wider = widenings(random(), both)
    assert wider[0, 0] == 1 < 1.6 <= wider[0, 1] <= 2.2
    (signal,) = drawn(both, Shapes(places, widths, amplitudes), wider, 1000, 5000)
    time = np.arange(5000) / 1000 - varied_ecg.MARGIN
    expected = sum(
        a * np.exp(-0.5 * ((time - 0.5 - m) / w) ** 2) for m, w, a in zip(*places, *widths, *amplitudes, strict=True)
    )
    np.testing.assert_allclose(signal[:2500], expected[:2500], atol=1e-5)
    wide = signal[2500:]
    assert time[2500:][wide.argmax()] == pytest.approx(2.5, abs=0.005)
    assert 1.8 < wide.max() < 2.1
    assert wide[np.searchsorted(time[2500:], 2.8)] == pytest.approx(-0.8, abs=0.01)  # T, of the other sign
    assert abs(wide[: np.searchsorted(time[2500:], 2.36)]).max() < 0.02  # no P


def test_leads_are_projections_of_one_dipole_and_the_first_is_the_shape_itself():
    alone = shapes(random(), np.full(ITEMS, 0.8), True)
    seen = varied_ecg.seen_by_leads(random(1), alone, True, 5)
    assert seen.amplitudes.shape == (ITEMS, 5, 5)
    np.testing.assert_array_equal(seen.amplitudes[:, 0], alone.amplitudes)
    np.testing.assert_array_equal(seen.centres, alone.centres)
    # Three components: of the five leads' amplitudes in an item, no more than three are independent.
    strengths = np.linalg.svd(seen.amplitudes, compute_uv=False)
    assert strengths[:, 3].max() < 1e-9 < 0.01 < np.median(strengths[:, 2])
    # Each component is drawn as the first: T of a fetus, 0.4 x -0.25..0.6, seen from a direction at random.
    for component, axis in ((1, 1), (2, 2)):
        straight = Straight(axis)
        only = varied_ecg.seen_by_leads(straight, alone, True, 2).amplitudes[:, 1]
        np.testing.assert_allclose(only, straight.drawn[component - 1].amplitudes)
        assert abs(np.sign(only[:, 2]).mean()) < 0.1


class Straight:
    """Stands in for a generator whose directions all look along one axis; keeps the shapes that are drawn with it."""

    def __init__(self, axis):
        self.axis, self.source = axis, np.random.default_rng(5)
        copy = np.random.default_rng(5)
        self.drawn = [shapes(copy, np.ones(ITEMS), True) for _ in range(2)]

    def standard_normal(self, shape):
        directions = np.zeros(shape)
        directions[..., self.axis] = 2.0
        return directions

    def __getattr__(self, name):
        return getattr(self.source, name)


def test_directions_of_leads_are_uniform_on_the_sphere():
    flat = Shapes(np.zeros((ITEMS, 5)), np.ones((ITEMS, 5)), np.zeros((ITEMS, 5)))
    flat.amplitudes[:, 2] = 1.0
    cosine = np.random.default_rng(3).standard_normal((ITEMS, 3, 3))
    cosine /= np.linalg.norm(cosine, axis=-1, keepdims=True)

    class Only(Straight):
        def standard_normal(self, shape):
            return np.random.default_rng(3).standard_normal(shape)

    found = varied_ecg.seen_by_leads(Only(0), flat, True, 3).amplitudes
    components = np.stack([flat.amplitudes, *(one.amplitudes for one in Only(0).drawn)], axis=1)
    np.testing.assert_allclose(found[:, 1:], (cosine @ components)[:, 1:])
    assert is_uniform(cosine[..., 0], -1, 1)  # as a point on a sphere is, along any axis


def test_a_wide_complex_has_its_centre_of_energy_where_its_time_is():
    shape = Shapes(np.array([[-0.16, -0.05, 0, 0.06, 0.3]]), np.full((1, 5), 0.01), np.array([[0, -0.2, 0.3, -1.0, 0]]))
    one = Rhythm(np.array([[1.0]]), np.ones(1), np.ones((1, 1)), np.array([[True]]))
    for wide in (1.0, 2.0):
        (signal,) = drawn(one, shape, np.full((1, 1), wide), 1000, 4000)
        energy = signal**2
        centre = (energy * (np.arange(4000) / 1000 - varied_ecg.MARGIN)).sum() / energy.sum()
        assert complexes(one, shape, np.full((1, 1), wide), 3.0)[0, 0] == pytest.approx(centre, abs=1e-3)
        assert centre == pytest.approx(1 + wide * (0.06 - 0.05 * 0.04) / 1.13, abs=1e-3)


def test_a_beat_in_several_leads_is_in_each_what_it_is_alone_there():
    period = np.full(3, 0.8)
    alone = shapes(random(), period, False)
    seen = varied_ecg.seen_by_leads(random(1), alone, False, 3)
    found = beats(random(2), 3, (60, 80), 4, ectopic=0.3)
    wider = widenings(random(3), found)
    together = drawn(found, seen, wider, 250, 1500)
    assert together.shape == (3, 3, 1500)
    for lead in range(3):
        one = Shapes(seen.centres, seen.widths, seen.amplitudes[:, lead])
        np.testing.assert_array_equal(together[:, lead], drawn(found, one, wider, 250, 1500))


@pytest.mark.parametrize("power", [0, 1, 2])
def test_noise_has_its_slope(power):
    noise = coloured(random(), 200, 2000, 250, power, 0.5)
    np.testing.assert_allclose(noise.std(axis=1), 1)
    spectrum = np.square(np.abs(np.fft.rfft(noise))).mean(axis=0)
    frequencies = np.fft.rfftfreq(2000, 1 / 250)
    assert spectrum[(frequencies > 0) & (frequencies < 0.5)].max() < 1e-9 * spectrum.max()
    band = (frequencies > 1) & (frequencies < 100)
    slope = np.polyfit(np.log(frequencies[band]), np.log(spectrum[band]), 1)[0]
    assert slope == pytest.approx(-power, abs=0.05)


def test_band_pass_keeps_the_middle_and_halves_the_power_at_its_ends():
    time = np.arange(5000) / 250
    waves = np.sin(2 * np.pi * np.array([0.1, 1.0, 10, 40, 100])[:, None] * time)
    passed = band_passed(waves, 250, np.full(5, 1.0), np.full(5, 40.0)).std(axis=1) / waves.std(axis=1)
    np.testing.assert_allclose(passed, [0.01, 0.707, 0.998, 0.707, 0.158], atol=0.01)
    np.testing.assert_allclose(band_passed(waves, 250, np.zeros(5), np.full(5, np.inf)), waves, atol=1e-12)


def test_decimation_keeps_what_the_lower_rate_can_hold_and_nothing_else():
    time = np.arange(1200) / 300
    low, high = np.sin(2 * np.pi * 20 * time), np.sin(2 * np.pi * 80 * time)
    found = decimated(np.stack([low, high, low + high]), 3)
    np.testing.assert_allclose(found, np.stack([low[::3], 0 * low[::3], low[::3]]), atol=1e-12)
    assert decimated(low, 1) is low

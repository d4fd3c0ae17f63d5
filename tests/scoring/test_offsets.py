"""Levels of training mixtures, and the offset of a recording beyond them."""

import numpy as np
import pytest

from sepray.scoring.offsets import (
    jumps,
    offset,
    offset_range,
    slow_share,
    source_baseline,
    usual_spread,
    wanders,
)

BEATS = np.array([0.0, 0, 0, 1, -3, 0, 0, 2])  # median 0
SPREAD = BEATS.std()


def test_range_is_that_of_medians_in_units_of_the_spread():
    shifts = np.linspace(-1, 3, 101)
    mixtures = 10 * (BEATS + SPREAD * shifts[:, None])[:, None]
    found = offset_range(mixtures.astype(np.float32))
    assert found == pytest.approx({"low": -0.96, "usual": 1, "high": 2.96}, abs=1e-5)
    assert offset_range(np.ones((3, 1, 8))) is None
    two = np.concatenate([mixtures, np.zeros_like(mixtures)], axis=1)  # a silent channel has no level
    assert offset_range(two) == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        (-2.19, 0),
        (0, 0),
        (4.19, 0),
        (-2.21, -3.21),
        (4.21, 3.21),
        (-2.5, -3.5),
        (4.5, 3.5),
        (2048, 2047),
        (-1e6, -1_000_001),
    ],
)
def test_offset_is_what_lies_beyond_and_leads_to_the_usual_level(middle, expected):
    assert offset(middle, 2, {"low": -1, "usual": 0.5, "high": 2}) == pytest.approx(expected)


TRAINED = {"low": -1.0, "usual": 0.5, "high": 2.0}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([0.0] * 40, False),
        ([2.9] * 20 + [-1.9] * 20, False),
        ([4.4] + [0.0] * 39, False),  # 2.4 standard deviations beyond
        ([4.6] + [0.0] * 39, True),
        ([-3.6] + [0.0] * 39, True),
        ([3.1] * 2 + [0.0] * 38, False),
        ([3.1] * 3 + [0.0] * 37, True),  # more than one in twenty
        ([-2.1] * 3 + [0.0] * 37, True),
    ],
)
def test_level_wanders_where_one_stretch_lies_far_beyond_the_range_or_many_do(levels, expected):
    assert wanders(7 * np.array(levels), np.full(40, 7.0), TRAINED) is expected


def test_level_jumps_where_a_stretch_lies_very_far_beyond_the_range():
    for level, expected in ((11.9, False), (12.1, True), (-10.9, False), (-11.1, True)):
        assert jumps(7 * np.array([level] + [0.0] * 9), np.full(10, 7.0), TRAINED) is expected
    assert jumps(np.array([0.0, 5]), np.zeros(2), TRAINED) is False


def test_loud_and_quiet_stretches_do_not_wander_more_than_their_noise():
    levels = np.array([0.0, 0, 0, 58, 2.9, 0])
    assert wanders(levels, np.array([1.0, 1, 1, 20, 1, 1]), TRAINED) is False
    assert wanders(levels, np.ones(6), TRAINED) is True
    assert wanders(levels / 40, np.array([1, 1, 1, 1, 1e-6, 0]), TRAINED) is False  # beside which one is silent
    assert wanders(np.array([0.0, 5]), np.zeros(2), TRAINED) is False


def test_usual_spread_is_that_of_the_stretches_without_a_step():
    assert usual_spread(np.array([500.0, 1, 500])) == 1
    assert usual_spread(np.array([500.0, 1, 2, 500])) == 2
    assert usual_spread(np.array([0.0, 3, 0])) == 3
    assert usual_spread(np.zeros(3)) == 0


def test_slow_share_is_that_of_the_stretch_where_the_slow_part_is_largest():
    rest = np.full(40, 2.0)
    assert slow_share(np.where(np.arange(40) == 7, 0.82, 0), rest) == pytest.approx(0.41)
    assert slow_share(np.full(9, 3.0), np.full(9, 4.0)) == 0.75
    assert slow_share(np.array([0.1, 0.1, 0.1, 0.5]), np.array([1, 1, 1, 0.1])) == 0.5  # a quiet stretch
    assert slow_share(np.ones(2), np.zeros(2)) == 0


def test_the_slow_part_of_hearts_is_that_beside_their_beats():
    time = np.arange(2000) / 250
    beats = np.sin(2 * np.pi * 5 * time)
    sources = np.stack([beats, np.zeros(2000)])[None, :, None] + np.zeros((20, 1, 1, 1))  # the second is silent
    assert source_baseline(sources, 1 / 250) < 0.05
    sources[:, 0] += 0.5 * np.sin(2 * np.pi * 0.25 * time) + 3  # an offset is none
    assert source_baseline(sources, 1 / 250) == pytest.approx(0.5, abs=0.02)
    assert source_baseline(np.zeros((3, 2, 1, 100)), 1 / 250) == 0

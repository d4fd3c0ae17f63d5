"""Numbers of seeds that tables of power give, and p-values by hand."""

import numpy as np
import pytest

from sepray.scoring.paired_statistics import seeds_needed, sign_flips, student


def seeds_of(effect):
    """Three differences with mean 1 and standard deviation 1 / ``effect``."""
    return np.array([1 - 1 / effect, 1, 1 + 1 / effect])


@pytest.mark.parametrize(("effect", "arms", "count"), [(1, 1, 10), (0.5, 1, 34), (0.2, 1, 199), (0.19, 1, None)])
def test_seeds_of_a_power_of_four_fifths(effect, arms, count):
    for sign in (1, -1):
        assert seeds_needed(sign * seeds_of(effect), arms) == count


def test_seeds_are_never_fewer_than_the_tests_need_or_there_are():
    assert seeds_needed(np.array([0.5])) == 6
    assert seeds_needed(np.array([0.5, 0.5])) == 6
    assert seeds_needed(np.array([0.5, 0.5]), arms=2) == 7
    assert seeds_needed(np.full(9, 0.5)) == 10
    assert seeds_needed(seeds_of(1e6)) == 6  # a power of one
    assert seeds_needed(np.tile(seeds_of(1), 4)) == 13
    assert seeds_needed(np.array([0.5, -0.5])) is None  # no difference is shown by any number


def test_p_values_by_hand():
    assert student(np.array([0.25, 0.25, 0.25])) == 0
    assert student(np.zeros(3)) == student(np.array([0.25])) == 1
    assert student(np.array([1.0, 2.0, 3.0])) == pytest.approx(1 - np.sqrt(6 / 7))  # t = sqrt 12 with two degrees
    assert sign_flips(np.array([[1.0, -1.0], [2.0, 2.0], [3.0, 3.0]])).tolist() == [2 / 8, 4 / 8]
    assert sign_flips(np.array([[1.0, 2.0]])).tolist() == [1, 1]

"""For which sources a measure is defined, by the kind of signals that it is for."""

import math

import numpy as np

from sepray.scoring.columns import defined, over_sources

NAN = math.nan
VALUES = np.array([[1.0, 4.0], [3.0, NAN], [NAN, NAN]])


def test_any_measure_is_defined_everywhere_so_that_a_failure_stays_one():
    assert defined("si_sdr", VALUES).all()
    np.testing.assert_array_equal(over_sources("si_sdr", VALUES), [2.5, NAN, NAN])


def test_measures_of_sounds_leave_out_silent_items():
    np.testing.assert_array_equal(defined("sdr", VALUES), [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(over_sources("sdr", VALUES), [2.5, 3.0, NAN])


def test_measures_of_hearts_leave_out_sources_without_one_and_no_failure():
    values = np.array([[1.0, NAN], [NAN, NAN], [5.0, NAN]])
    np.testing.assert_array_equal(defined("heart_rate_error", values), [[True, False]] * 3)
    np.testing.assert_array_equal(over_sources("heart_rate_error", values), [1.0, NAN, 5.0])

"""Items and sources for which a measure is defined."""

import math

import numpy as np
import pytest

from sepray.scoring.columns import defined, over_sources

NAN = math.nan
VALUES = np.array([[1.0, 4.0], [3.0, NAN], [NAN, NAN]])


@pytest.mark.parametrize("measure", ["si_sdr", "snr", "magnitude_l2", "psnr"])
def test_most_measures_are_defined_everywhere_so_that_a_failure_stays_one(measure):
    assert defined(measure, VALUES).all()
    np.testing.assert_array_equal(over_sources(measure, VALUES), [2.5, NAN, NAN])


def test_bss_eval_leaves_out_silent_items():
    np.testing.assert_array_equal(defined("sdr", VALUES), [[True, True], [True, False], [False, False]])
    np.testing.assert_array_equal(over_sources("sdr", VALUES), [2.5, 3.0, NAN])


def test_measures_of_hearts_leave_out_sources_without_one_and_no_failure():
    values = np.array([[1.0, NAN], [NAN, NAN], [5.0, NAN]])
    np.testing.assert_array_equal(defined("heart_rate_error", values), [[True, False]] * 3)
    np.testing.assert_array_equal(over_sources("heart_rate_error", values), [1.0, NAN, 5.0])

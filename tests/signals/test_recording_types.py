"""Blocks keep the samples that float32 would round, and only those are larger."""

import warnings

import numpy as np
import pytest

from sepray.signals.recording_types import as_block

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize(
    ("values", "stored", "kept"),
    [
        ([[0.5, 1.5]], np.float64, SINGLE),
        ([[4095, 4096]], np.float64, SINGLE),  # as far from 0 as may be
        ([[4096, 4097]], np.float64, DOUBLE),
        ([[-4096, -4095]], np.float64, SINGLE),
        ([[-4097, -4096]], np.float64, DOUBLE),
        ([[4096, 4097]], np.int32, DOUBLE),
        ([[4096, 4097]], np.int16, SINGLE),  # which float32 holds
        ([[4096, 4097]], np.float32, SINGLE),
        ([[9000, 9000]], np.float64, SINGLE),  # silent
        ([[0, 1], [9000, 9001]], np.float64, DOUBLE),
        ([[], []], np.float64, SINGLE),
    ],
)
def test_channel_far_from_zero_keeps_its_samples(values, stored, kept):
    block = as_block(np.array(values, dtype=stored))
    assert block.dtype == kept
    assert block.tolist() == values


def test_what_is_too_large_is_infinite_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = as_block(np.array([[1e300, 0.5], [np.nan, 1.0]]))
    assert block.dtype == SINGLE
    np.testing.assert_array_equal(block, [[np.inf, 0.5], [np.nan, 1.0]])

"""Blocks keep the samples that float32 would round, and only those are larger."""

import warnings

import numpy as np
import pytest

from sepray.signals.recording_types import (
    BLOCK_SAMPLES,
    LARGEST,
    RATES,
    RecordingError,
    as_block,
    block_length,
    check_change,
    check_promise,
    check_rate,
)

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


def test_channels_far_below_and_above_zero_are_told_apart_from_wide_ones():
    wide = np.array([[-9000.0, 9000.0], [-3.0, 8000.0]])
    assert as_block(wide).dtype == SINGLE
    infinite = np.array([[9000.0, np.inf], [1.0, 2.0]])
    assert as_block(infinite).dtype == SINGLE


def test_blocks_of_many_channels_are_shorter():
    assert BLOCK_SAMPLES == 65536
    assert [block_length(1000, n) for n in (0, 1, 4194, 4195, 1 << 21, (1 << 22) + 1)] == [1000, 1000, 1000, 999, 2, 1]
    assert block_length(BLOCK_SAMPLES, 64) == 65536
    assert block_length(0, 1) == 1


@pytest.mark.parametrize("rate", [0.0, 0.00099, 1.0001e9, np.inf, np.nan, -1.0])
def test_a_rate_that_no_recording_has_is_refused(rate):
    line = f"r.wav says that its rate is {rate:g} Hz, and rates are between 0.001 and 1e+09 Hz"
    with pytest.raises(RecordingError) as refusal:
        check_rate(rate, "r.wav")
    assert str(refusal.value) == line
    for end in RATES:
        check_rate(end, "r.wav")
    assert (RATES, LARGEST) == ((1e-3, 1e9), 1e30)


def test_a_rate_is_changed_to_its_64_fold_or_its_50000th_at_most():
    for new in (6400, 100, 0.002):
        check_change(100, new, "r.wav")
    for new in (6401, 0.00199):
        line = f"r.wav has a rate of 100 Hz, which is too far from the {new:g} Hz that are needed"
        with pytest.raises(RecordingError) as refusal:
            check_change(100, new, "r.wav")
        assert str(refusal.value) == line


@pytest.mark.parametrize(("size", "most", "free"), [(10, 3, 8388608), (8388608, 1, 8388608), (8388608, 2, 16777216)])
def test_a_file_may_promise_as_many_samples_as_it_can_hold(size, most, free):
    check_promise(free, size, most, "r.wav")
    line = f"r.wav is damaged or truncated: it promises {free + 1:.4g} samples, and has {size} bytes"
    with pytest.raises(RecordingError) as refusal:
        check_promise(free + 1, size, most, "r.wav")
    assert str(refusal.value) == line

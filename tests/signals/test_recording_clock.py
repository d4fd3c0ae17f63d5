"""Moments on the clock of a recording: its first time, its unit, its gaps."""

import numpy as np
import pytest

from sepray.signals.recording_clock import Clock, clock_of
from sepray.signals.recordings import open_array, open_recording

TIMES = np.arange(200) / 64
GAP = TIMES + 2.5 * (TIMES >= 1)


def table(tmp_path, label, cells):
    path = tmp_path / "a.csv"
    rows = "".join(f"{cell},{np.sin(7 * k):.4f}\n" for k, cell in enumerate(cells))
    path.write_text(f"{label},ecg\n{rows}" if label else rows)
    return open_recording(path, 64 if label == "sample" else None)


@pytest.mark.parametrize(
    ("label", "cells", "first"),
    [
        ("time", [f"{2 + t:.6f}" for t in GAP], 2),
        ("time (ms)", [f"{1000 * t:.3f}" for t in GAP], 0),
        ("timestamp", [f"{1.6e9 + t:.6f}" for t in GAP], 1.6e9),
        ("timestamp", [f"{1_600_000_000_000_000 + round(1e6 * t)}" for t in GAP], 1.6e9),
        ("time (min)", [f"{t / 60:.9f}" for t in GAP], 0),
        ("time", [f"{int(3599 + t) // 60 % 60:02d}:{(3599 + t) % 60:09.6f}" for t in GAP], 3599),  # begins again
        ("", [f"{t:.6f}" for t in GAP], 0),
    ],
)
def test_times_are_in_seconds_whatever_the_column_says(tmp_path, label, cells, first):
    found = clock_of(table(tmp_path, label, cells))
    np.testing.assert_allclose(found.times - first, GAP, atol=2e-6)
    assert found.rate == pytest.approx(64)


def test_recordings_without_a_column_of_times_have_no_clock(tmp_path):
    assert clock_of(table(tmp_path, "sample", range(200))) is None
    assert clock_of(open_array(TIMES, 64)) is None


def test_stamps_of_100_ns_are_in_seconds(tmp_path):
    found = clock_of(table(tmp_path, "ticks", [f"{637 * 10**15 + round(1e7 * t)}" for t in TIMES]))
    np.testing.assert_allclose(found.times - found.times[0], TIMES, atol=2e-5)


def test_times_that_start_again_are_no_clock(tmp_path):
    recording = table(tmp_path, "time (ms)", [f"{1000 * t:.3f}" for t in [*TIMES[:100], *TIMES[:100]]])
    assert (recording.rate, recording.copied) == (64, (0,))
    assert clock_of(recording) is None


def test_moments_are_moved_by_the_first_time_and_by_the_gaps():
    clock = Clock(GAP + 100, 64)
    moments = np.array([100.5, 101.0 - 1 / 64, 102.0, 103.5, 104.0])  # the third is in the gap
    np.testing.assert_allclose(clock.from_start(moments), [0.5, 1 - 1 / 64, 1.0, 1.5])
    np.testing.assert_allclose(clock.from_start(np.array([99.0, 100.25, 107.0])), [0.25])


def test_moments_that_lie_on_the_clock_in_fewer_places_are_from_the_start():
    clock = Clock(TIMES + 2, 64)
    np.testing.assert_array_equal(clock.from_start(np.array([0.5, 1.5, 2.5])), [0.5, 1.5, 2.5])
    np.testing.assert_allclose(clock.from_start(np.array([2.5, 3.5, 4.5])), [0.5, 1.5, 2.5])
    np.testing.assert_allclose(clock.from_start(np.array([2.5])), [0.5])  # either, so it is on the clock


def test_at_another_rate_than_the_clocks_moments_stay_at_their_samples():
    np.testing.assert_allclose(Clock(TIMES, 32).from_start(np.array([0.5, 1.0])), [1, 2])


def test_the_ends_of_a_recording_belong_to_it_on_either_clock():
    """Three seconds and an eighth, on its own clock from 2 s on; beside the first and the last time by a sample."""
    clock = Clock(TIMES + 2, 64)
    end = 200 / 64
    assert clock.from_start(np.array([0.0, end])).tolist() == [0.0, end]  # from the start both are within, on it one
    assert clock.from_start(np.array([0.0, end + 0.01])).tolist() == pytest.approx([end + 0.01 - 2])
    assert clock.from_start(np.array([2 - 1 / 64, 2 + end])).tolist() == [0.0, 199 / 64]
    assert clock.from_start(np.array([2 - 1.01 / 64, 2 + end, 4.0])).tolist() == [199 / 64, 2.0]
    gap = Clock(GAP + 100, 64)  # from 100.984375 to 103.5
    found = gap.from_start(np.array([100 + 63 / 64 + 1 / 64, 103.5 - 1 / 64, 101.01, 103.48]))
    assert len(found) == 2

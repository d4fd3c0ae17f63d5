"""Columns of time, from the texts of their cells to a rate and a note on gaps."""

import itertools
import math

import pytest

from sepray.signals.recording_types import RateError
from sepray.signals.time_columns import Stamps


def stamps(cells, label="", decimal="."):
    column = Stamps(label, decimal)
    for cell in cells:
        column.add(cell if isinstance(cell, str) else repr(cell))
    return column


@pytest.mark.parametrize(
    ("label", "step", "rate"),
    [
        ("time", 0.004, 250.0),
        ("time s", 0.004, 250.0),
        ("time (ms)", 4, 250.0),
        ("milliseconds", 4, 250.0),
        ("time us", 4000, 250.0),
        ("µs", 4000, 250.0),
        ("microseconds", 4000, 250.0),
        ("time ns", 4_000_000, 250.0),
        ("nanosecond", 4_000_000, 250.0),
        ("minutes", 0.0001, 10_000 / 60),
        ("min", 0.0001, 10_000 / 60),
        ("hours", 0.00001, 100_000 / 3600),
    ],
)
def test_rate_is_in_the_unit_that_the_name_says(label, step, rate):
    column = stamps([k * step for k in range(200)], label)
    assert column.rate("a.csv") == pytest.approx(rate, rel=1e-9)
    assert column.gaps() == ""
    assert column.is_even
    assert not column.is_signal


@pytest.mark.parametrize(
    ("start", "step", "rate"),
    [(1.7e9, 0.5, 2.0), (1.7e12, 500, 2.0), (1.7e15, 500_000, 2.0), (1_700_000_000 * 10**9, 5 * 10**8, 2.0)],
)
def test_size_of_a_unix_stamp_tells_its_unit(start, step, rate):
    assert stamps([start + k * step for k in range(50)]).rate("a.csv") == rate
    assert not stamps([start + k for k in range(50)]).counts


@pytest.mark.parametrize("least", [10**9, 10**12, 10**15, 10**17])
def test_least_unix_stamp_is_that_of_2001(least):
    """The least stamp in nanoseconds is earlier: stamps that count from other years than 1970 are smaller."""
    units = {10**9: (None, 1.0), 10**12: (1.0, 1e-3), 10**15: (1e-3, 1e-6), 10**17: (1e-6, 1e-9)}
    below, at = (stamps([start, start + 1], "x") for start in (least - 20, least))
    assert (below._unit(), at._unit()) == units[least]


def test_rate_that_rounding_moved_is_a_whole_number_again():
    assert stamps([round(k / 300, 5) for k in range(301)], "s").rate("a.csv") == 300.0
    assert stamps([k / 250.24 for k in range(1000)], "s").rate("a.csv") == 250.0
    assert stamps([k / 250.3 for k in range(1000)], "s").rate("a.csv") == pytest.approx(250.3)


def with_gaps(step, apart, count=400):
    """Times of which one is missing after so many steps, in turn."""
    times, left = [0], apart[0]
    for _ in range(count - 1):
        left -= 1
        times.append(times[-1] + (step if left else 2 * step))
        left = left or apart[len(times) % len(apart)]
    return times


def test_missing_samples_do_not_change_the_rate_and_are_told_from_a_coarse_clock():
    for apart in ((50,), (20,), (29, 35)):
        column = stamps(with_gaps(4, apart), "ms")
        assert column.rate("a.csv") == 250
        assert "gaps, the longest of 0.008 s" in column.gaps()
    uneven = r"^\d+ of 399 steps in the time column of a\.csv are uneven; give --rate"
    with pytest.raises(RateError, match=uneven):
        stamps(with_gaps(4, (4,)), "ms").rate("a.csv")
    with pytest.raises(RateError, match=uneven):
        stamps(with_gaps(1, (20, 21)), "ms").rate("a.csv")  # 952 Hz, by a clock of 1 ms
    assert stamps(with_gaps(1, (23, 32, 47)), "ms").rate("a.csv") == 1000  # not as evenly as that would be
    with pytest.raises(RateError, match=uneven):
        stamps([4.0 * k + 3 * (k // 20) for k in range(400)], "ms").rate("a.csv")  # no sample is missing


def test_times_in_an_unknown_unit_are_seconds_unless_the_rate_were_below_one():
    assert stamps([2.5 + k for k in range(50)]).rate("a.csv") == 1.0
    with pytest.raises(RateError, match=r"^the time column of a.csv gives 0.25 Hz if it is in seconds; give --rate \("):
        stamps([4.5 * k - k / 2 + 0.5 for k in range(50)]).rate("a.csv")
    with pytest.raises(RateError, match=r"\(250 if it is in milliseconds\)$"):
        stamps([4.0 * k for k in range(50)]).rate("a.csv")
    assert stamps([4.0 * k for k in range(50)], "ms").rate("a.csv") == 250.0
    assert stamps([4.0 * k for k in range(50)], "s").rate("a.csv") == 0.25


def test_whole_numbers_that_rise_by_one_count_samples():
    column = stamps(range(50))
    assert column.counts
    with pytest.raises(RateError, match=r"^the time column of a.csv counts samples, which gives no rate; give --rate"):
        column.rate("a.csv")
    assert not stamps(range(50), "seconds").counts
    assert not stamps([0.5 + k for k in range(50)]).counts
    assert not stamps([0, 1.5, *range(2, 50)]).counts
    assert not stamps([2 * k for k in range(50)]).counts
    assert not stamps(["00:01", "00:02", "00:03"]).counts
    assert not stamps([*range(50), "x"]).counts


@pytest.mark.parametrize(("start", "label"), [(0, "s"), (5, "Elapsed time (s)"), (1_600_000_000, "")])
def test_whole_seconds_of_step_one_are_asked_about(start, label):
    with pytest.raises(RateError, match=r"^the times in a.csv are whole numbers that rise by 1: .* \(1 for seconds\)$"):
        stamps(range(start, start + 50), label).rate("a.csv")
    if label:
        assert stamps(range(start, start + 100, 2), label).rate("a.csv") == 0.5
    assert stamps([start + k + 0.5 for k in range(50)], label).rate("a.csv") == 1.0
    assert stamps(range(50), "ms").rate("a.csv") == 1000.0
    assert stamps([f"00:00:{k:02d}" for k in range(50)], label).rate("a.csv") == 1.0


def test_a_counter_that_begins_again_rises_by_one_nine_times_of_ten():
    assert stamps([k % 10 for k in range(41)]).wraps
    assert not stamps([k % 8 for k in range(41)]).wraps
    assert not stamps(range(50)).wraps  # it never begins again
    assert not stamps([0.5 + k % 10 for k in range(50)]).wraps
    assert not stamps([2 * (k % 10) for k in range(50)]).wraps
    assert not stamps([*(k % 10 for k in range(50)), "x"]).wraps
    assert not stamps([k % 10 for k in range(41)]).is_signal


@pytest.mark.parametrize(
    "cells",
    [
        [3, 2, 1],
        [1, 1, 1],
        [0, 2, 1, 3],
        ["a", 1, 2],
        [0, 1, "nan", 3],
        [],
        [1],
        [0, 1, 2, "1e31"],
        [0, 1, 2, "1.5e30"],
        ["-1.5e30", 0],
    ],
)
def test_times_that_do_not_rise_give_no_rate(cells):
    column = stamps(cells, "s")
    assert column.rises is (cells == [0, 1, 2])
    with pytest.raises(RateError, match=r"^the time column of a.csv does not rise; give --rate, in Hz$"):
        column.rate("a.csv")
    assert not column.is_even
    assert column.gaps() == ""


def test_what_falls_and_is_plain_numbers_is_a_signal():
    assert stamps([0.0, 2.0, 1.0]).is_signal
    assert not stamps([0.0, 1.0, 2.0]).is_signal
    assert not stamps(["2024-01-02", "2024-01-01"]).is_signal
    assert not stamps(["00:02", "00:01"]).is_signal


def after(*steps):
    """Times with such steps between them, which are no whole numbers."""
    return list(itertools.accumulate(steps, initial=0.25))


KINDS = ("is_signal", "wraps", "mostly_rises", "counts_down", "falls_evenly", "is_constant", "is_stamp")
KINDS += ("is_even", "is_ramp")


@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        (after(*[1] * 8), {"mostly_rises", "is_even", "is_ramp"}),
        (after(*[1] * 7), {"is_even", "is_ramp"}),
        (after(*[1] * 9, 3), {"mostly_rises", "is_even"}),
        (after(*[1] * 8, 3), {"mostly_rises"}),
        (after(*[4, 4, 4, -1] * 2), {"mostly_rises"}),  # a quarter of the steps may fall
        (after(*[4, 4, -1] * 3), {"is_signal"}),
        (after(*[1, 1, 1, -0.5] * 2), {"mostly_rises"}),  # 5 forward of a way of 7
        (after(*[1, 1, 1, -0.625] * 2), {"is_signal"}),
        (after(*[-1] * 8), {"falls_evenly"}),
        (after(*[-1] * 7), set()),
        (range(9, 0, -1), {"counts_down", "falls_evenly"}),
        ([*range(10, 0, -1), 5], {"counts_down", "falls_evenly"}),
        ([*range(10, 1, -1), 5, 6], {"is_signal"}),
        ([3, 2, 1], {"counts_down"}),
        ([3, 2], set()),
        ([5, 5], {"is_constant"}),
        ([5], set()),
        ([5, 5, 6], set()),
        ([10**9, 10**9 + 2], {"is_stamp", "is_even", "is_ramp"}),
        ([10**9 - 1, 10**9 + 1], {"is_even", "is_ramp"}),
        ([5, 5, "x"], set()),
        ([*range(20, 0, -1), "x"], set()),
    ],
)
def test_steps_tell_what_a_column_may_be(cells, kinds):
    column = stamps(cells)
    assert {name for name in KINDS if getattr(column, name)} == kinds


def test_times_that_repeat_are_of_a_coarse_clock():
    column = stamps([0, 0, 1, 1, 2], "s")
    assert (column.repeats, column.falls) == (2, False)
    with pytest.raises(
        RateError, match=r"^2 of the times in a.csv repeat the one before, because the clock is coarse; "
    ):
        column.rate("a.csv")
    assert column.gaps() == ""


def uneven(count, of):
    """Times of ``of`` steps, of which ``count`` are three long."""
    time, cells = 0.5, [0.5]
    for step in range(of):
        time += 3.0 if step % (of // count) == 0 and step // (of // count) < count else 1.0
        cells.append(time)
    return cells


@pytest.mark.parametrize(
    ("count", "of", "refused"), [(2, 20, False), (3, 20, True), (10, 1000, False), (11, 1000, True)]
)
def test_a_hundredth_of_the_steps_may_be_gaps(count, of, refused):
    column = stamps(uneven(count, of), "s")
    if refused:
        message = rf"^{count} of {of} steps in the time column of a.csv are uneven; give --rate, in Hz$"
        with pytest.raises(RateError, match=message):
            column.rate("a.csv")
        assert column.gaps() == ""
    else:
        assert column.rate("a.csv") == 1.0
        assert column.gaps().startswith(f"the recording has {count} gaps, the longest of 3 s, ")


def test_gaps_are_told_in_seconds_from_the_start():
    cells = [10, 20, 30, 75, 85, 95, *range(105, 300, 10)]
    note = "the recording has a gap of 0.045 s, 0.02 s after the start; its samples are taken as if there were none"
    assert stamps(cells, "ms").gaps() == note
    two = [0, 1, 2, 5, 6, 11, 12, 13]
    assert "2 gaps, the longest of 5 samples, 6 samples after the start" in stamps(two).gaps()
    assert "2 gaps, the longest of 2.5 s, 3 s after the start" in stamps([each / 2 for each in two]).gaps()


@pytest.mark.parametrize(("step", "kind"), [(0.4, "short"), (0.5, "even"), (1.5, "even"), (1.6, "gap")])
def test_a_step_is_even_from_half_to_one_and_a_half_of_the_usual_one(step, kind):
    column = stamps([0.5, 1.5, 2.5, 3.5, 3.5 + step], "s")
    column._settle()
    assert (column._even, column._gaps) == (4 if kind == "even" else 3, int(kind == "gap"))


@pytest.mark.parametrize(("odd", "even"), [(1, True), (2, False)])
def test_nine_tenths_of_the_steps_have_to_be_alike(odd, even):
    cells = [0.0]
    for step in [5.0] * odd + [1.0] * (10 - odd):
        cells.append(cells[-1] + step)
    assert stamps(cells, "s").is_even is even


@pytest.mark.parametrize("before", [4095, 4096, 4097])
def test_the_usual_step_is_that_of_the_first_ones_and_later_ones_are_only_counted(before):
    cells = [k / 100 for k in range(before + 1)]
    cells += [cells[-1] + k / 50 for k in range(1, 30)]
    column = stamps(cells, "s")
    assert column._usual is not None
    assert column._early == []
    assert column._steps == before + 29
    column._settle()
    assert column._usual == pytest.approx(0.01)
    assert (column._even, column._gaps) == (before, 29)


def test_the_usual_step_is_the_median_of_4096():
    steps = [1] * 2048 + [3] * 2049
    assert stamps(itertools.accumulate(steps, initial=0), "s")._usual == 2


def test_clocks_begin_again_after_an_hour_or_a_day():
    hour = stamps(["59:58.0", "59:59.0", "00:00.0", "00:01.0"])
    assert (hour.rises, hour._last) == (True, 3601.0)
    day = stamps(["23:59:58", "23:59:59", "00:00:00", "00:00:01", "00:00:02"])
    assert (day.rises, day.textual, day.rate("a.csv")) == (True, True, 1.0)
    twice = stamps([f"{minute % 60:02}:30" for minute in range(130)])
    assert (twice.falls, twice._last) == (False, 129 * 60.0 + 30)
    back = stamps(["00:40:00", "00:39:59"])
    assert back.falls
    assert stamps(["59:58", "29:57"]).falls is False  # more than half an hour earlier: an hour has passed
    assert stamps(["59:58", "29:58"]).falls is True


def test_a_column_remembers_whether_its_times_are_more_than_numbers():
    assert not stamps([1, 2]).textual
    assert not stamps(["1700000000000000000", "1700000000000000001"]).textual
    assert not stamps(["1,5", "2,5"], decimal=",").textual
    assert stamps(["2024-01-01", "2024-01-02"]).textual
    assert stamps(["00:01", "00:02"]).textual


def test_a_broken_column_takes_no_more_cells():
    column = stamps([1, "x", 2, 3])
    assert (column.broken, column._steps, column._last) == (True, 0, 1.0)
    assert not math.isnan(column._last)


@pytest.mark.parametrize(
    ("first", "step", "why"),
    [
        (1_600_000_000, 2, r"gives 0\.5 Hz if it holds Unix seconds; give --rate \(500 if it is in milliseconds\)"),
        (2_345_678_901, 4, r"gives 0\.25 Hz if it holds Unix seconds; give --rate \(250 if it is in milliseconds\)"),
        (1_234_567_890_123, 4000, r".* Unix milliseconds; give --rate \(250 if it is in microseconds\)"),
        (12_345_678_901_234, 4_000_000, r".* Unix milliseconds; give --rate \(250 if it is in nanoseconds\)"),
        (17, 4000, r"gives 0\.00025 Hz if it is in seconds; give --rate \(250 if it is in microseconds\)"),
        (17, 1000, r"gives 0\.001 .* \(1 if it is in milliseconds, 1000 if it is in microseconds\)"),
        (3_600_000_000, 500, r"gives 0\.002 .* \(2 if it is in milliseconds, 2000 if it is in microseconds\)"),
        (3_600_000_000, 5, r"gives 0\.2 Hz .* \(200 if it is in milliseconds\)"),
    ],
)
def test_stamps_since_a_start_in_small_units_are_asked_about(first, step, why):
    with pytest.raises(RateError, match=rf"^the time column of a\.csv {why}$"):
        stamps([first + k * step for k in range(50)], "timestamp").rate("a.csv")


@pytest.mark.parametrize("first", [637 * 10**15, 133 * 10**15])
def test_stamps_of_100_ns_since_1601_or_the_year_1(first):
    assert stamps([first + 40_000 * k for k in range(50)], "ticks").rate("a.csv") == 250


@pytest.mark.parametrize(("days", "rate"), [(7305, 250), (7305, 1000), (1500, 2000), (7300, 4000)])
def test_fast_nanoseconds_that_may_be_stamps_of_100_ns_are_asked_about_and_ticks_are_not(days, rate):
    times = [days * 86_400 * 10**9 + round(k * 1e9 / rate) for k in range(50)]
    with pytest.raises(RateError, match=rf"gives {rate / 100:g} Hz if .* 100 ns; .*{rate} if it is in nanoseconds\)$"):
        stamps(times, "timestamp").rate("a.csv")
    assert stamps(times, "ticks").rate("a.csv") == rate / 100


@pytest.mark.parametrize("days", [1826, 5479, 7800, 9000, 12_000])
def test_nanoseconds_since_2000_are_no_stamps_of_100_ns(days):
    start = days * 86_400 * 10**9
    assert stamps([start + 4_000_000 * k for k in range(50)], "timestamp").rate("a.csv") == 250


@pytest.mark.parametrize("days", [1500, 7305])
def test_what_may_be_nanoseconds_or_slow_stamps_of_100_ns_is_asked_about(days):
    slow = stamps([days * 86_400 * 10**9 + 4_000_000 * k for k in range(50)])
    with pytest.raises(RateError, match=r"2\.5 Hz if it holds stamps of 100 ns; .* \(250 if it is in nanoseconds\)$"):
        slow.rate("a.csv")


@pytest.mark.parametrize(("first", "rate"), [(16 * 10**11, "1000"), (16 * 10**14, r"1e\+06")])
def test_stamps_of_step_one_without_a_unit_are_asked_about(first, rate):
    with pytest.raises(
        RateError, match=rf"whole numbers that rise by 1: .*; give --rate, in Hz \({rate} for stamps\)$"
    ):
        stamps(range(first, first + 50), "timestamp").rate("a.csv")
    assert stamps(range(first, first + 50), "timestamp ms").rate("a.csv") == 1000


def test_gaps_that_hold_most_of_the_time_give_no_rate():
    packets = [80 * (k // 20) + k % 20 for k in range(400)]
    with pytest.raises(RateError, match=r"^19 gaps hold most of the time in a\.csv, .*; give --rate, in Hz$"):
        stamps([k / 2000 for k in packets], "s").rate("a.csv")
    for size in (100, 250):  # so few gaps were taken for those of a recording of 2000 Hz
        with pytest.raises(RateError, match=r"gaps hold most of the time"):
            stamps([(8 * size * (k // size) + k % size) / 2000 for k in range(12 * size)], "s").rate("a.csv")
    ends = [20, 50, 350, 500, 540, 640, 900, 930, 1200]  # of packets of 20 to 300
    with pytest.raises(RateError, match=r"^9 gaps hold most of the time"):
        stamps([(k + 2000 * sum(k > end for end in ends)) / 2000 for k in range(1300)], "s").rate("a.csv")
    pauses = stamps([(k + 2000 * ((k > 100) + (k > 400) + (k > 500))) / 250 for k in range(1000)], "s")
    assert pauses.rate("a.csv") == 250  # after times of other lengths each
    parts = stamps([(k + 900 * (k // 200)) / 250 for k in range(600)], "s")
    assert parts.rate("a.csv") == 250
    assert "2 gaps" in parts.gaps()


def test_two_steps_of_other_sizes_give_no_rate():
    """Such steps have no mean, by which a rate would be divided."""
    with pytest.raises(RateError, match=r"^2 of 2 steps in the time column of a\.csv are uneven; give --rate, in Hz$"):
        stamps([0.0, 0.1, 72.0]).rate("a.csv")


@pytest.mark.parametrize(
    ("cells", "may_be"),
    [
        ([k % 10 / 10 for k in range(40)], True),
        ([k % 16 / 10 for k in range(40)], False),  # of three recordings
        ([3 * (k % 10) for k in range(40)], True),
        ([1 - k % 13 / 50 for k in range(60)], True),
        ([1 - k % 25 / 50 for k in range(60)], False),
        ([4 * k % 64 for k in range(80)], False),  # of six bits
        ([5 * k % 100 for k in range(80)], False),
        ([16e8 + k % 10 / 10 for k in range(40)], False),
        ([f"00:00:0{k % 10}.5" for k in range(40)], False),
    ],
)
def test_times_that_start_again_and_again_may_be_a_lead(cells, may_be):
    assert stamps(cells).may_be_lead is may_be

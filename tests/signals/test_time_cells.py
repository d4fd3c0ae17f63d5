"""Cells of times: numbers, clock times and dates; and what the name of a column says."""

import datetime

import pytest

from sepray.signals.time_cells import names_counter, names_lead, names_time, number, time_of


@pytest.mark.parametrize(
    ("label", "anywhere", "first"),
    [
        ("time", True, True),
        ("Time [s]", True, True),
        ("ecg date", True, True),
        ("maternal ecg lead time", False, False),  # the fourth word
        ("elapsed", True, True),
        ("timestamp", True, True),
        ("unix stamps", True, True),
        ("t", False, True),
        ("ms", False, True),
        ("s", False, True),
        ("seconds", False, True),
        ("clock", False, True),
        ("t1", False, False),
        ("S_1", False, False),
        ("ms 2", False, False),
        ("t1 (s)", False, True),
        ("time1", True, True),
        ("abdomen", False, False),
        ("", False, False),
    ],
)
def test_names_of_times(label, anywhere, first):
    assert names_time(label, first=False) is anywhere
    assert names_time(label, first=True) is first
    assert names_time(label, first=True, numbered=True) is (first or label in ("t1", "S_1", "ms 2"))


@pytest.mark.parametrize(
    ("label", "counts"),
    [("", True), ("#", True), ("Sample", True), ("index", True), ("n", True), ("frames", True), ("ecg n", False)],
)
def test_names_of_counters(label, counts):
    assert names_counter(label) is counts


@pytest.mark.parametrize(
    ("lead", "labels"),
    [
        (True, ["I", "aVR", "V5", "MLII", "ECG 1 (mV)", "abdomen1", "resp"]),
        (False, ["x", "Zeit", "tick", "index", "", "ivy"]),
    ],
)
def test_names_of_leads(lead, labels):
    assert {names_lead(label) for label in labels} == {lead}


@pytest.mark.parametrize(
    ("cell", "decimal", "value"),
    [
        ("2.5", ".", 2.5),
        (" 7 ", ".", 7.0),
        ("2,5", ",", 2.5),
        ("2.5", ",", None),
        ("2,5", ".", None),
        ("a", ".", None),
        ("1_1", ".", None),
        ("9007199254740993", ".", 9007199254740993),  # no float holds it
        ("123456789012345", ".", 123456789012345.0),
    ],
)
def test_numbers_of_cells(cell, decimal, value):
    found = number(cell, decimal)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("cell", "time"),
    [
        ("1.25", (1.25, 0.0)),
        ("01:02.5", (62.5, 3600.0)),
        ("01:02,5", (62.5, 3600.0)),
        ("2:00:01", (7201.0, 86400.0)),
        ("[10:00:00.250 01/02/2024]", (36000.25, 86400.0)),
        ('"2024-01-01"', (datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp(), 0.0)),
        ("1970-01-01T00:00:01+01:00", (-3599.0, 0.0)),
        ("1970-01-01T00:00:01", (1.0, 0.0)),
        ("12:30:00 pulse", None),
        ("x", None),
        ("", None),
    ],
)
def test_times_of_cells(cell, time):
    assert time_of(cell) == time


def test_a_long_cell_is_no_time():
    """A clock time would be looked for at each digit: 130,000 digits took minutes."""
    assert time_of("1" * 74 + ":05:10") == (float("1" * 74) * 3600 + 310, 86400.0)
    assert time_of("1" * 75 + ":05:10") is None
    assert time_of("1" * 130_000 + ":") is None


@pytest.mark.parametrize(
    ("cell", "hour"),
    [("12:59:59 AM", 0), ("11:59:59 am", 11), ("12:59:59 PM", 12), ("1:59:59 p.m.", 13), ("13:59:59 PM", 13)],
)
def test_clocks_of_twelve_hours(cell, hour):
    assert time_of(cell) == (hour * 3600 + 3599, 86400.0)
    assert time_of(f"3/31/2024 {cell}") == (hour * 3600 + 3599, 86400.0)

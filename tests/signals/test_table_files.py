"""Tables: values, rate and length are read, and written with separator, header and times of what was read."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from sepray.signals import table_files
from sepray.signals.recording_types import RecordingError
from sepray.signals.recordings import open_recording

from .copies import TONE, copy, read


def test_table_with_header_and_time_column_comes_back_with_both(tmp_path):
    path = tmp_path / "ecg.csv"
    rows = [f"{k / 128:.3f},{TONE[k]:.6f},{2 * TONE[k]:.6f}" for k in range(500)]
    path.write_text("time (s),lead 1,lead 2\n" + "\n".join(rows) + "\n")
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.frames) == (128, 2, 500)
    np.testing.assert_allclose(read(recording), [TONE[:500], 2 * TONE[:500]], atol=1e-6)
    copy(recording, tmp_path / "half.csv", factor=0.5)
    lines = (tmp_path / "half.csv").read_text().splitlines()
    assert lines[0] == "time (s),lead 1,lead 2"
    assert len(lines) == 501
    time, first, second = lines[8].split(",")
    assert time == "0.055"
    np.testing.assert_allclose([float(first), float(second)], [0.5 * TONE[7], TONE[7]], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "rate", "channels", "frames"),
    [
        ("timer_ms,hr\n0,515\n10,514\n20,520\n", 100, 1, 3),  # milliseconds, as the header says
        ("datetime,hr\n2016-11-24 13:58:58.000,3\n2016-11-24 13:58:58.250,4\n", 4, 1, 2),
        ("0.00 1 2 3\n0.25 4 5 6\n0.50 1 2 3\n", 4, 3, 3),  # no header, but a first column that rises: DaISy
        ("0;1\n0,5;2\n", 2, 1, 2),  # a comma as decimal mark
    ],
)
def test_rate_is_read_from_the_time_column(tmp_path, text, rate, channels, frames):
    path = tmp_path / "table.csv"
    path.write_text(text)
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.frames) == (rate, channels, frames)


def test_a_time_column_in_milliseconds_that_does_not_say_so_is_asked_about(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("timer,hr\n" + "".join(f"{k * 8.547:.4f},{500 + k % 9}\n" for k in range(50)))
    with pytest.raises(RecordingError) as caught:
        open_recording(path, name="data.csv")
    assert str(caught.value) == (
        "the time column of data.csv gives 0.117 Hz if it is in seconds; give --rate (117 if it is in milliseconds)"
    )
    recording = open_recording(path, rate=117)
    assert (recording.rate, recording.channels) == (117, 1)
    copy(recording, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text().splitlines()[2] == "8.5470,501"


def test_table_without_time_takes_the_rate_that_is_given(tmp_path):
    path = tmp_path / "ppg.csv"
    path.write_text("530\n518\n506\n")
    recording = open_recording(path, rate=100)
    assert (recording.rate, recording.channels, recording.frames) == (100, 1, 3)
    copy(recording, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == "530\n518\n506\n"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs time.tzset")
def test_dates_without_a_zone_do_not_depend_on_the_machines(tmp_path, monkeypatch):
    path = tmp_path / "night.csv"  # at 3:00 the clocks of Berlin go back to 2:00
    path.write_text("time,hr\n2016-10-30 02:59:59.500,1\n2016-10-30 02:59:59.750,2\n2016-10-30 03:00:00.000,3\n")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert open_recording(path).rate == 4
    finally:
        monkeypatch.undo()
        time.tzset()


def test_times_with_a_zone_are_those_of_the_zone(tmp_path):
    path = tmp_path / "zones.csv"
    path.write_text("time,hr\n2016-10-30 02:00:00+02:00,1\n2016-10-30 01:00:00.500+01:00,2\n")
    assert open_recording(path).rate == 2


@pytest.mark.parametrize("rows", [99, 100, 101])
def test_rows_come_in_blocks_with_their_times(tmp_path, rows):
    path = tmp_path / "table.tsv"
    path.write_text("t\tone\ttwo\n" + "".join(f"{k / 4}\t{k}\t{-k}\n" for k in range(rows)))
    recording = open_recording(path)
    assert [len(times) for times, _ in recording.blocks_with_copied()] == ([rows] if rows <= 100 else [100, 1])
    assert read(recording).tolist() == [list(range(rows)), [-k for k in range(rows)]]
    copy(recording, tmp_path / "again.tsv")
    assert (tmp_path / "again.tsv").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("header", "step", "rate"),
    [
        ("time [s]", 2, 0.5),
        ("time in seconds", 4, 0.25),
        ("time (ms)", 4, 250),
        ("time", 0.24999, 4),
        ("time", 0.3, 1 / 0.3),
    ],
)
def test_unit_and_rounding_of_the_time_column(tmp_path, header, step, rate):
    path = tmp_path / "table.csv"
    path.write_text(f"{header},hr\n" + "".join(f"{k * step:.6f},{k}\n" for k in range(11)))
    assert open_recording(path).rate == pytest.approx(rate, rel=1e-9)


def test_formulas_of_a_header_and_of_times_are_texts_in_what_is_written(tmp_path):
    """A formula of an unknown table would run in the spreadsheet that its estimates are opened with."""
    path = tmp_path / "a.csv"
    times = ["-1 days +23:59:59.500", "=cmd|' /C calc'!A0", *(f"0 days 00:00:00.{k:03}" for k in range(0, 600, 2))]
    rows = "".join(f"{time},{k % 7},{k % 5}\n" for k, time in enumerate(times))
    path.write_text(f"time,=1+1,+x\n{rows}")
    recording = open_recording(path, 500)
    copy(recording, tmp_path / "whole.csv")
    lines = (tmp_path / "whole.csv").read_text().splitlines()
    assert lines[:3] == ["time,'=1+1,'+x", "-1 days +23:59:59.500,0,0", "'=cmd|' /C calc'!A0,1,1"]
    with recording.writer(tmp_path / "one.csv", channels=1) as writer:
        for block in recording.blocks():
            writer.write(block[:1])
    assert (tmp_path / "one.csv").read_text().splitlines()[:2] == ["time,'=1+1", "-1 days +23:59:59.500,0"]


def two_columns(folder, header, first):
    path = folder / "a.csv"
    rows = "".join(f"{value:.6g},{k % 7}\n" for k, value in enumerate(first))
    path.write_text(f"{header}\n{rows}")
    return path


HEART = [TONE[k] + TONE[3 * k % 500] for k in range(200)]
BY_ITS_NAME = ("S,T", "t,b", "Sec,b", "Ts,b", "clock,b", "ecg (s),b", "t (mV),b", "ECG time,b", "ms,b")


@pytest.mark.parametrize("header", ["t1,b", "S1,S2", "s_1,b", "T 1,b", "MS1,b", "T-1,T-2", *BY_ITS_NAME])
def test_a_first_lead_that_is_named_as_a_time_is_separated(tmp_path, header):
    path = two_columns(tmp_path, header, HEART)
    recording = open_recording(path, 250, name="a.csv")
    assert recording.copied == ()
    np.testing.assert_allclose(read(recording)[0], HEART, atol=1e-5)
    label = header.split(",")[0]
    told = f"column 1 of a.csv ({label}) is named as a time and does not rise as one, and is taken for a lead"
    assert recording.notes == ((f"{told}: leave it out if it is none",) if header in BY_ITS_NAME else ())
    with pytest.raises(RecordingError, match=r"^a\.csv has no time column to tell its rate; give --rate, in Hz$"):
        open_recording(path, name="a.csv")


@pytest.mark.parametrize("label", ["time (s)", "timestamp", "elapsed ms", "Date"])
@pytest.mark.parametrize("rate", [None, 250])
def test_what_can_only_be_a_time_and_does_not_rise_is_refused(tmp_path, label, rate):
    why = rf"a\.csv \({label.replace('(', '.').replace(')', '.')}\) is named as a time and does not rise as one: leave"
    with pytest.raises(RecordingError, match=rf"^column 1 of {why}"):
        open_recording(two_columns(tmp_path, f"{label},ecg", HEART), rate, name="a.csv")
    path = tmp_path / "b.csv"
    path.write_text(f"I,{label}\n" + "".join(f"{k % 7},{value:.6g}\n" for k, value in enumerate(HEART)))
    with pytest.raises(RecordingError, match=rf"^column 2 of {why}"):
        open_recording(path, rate, name="a.csv")


CLOCKS = {
    "even": [k / 250 for k in range(200)],
    "coarse": [k // 2 / 100 for k in range(200)],
    "restart": [k % 100 / 250 for k in range(200)],
    "with a gap": [(k + 50 * (k > 60)) / 250 for k in range(200)],
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("header", ["t,b", "t1,b", "S 1,b", "time,b"])
def test_what_is_named_as_a_time_and_moves_as_one_is_copied(tmp_path, header, clock):
    assert open_recording(two_columns(tmp_path, header, CLOCKS[clock]), 250).copied == (0,)


@pytest.mark.parametrize("sawtooth", [[k % 10 / 50 for k in range(200)], [1 - k % 10 / 50 for k in range(200)]])
def test_a_sawtooth_with_the_name_of_a_lead_and_a_number_is_one(tmp_path, sawtooth):
    assert open_recording(two_columns(tmp_path, "T1,b", sawtooth), 250).copied == ()
    assert open_recording(two_columns(tmp_path, "ecg (s),b", sawtooth), 250).copied == ()
    recording = open_recording(two_columns(tmp_path, "t,b", sawtooth), 250)
    assert (recording.copied, len(recording.notes)) == ((0,), 1)


def test_times_that_fall_again_and_again_or_are_missing(tmp_path):
    recording = open_recording(two_columns(tmp_path, "t,b", [k % 6 / 250 for k in range(200)]), 250, name="a.csv")
    told = "column 1 of a.csv (t) is copied as a time, and falls again and again: name it otherwise if it is a lead"
    assert (recording.copied, recording.notes) == ((0,), (told,))
    for times in ([k / 250 for k in range(200, 0, -1)], [0.5] * 200):
        recording = open_recording(two_columns(tmp_path, "time,b", times), 250)
        assert (recording.copied, recording.notes) == ((0,), ())
    late = [1_700_000_000_000 + 4 * (k ^ 3) for k in range(200)]  # each four of them in the other order
    rows = "".join(f"{time},{k % 7}\n" for k, time in enumerate(late))
    for label, copied in (("timestamp", (0,)), ("t", ())):
        (tmp_path / "late.csv").write_text(f"{label},b\n{rows}")
        assert open_recording(tmp_path / "late.csv", 250).copied == copied
    for label, first in (("time", CLOCKS["even"]), ("t", CLOCKS["even"]), ("t1", HEART), ("t", HEART)):
        path = tmp_path / "b.csv"
        cells = [f"{value:.6g}" for value in first]
        path.write_text(f"{label},b\n" + "".join(f"{cell},{k % 7}\n" for k, cell in enumerate([*cells, "-", *cells])))
        if first is HEART:
            with pytest.raises(RecordingError, match=rf"not a number in line 202, column 1 \({label}\): '-'$"):
                open_recording(path, 250)
        else:
            assert open_recording(path, 250).copied == (0,)


PLAIN = dict.fromkeys(
    ("textual", "is_even", "mostly_rises", "starts_again", "is_ramp", "counts_down", "whole", "is_stamp"), False
)


def column(label="", **facts):
    return SimpleNamespace(**PLAIN | {"is_constant": False, "repeats": 0, "label": label} | facts)


@pytest.mark.parametrize(
    ("label", "facts", "frames", "copied"),
    [
        ("time", {"is_even": True}, 1000, (0,)),
        ("time", {"textual": True}, 1000, (0,)),
        ("sample", {"mostly_rises": True}, 1000, (0,)),
        ("sample", {"starts_again": True}, 1000, (0,)),
        ("time", {}, 1000, ()),  # it falls and rises
        ("ecg", {"is_even": True, "mostly_rises": True}, 1000, ()),
        ("", {"is_even": True}, 1000, ()),
        ("ecg", {"is_ramp": True}, 1000, (0,)),
        ("", {"is_ramp": True}, 1000, (0,)),
        ("ecg", {"is_ramp": True}, table_files._COUNTED_ROWS - 1, ()),
        ("ecg", {"is_ramp": True}, table_files._COUNTED_ROWS, (0,)),
        ("time", {"is_even": True}, table_files._FEWEST_ROWS - 1, ()),
        ("time", {"is_even": True}, table_files._FEWEST_ROWS, (0,)),
    ],
)
def test_the_only_column_is_no_channel_where_its_name_and_its_steps_say_so(label, facts, frames, copied):
    layout = SimpleNamespace(labels=[label])
    assert table_files._copied_alone(layout, {0: column(label, **facts)}, frames) == copied
    assert table_files._copied_alone(layout, {}, frames) == ()


@pytest.mark.parametrize(
    ("label", "facts", "counts"),
    [
        ("", {}, False),
        ("", {"counts_down": True, "textual": True}, True),
        ("", {"is_constant": True}, True),
        ("", {"is_constant": True, "textual": True}, False),
        ("time", {"is_constant": True}, False),
        ("sample", {"starts_again": True, "whole": True}, True),
        ("ecg", {"starts_again": True, "whole": True}, False),
        ("ecg", {"starts_again": True, "whole": True, "repeats": 1}, True),
        ("sample", {"starts_again": True}, False),
        ("sample", {"starts_again": True, "whole": True, "is_stamp": True}, False),
        ("sample", {"whole": True}, False),
    ],
)
def test_a_column_counts_samples_or_packets(label, facts, counts):
    assert table_files._counts(column(label, **facts)) is counts


def test_words_for_tables_without_channels_and_for_rows_of_another_length():
    layout = SimpleNamespace(labels=["time", "", "n" * 100], trailing=1)
    assert table_files._told(layout) == f"times or numbers of samples (time, {'n' * 74})"
    assert table_files._told(SimpleNamespace(labels=["", ""])) == "times or numbers of samples"
    wrong = [str(table_files._wrong_length(layout, [" x "] * count, 7, "a.csv")) for count in (2, 3, 4, 5)]
    assert wrong[0] == "a.csv has 2 columns in line 7, but 3 before"
    assert wrong[1] == "a.csv has 3 columns in line 7, but 3 before"
    assert wrong[2] == (
        "a.csv has nothing in column 4 before line 7, and 'x' there: leave the rows without samples out"
    )
    assert wrong[3] == "a.csv has 5 columns in line 7, but 3 before"
    assert table_files._numbers(["1,5", "-2"], ",") == [1.5, -2]
    assert table_files._numbers(["1.5", "-2e3"], ".") == [1.5, -2000]
    with pytest.raises(ValueError, match="could not convert"):
        table_files._numbers(["1.500,5"], ",")

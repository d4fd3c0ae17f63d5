"""Tables as devices, spreadsheets and programs write them: channels and rate are read, and the rest comes back."""

import json

import numpy as np
import pytest

from sepray.signals.recording_types import RateError, RecordingError
from sepray.signals.recordings import open_recording

from .copies import copy, read

ECG = np.round(np.sin(np.arange(40) / 3), 3)  # rises and falls
RATE = 250


def rows(first, *, join=",", values=ECG, end="\n"):
    """Lines of a first column, given by the number of the sample, and the channel ``values``."""
    return "".join(f"{first(k)}{join}{value:.3f}{end}" for k, value in enumerate(values))


def clock(seconds):
    return f"{int(seconds) // 60}:{seconds % 60:06.3f}"


OPEN_SIGNALS = {"00:07": {"column": ["nSeq", "I1", "I2", "A1"], "label": ["A1"], "sampling rate": 250}}

NOTATIONS = {
    "no header, seconds": rows(lambda k: f"{k / RATE:.3f}"),
    "rdsamp -p, blanks": rows(lambda k: f"  {k / RATE:8.3f}", join="    "),
    "elapsed time": "Elapsed time (s),II\n" + rows(lambda k: f"{k / RATE:.3f}"),
    "unknown name": "x,II\n" + rows(lambda k: f"{k / RATE:.3f}"),
    "time is the last column": "II,time (s)\n" + "".join(f"{v:.3f},{k / RATE:.3f}\n" for k, v in enumerate(ECG)),
    "pandas index and time": ",time (s),II\n" + rows(lambda k: f"{k},{k / RATE:.3f}"),
    "units row": "'Elapsed time','MLII'\n'seconds','mV'\n" + rows(lambda k: f"{k / RATE:.3f}"),
    "unit of the time in the units row": "t;II\nms;mV\n" + rows(lambda k: f"{4 * k}", join=";"),
    "milliseconds of step 1": "time (ms),II\n" + rows(lambda k: f"{4 * k}"),
    "microseconds": "time_us,II\n" + rows(lambda k: f"{4000 * k}"),
    "mm:ss.mmm in quotes": "'Elapsed time','MLII'\n'mm:ss.mmm','mV'\n" + rows(lambda k: f"'{clock(58.9 + k / RATE)}'"),
    "mm:ss.mmm over the hour": "Time,II\n" + rows(lambda k: clock((3599.9 + k / RATE) % 3600)),
    "hh:mm:ss over midnight": "Time,II\n"
    + rows(lambda k: f"{'23:59:59' if k < 25 else '00:00:00'}.{(900 + 4 * k) % 1000:03d}"),
    "PhysioNet's absolute time": "Time,II\n" + rows(lambda k: f"'[10:00:00.{4 * k:03d} 01/02/2020]'"),
    "hh:mm:ss:mmm": "Time,II\n"
    + rows(lambda k: f"01:59:59:{900 + k * 4:03d}" if k < 25 else f"02:00:00:{k * 4 - 100:03d}"),
    "mm:ss:mmm": "Time,II\n" + rows(lambda k: f"59:59:{4 * k:03d}"),
    "pandas time delta": ",II\n" + rows(lambda k: f"1 days 00:00:0{k / RATE:.6f}" if k else "1 days 00:00:00"),
    "MATLAB's days": "time,II\n" + rows(lambda k: f"{738000 + k / RATE / 86400:.10f}"),
    "Excel's days": rows(lambda k: f"{45000.5 + k / RATE / 86400:.12f}"),
    "date and time in columns": "date,time,II\n" + rows(lambda k: f"2020-02-01,10:00:00.{4 * k:03d}"),
    "Unix seconds": "timestamp,II\n" + rows(lambda k: f"{1.6e9 + k / RATE:.3f}"),
    "Unix milliseconds": "timestamp,II\n" + rows(lambda k: f"{1_600_000_000_000 + 4 * k}"),
    "Unix microseconds": "timestamp,II\n" + rows(lambda k: f"{1_600_000_000_000_000 + 4000 * k}"),
    "Unix nanoseconds": rows(lambda k: f"{1_600_000_000_000_000_001 + 4_000_000 * k}"),
    "decimal comma": "Zeit;II\n" + rows(lambda k: f"{k / RATE:.3f}", join=";").replace(".", ","),
    "decimal comma in quotes, and commas": "time,II\n"
    + "".join(f'"{k / RATE:.3f}","{v:.3f}"\n' for k, v in enumerate(ECG)).replace(".", ","),
    "decimal comma, tabs": "Zeit\tII\n" + rows(lambda k: f"{k / RATE:.3f}", join="\t").replace(".", ","),
    "trailing separators": "time (s),II,\n" + rows(lambda k: f"{k / RATE:.3f}", end=",\n"),
    "trailing separators but in the header": "time (s);II\n" + rows(lambda k: f"{k / RATE:.3f}", join=";", end=";\n"),
    "comments": "# made by a program\n# time (s),II\n" + rows(lambda k: f"{k / RATE:.3f}"),
    "rate in a comment": "# Sampling rate: 250 Hz\nsample,II\n" + rows(lambda k: f"{k}"),
    "OpenSignals": f"# OpenSignals Text File Format\n# {json.dumps(OPEN_SIGNALS)}\n# EndOfHeader\n"
    + rows(lambda k: f"{k % 16}\t0\t1", join="\t", end="\t\n"),
}


@pytest.mark.parametrize("text", NOTATIONS.values(), ids=NOTATIONS.keys())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_channel_and_rate_are_read_and_everything_else_comes_back(tmp_path, text, encoding):
    path = tmp_path / "ecg.csv"
    path.write_text(text, encoding=encoding)
    recording = open_recording(path)
    assert (recording.rate, recording.channels, recording.notes) == (RATE, 1, ())
    np.testing.assert_allclose(read(recording)[0], ECG, atol=1e-6)
    copy(recording, tmp_path / "copy.csv")
    again = open_recording(tmp_path / "copy.csv")
    assert (again.rate, again.layout, again.copied) == (recording.rate, recording.layout, recording.copied)
    np.testing.assert_array_equal(read(again), read(recording))
    old, new = (p.read_text(encoding=encoding).splitlines() for p in (path, tmp_path / "copy.csv"))
    assert new[: recording.layout.header] == old[: recording.layout.header]
    assert len(new) == len(old)


COUNTED = {
    "rdsamp": rows(lambda k: f"{k:8d}", join="  "),
    "rdsamp -v": "    sample #       MLII\n" + rows(lambda k: f"{k:8d}", join="  "),
    "pandas": ",II\n" + rows(lambda k: f"{k}"),
    "pandas, columns without names": ",0\n" + rows(lambda k: f"{k}"),
    "from 1": "sample_no,II\n" + rows(lambda k: f"{k + 1}"),
    "named otherwise": "x,II\n" + rows(lambda k: f"{k}"),
    "counter that begins again": "nSeq\tII\n" + rows(lambda k: f"{k % 16}", join="\t"),
    "time without a unit": "time,II\n" + rows(lambda k: f"{k}"),
    "counter without a name that begins again": rows(lambda k: f"{k % 16}"),
    "counter of another name that begins again": "x,II\n" + rows(lambda k: f"{(k + 9) % 16}"),
    "seconds that are samples": "Elapsed time (s),II\n" + rows(lambda k: f"{k}"),
    "Unix stamps of whole seconds": "timestamp,II\n" + rows(lambda k: f"{1_600_000_000 + k}"),
}


@pytest.mark.parametrize("text", COUNTED.values(), ids=COUNTED.keys())
def test_numbers_of_samples_give_no_rate_and_are_copied(tmp_path, text):
    path = tmp_path / "ecg.csv"
    path.write_text(text)
    with pytest.raises(RateError, match=r"^.*ecg .*(count.*|, or) samples.*; give --rate, in Hz( \(1 for seconds\))?$"):
        open_recording(path, name="ecg")
    recording = open_recording(path, rate=RATE)
    assert (recording.rate, recording.channels) == (RATE, 1)
    np.testing.assert_allclose(read(recording)[0], ECG, atol=1e-6)
    copy(recording, tmp_path / "half.csv", factor=0.5)
    half = open_recording(tmp_path / "half.csv", rate=RATE)
    np.testing.assert_allclose(read(half)[0], ECG / 2, atol=1e-6)
    header = recording.layout.header
    firsts = [
        [line.replace(",", " ").split()[0] for line in p.read_text().splitlines()[header:]]
        for p in (path, tmp_path / "half.csv")
    ]
    assert firsts[0] == firsts[1]


@pytest.mark.parametrize("numbers", [range(40), [k % 16 for k in range(40)]])
def test_a_column_that_is_named_and_is_a_counter_may_stand_anywhere(tmp_path, numbers):
    path = tmp_path / "ecg.csv"
    path.write_text("II,V5,counter\n" + "".join(f"{v:.3f},{-v:.3f},{k}\n" for k, v in zip(numbers, ECG, strict=True)))
    recording = open_recording(path, rate=RATE)
    np.testing.assert_allclose(read(recording), [ECG, -ECG], atol=1e-6)
    copy(recording, tmp_path / "half.csv", factor=0.5)
    written = np.loadtxt(tmp_path / "half.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(written, np.stack([ECG / 2, -ECG / 2, numbers], axis=1), atol=1e-6)


JITTER = [7, 1, 9, 5, 2, 6, 4, 3, 6, 5]


@pytest.mark.parametrize("header", ["", "ts,I,II\n"])
@pytest.mark.parametrize(
    "stamps",
    [
        [1_600_000_000_000 + 4 * (k + (k == 9) - (k == 10)) for k in range(40)],  # two in another order
        [1_600_000_000_000 + 4 * k + JITTER[k % 10] for k in range(40)],
        [f"{(k + (k == 9) - (k == 10)) / RATE:.3f}" for k in range(40)],
    ],
)
def test_a_clock_that_falls_now_and_then_is_copied(tmp_path, header, stamps):
    path = tmp_path / "ecg.csv"
    path.write_text(header + "".join(f"{t},{v},{-v}\n" for t, v in zip(stamps, ECG, strict=True)))
    with pytest.raises(RateError, match=r"the time column of .* does not rise; give --rate"):
        open_recording(path)
    np.testing.assert_allclose(read(open_recording(path, rate=RATE)), [ECG, -ECG], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("idx", range(40, 0, -1)),
        ("", range(40, 0, -1)),
        ("", [k / RATE for k in range(40, 0, -1)]),
        ("id", [5] * 40),
        ("", [5] * 40),
    ],
)
def test_a_first_column_that_counts_down_or_is_constant_is_copied(tmp_path, name, numbers):
    path = tmp_path / "ecg.csv"
    header = f"{name},I,II\n" if name else ""
    path.write_text(header + "".join(f"{t},{v},{-v}\n" for t, v in zip(numbers, ECG, strict=True)))
    np.testing.assert_allclose(read(open_recording(path, rate=RATE)), [ECG, -ECG], atol=1e-6)
    refusal = "the time column" if not name and numbers[0] < 1 else "no time column, only one that counts samples"
    with pytest.raises(RateError, match=refusal):
        open_recording(path)
    path.write_text("time,II\n" + rows(lambda k: "1.7e9"))
    with pytest.raises(RateError, match="the time column"):
        open_recording(path)


def test_a_constant_lead_that_is_named_is_a_lead(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("I,II\n" + rows(lambda k: 0))
    assert open_recording(path, rate=RATE).channels == 2


@pytest.mark.parametrize("header", ["index", "time (s)", "index,time", "timestamp", None])
def test_a_table_of_times_alone_has_no_channel(tmp_path, header):
    path = tmp_path / "ecg.csv"
    count = (header or "").count(",") + 1
    first = 1_600_000_000_000 if header == "timestamp" else 0
    lines = [",".join([str(first + k)] + [f"{k / RATE:.3f}"] * (count - 1)) for k in range(40)]
    path.write_text("\n".join([header] * bool(header) + (lines if header else [f"{k / RATE:.3f}" for k in range(40)])))
    told = f" \\({header.replace(',', ', ').replace('(', '.').replace(')', '.')}\\)" if header else ""
    for rate in (None, RATE):
        with pytest.raises(RecordingError, match=rf"has no column of samples, only times or numbers of samples{told}$"):
            open_recording(path, rate=rate)


@pytest.mark.parametrize("header", ["time (s),II\n", "# sampling rate: 250 Hz\nI,II\n"])
def test_a_rate_that_is_not_the_files_own_is_noted(tmp_path, header):
    path = tmp_path / "ecg.csv"
    path.write_text(header + rows(lambda k: f"{k / RATE:.3f}"))
    assert open_recording(path, rate=RATE).notes == ()
    (note,) = open_recording(path, rate=500, name="ecg").notes
    assert note == "ecg says that its rate is 250 Hz, and it is taken at 500 Hz, as you say"


def test_a_channel_is_no_time_because_it_stands_first(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("I,II\n" + "".join(f"{-v:.3f},{v:.3f}\n" for v in ECG))
    assert open_recording(path, rate=RATE).channels == 2
    path.write_text("I,II\n1,5\n2,3\n3,4\n")  # too short to tell
    assert open_recording(path, rate=RATE).channels == 2
    path.write_text("".join(f"{v:.3f}\n" for v in np.arange(5) / 10))  # all that there is
    assert open_recording(path, rate=RATE).channels == 1


def test_a_single_name_tells_a_decimal_comma_from_a_separator(tmp_path):
    path = tmp_path / "ecg.csv"
    for header, values in (
        ("II", [[0.5, 1.25, 0]]),
        ("I,II", [[0, 1, 0], [5, 25, 0]]),
        (None, [[0, 1, 0], [5, 25, 0]]),
    ):
        path.write_text("".join(f"{line}\n" for line in (header, "0,5", "1,25", "0,0") if line))
        assert read(open_recording(path, rate=RATE)).tolist() == values


@pytest.mark.parametrize("name", ["BVP", "ACC"])
def test_empaticas_two_header_rows_are_start_and_rate(tmp_path, name):
    count = 3 if name == "ACC" else 1
    lines = [", ".join([value] * count) for value in ("1479994738.000000", "64.000000", "-0.5", "12", "3.25")]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    recording = open_recording(tmp_path / "in.csv")
    assert (recording.rate, recording.channels, recording.frames) == (64, count, 3)
    assert read(recording)[0].tolist() == [-0.5, 12, 3.25]
    copy(recording, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[:2] == lines[:2]
    assert open_recording(tmp_path / "out.csv").frames == 3


@pytest.mark.parametrize("end", ["\n", "\n\n \n", "\r\n\r\n", "\n,\n,\n"])
def test_blank_last_lines_are_no_rows(tmp_path, end):
    path = tmp_path / "ecg.csv"
    path.write_bytes(("time (s),II\n0,0.5\n0.25,1\n0.5,0" + end).encode())
    assert open_recording(path).frames == 3


def test_a_row_without_values_among_others_is_refused(tmp_path):
    path = tmp_path / "ecg.csv"
    for lines, where in (
        ("0.5,1\n,\n0.25,0\n", r"3, column 1 \(I\): ''"),
        ("0,1\n0,2\n0,-\n", r"4, column 2 \(II\): '-'"),
    ):
        path.write_text(f"I,II\n{lines}")
        with pytest.raises(RecordingError, match=rf"has a cell that is not a number in line {where}"):
            open_recording(path, rate=RATE)


def test_cells_such_as_1_1_are_no_samples_and_no_times(tmp_path):
    rows = [f"{k / 4},0.5,0.25,{k % 3}\n" for k in range(200)]
    path = tmp_path / "ecg.csv"
    for row, where in (("50,0.5,0.25,1_1\n", r"202, column 4 \(III\): '1_1'"), ("5_0,0.5,0.25,1\n", "202")):
        path.write_text("".join(["time (s),I,II,III\n", *rows, row]))
        with pytest.raises(RecordingError, match=rf"line {where}"):
            list(open_recording(path).blocks())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16-le"])
def test_header_in_another_encoding_is_read_and_kept(tmp_path, encoding):
    path = tmp_path / "ecg.csv"
    text = "Zeit (ms);Spannung (µV)\n0;1\n4;3\n8;2\n12;3\n"
    path.write_bytes(text.encode(encoding))
    recording = open_recording(path)
    assert (recording.rate, read(recording).tolist()) == (250, [[1, 3, 2, 3]])
    copy(recording, tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == text.encode(encoding)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0.0,oops\n0.1,1\n", "not a number in line 1: 'oops'"),
        ("0.0,1\n0.1,oops\n0.2,3\n", "not a number in line 2"),
        ("1.234,5;2\n1,5;3\n2,5;3\n", "not a number in line 1"),
    ],
)
def test_a_broken_row_is_not_taken_for_a_header(tmp_path, text, line):
    (tmp_path / "ecg.csv").write_text(text)
    with pytest.raises(RecordingError, match=line):
        open_recording(tmp_path / "ecg.csv", rate=RATE)


def test_gaps_do_not_change_the_rate_and_are_named(tmp_path):
    path = tmp_path / "ecg.csv"
    times = np.arange(40) / RATE
    times[10:] += 0.5
    times[30:] += 2
    path.write_text("time (s),II\n" + rows(lambda k: f"{times[k]:.3f}"))
    recording = open_recording(path, name="ecg.csv")
    assert recording.rate == RATE  # over the whole file there are 15 samples a second
    (note,) = recording.notes
    assert note == (
        "the recording has 2 gaps, the longest of 2.004 s, 0.616 s after the start; "
        "its samples are taken as if there were none"
    )


def test_lost_samples_are_named_where_the_samples_are_numbered(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("sample,II\n" + rows(lambda k: f"{k + 100 * (k > 20)}"))
    (note,) = open_recording(path, rate=RATE, name="ecg.csv").notes
    assert note.startswith("the recording has a gap of 101 samples, 20 samples after the start; ")


@pytest.mark.parametrize(
    ("times", "line"),
    [
        (
            np.floor(np.arange(40) / 2) / 100,
            "20 of the times in ecg repeat the one before, because the clock is coarse",
        ),
        (np.floor(np.arange(40) / 0.9) / 100, "4 of 39 steps in the time column of ecg are uneven"),
        (np.arange(40) % 7, "the time column of ecg does not rise"),
    ],
)
def test_times_that_give_no_sure_rate_are_asked_about(tmp_path, times, line):
    path = tmp_path / "ecg.csv"
    path.write_text("time (s),II\n" + rows(lambda k: f"{times[k]:.2f}"))
    with pytest.raises(RateError) as refusal:
        open_recording(path, name="ecg")
    assert str(refusal.value) == f"{line}; give --rate, in Hz"
    assert (open_recording(path, rate=RATE).rate, open_recording(path, rate=RATE).channels) == (RATE, 1)


def test_rate_of_stamps_with_few_digits_is_their_mean_step(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("time (s),II\n" + rows(lambda k: f"{k / 128:.3f}", values=np.tile(ECG, 30)))
    assert open_recording(path).rate == 128  # though most steps are of 8 ms


AGAIN = {
    "two recordings": ("Zeit", [k % 25 / RATE for k in range(40)], "starts again at line 27"),
    "without a name": ("", [k % 25 / RATE for k in range(40)], "starts again at line 26"),
    "coarse times": ("Zeit", [k // 2 % 15 / 100 for k in range(40)], "starts again at line 32"),
    "late times": ("", [k % 25 / RATE + JITTER[k % 10] / 3000 for k in range(40)], "starts again at line 26"),
    "of 16 bits": ("tick", [(65_500 + 4 * k) % 65_536 for k in range(40)], "starts again at line 11"),
    "of 16 bits, without a name": ("", [(65_500 + 4 * k) % 65_536 for k in range(40)], "only one that counts"),
    "numbers of step 2": ("seq", [2 * k % 32 for k in range(40)], "only one that counts"),
    "numbers of packets": ("seq", [k // 2 % 9 for k in range(40)], "only one that counts"),
    "packets without a name": ("", [k // 2 % 9 for k in range(40)], "only one that counts"),
}


@pytest.mark.parametrize(("name", "numbers", "why"), AGAIN.values(), ids=AGAIN.keys())
def test_a_first_column_that_starts_again_is_no_lead(tmp_path, name, numbers, why):
    path = tmp_path / "ecg.csv"
    path.write_text((f"{name},II\n" if name else "") + rows(lambda k: f"{numbers[k]:g}"))
    with pytest.raises(RateError, match=rf"^.* {why}.*; give --rate, in Hz$"):
        open_recording(path)
    recording = open_recording(path, rate=RATE)
    assert recording.copied == (0,)
    np.testing.assert_allclose(read(recording)[0], ECG, atol=1e-6)
    line = why.partition(" at ")[2]
    told = f"the times start again at {line}; the samples are taken as if they did not"
    assert recording.notes == ((told,) if line else ())


def test_the_rate_of_times_that_start_again_is_used_where_their_unit_is_known(tmp_path):
    path = tmp_path / "ecg.csv"
    path.write_text("micros,II\n" + rows(lambda k: f"{(2**32 - 60_000 + 4000 * k) % 2**32}"))
    recording = open_recording(path)
    assert (recording.rate, recording.channels) == (RATE, 1)
    assert recording.notes == ("the times start again at line 17; the samples are taken as if they did not",)
    path.write_text("sample,x,II\n" + rows(lambda k: f"{k},{k % 25 / RATE}"))
    assert open_recording(path, rate=RATE).copied == (0, 1)
    path.write_text("time (ms),II\n" + rows(lambda k: f"{4 * (k % 16)}"))
    assert "at line 18, and 2 times in all; " in open_recording(path).notes[0]


@pytest.mark.parametrize(
    ("header", "lead"),
    [
        ("", [k % 10 / 50 for k in range(40)]),
        ("", [3 * (k % 10) for k in range(40)]),
        ("", [1 - k % 10 / 50 for k in range(40)]),
        ("I,II\n", [k % 10 / 50 for k in range(40)]),
        ("I,II\n", [k % 20 for k in range(40)]),
        ("ramp,II\n", [3 * (k % 10) for k in range(40)]),
        ("ramp,II\n", [k % 13 for k in range(40)]),
    ],
)
def test_a_sawtooth_is_a_lead_by_its_name_or_without_one_and_then_told(tmp_path, header, lead):
    path = tmp_path / "ecg.csv"
    path.write_text(header + rows(lambda k: f"{lead[k]:g}"))
    recording = open_recording(path, rate=RATE, name="ecg")
    np.testing.assert_allclose(read(recording), [lead, ECG], atol=1e-6)
    told = "the first column of ecg moves evenly and starts again, and is taken for a lead: name it if it is none"
    by_word = told.replace("name it", "name it time or index")
    assert recording.notes == {"": (told,), "I,II\n": (), "ramp,II\n": (by_word,)}[header]
    path.write_text("Zeit,II\n" + rows(lambda k: f"{lead[k]:g}"))
    assert open_recording(path, rate=RATE).copied == (0,)


@pytest.mark.parametrize(
    "lead",
    [
        [k % 8 / 50 for k in range(40)],  # falls too often
        [k - 3 * (k == 20) for k in ECG.cumsum()],
        [k // 2 % 5 for k in range(40)],  # falls by too little
        [k % 20 if k % 20 < 16 else 64 - 3 * (k % 20) for k in range(40)],  # a pulse: falls in several steps
        [k // 2 % 9 + (k == 30) for k in range(40)],  # steps otherwise
    ],
)
def test_a_lead_that_falls_is_a_lead(tmp_path, lead):
    path = tmp_path / "ecg.csv"
    path.write_text("I,II\n" + rows(lambda k: f"{lead[k]:.3f}"))
    assert open_recording(path, rate=RATE).channels == 2

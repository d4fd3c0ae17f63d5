"""The first row of a table, and its number of columns."""

import json

import pytest

from sepray.signals import table_layout
from sepray.signals.recording_types import RecordingError
from sepray.signals.table_layout import layout_of


def laid_out(folder, text):
    file = folder / "a.csv"
    file.write_text(text)
    layout = layout_of(file, "a.csv")
    with file.open() as lines:
        return layout, list(layout.rows(lines, "x.csv"))


def test_numbers_joined_by_an_underscore_are_names(tmp_path):
    layout, rows = laid_out(tmp_path, "1_1,1_2\n0.5,2.5\n0.25,2.5\n")
    assert (layout.header, layout.labels) == (1, ("1_1", "1_2"))
    assert rows == [(2, ["0.5", "2.5"]), (3, ["0.25", "2.5"])]


@pytest.mark.parametrize("before", ["1,2,3\n", "a note\n1,2,3\n4,5,6\n"])
def test_columns_are_those_of_most_rows_and_lines_before_them_are_passed_over(tmp_path, before):
    data = [[f"{k}.5", f"{-k}.25"] for k in range(6)]
    layout, rows = laid_out(tmp_path, before + "".join(",".join(cells) + "\n" for cells in data))
    start = before.count("\n")
    assert (layout.separator, layout.header, len(layout.labels)) == (",", start, 2)
    assert rows == [(start + 1 + k, cells) for k, cells in enumerate(data)]


def test_a_column_of_decimal_commas_is_not_read_as_two(tmp_path):
    with pytest.raises(
        RecordingError, match=r"a\.csv has commas that look like decimal marks, as in -0,012: write points, or sep.*"
    ):
        laid_out(tmp_path, "# ecg\n0,5\n-0,012\n1,25\n")
    assert len(laid_out(tmp_path, "1,5\n-2,12\n3,25\n")[0].labels) == 2  # whole numbers, perhaps
    assert laid_out(tmp_path, "lead\n0,5\n-0,012\n1,25\n")[0].decimal == ","
    assert len(laid_out(tmp_path, "a,b\n0,5\n1,12\n")[0].labels) == 2


@pytest.mark.parametrize(
    "text",
    [
        "ECG I,ECG II\n0,1446,1,4404\n0,2,-1,5\n0,31,1,25\n",  # names of half the columns
        "t,a,b\n0,0000,0,14,1,4\n0,0040,0,15,1,5\n",
        "sample,a,b\n0,0,14,1,4\n1,0,15,1,5\n",
        "0,0000,3\n0,0040,4\n",  # without a header: times alone
        "0,3,14,-0,5\n1,3,05,1,4\n2,2,9,1,25\n",
        "# t,a\n0,0000,0,14\n0,0040,0,15\n",
    ],
)
def test_rows_of_decimal_commas_between_commas_are_refused(tmp_path, text):
    with pytest.raises(RecordingError, match=r"^a\.csv has commas that look like decimal marks, as in [-\d,]+: write"):
        laid_out(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "2048,1990\n2051,2003\n987,12\n",  # counts
        "0012,0456\n0100,0007\n",  # counts of one width
        "1,-05\n2,-06\n",  # no fraction has a sign
        "1.5,05\n2.5,06\n",
        "h,m,a\n7,05,1.5\n7,06,2.5\n",  # as the header says
    ],
)
def test_columns_of_whole_numbers_are_no_halves_of_others(tmp_path, text):
    layout, rows = laid_out(tmp_path, text)
    assert len(layout.labels) == text.splitlines()[0].count(",") + 1
    assert len(rows) == len(text.splitlines()) - layout.has_names


@pytest.mark.parametrize(
    ("header", "row"), [("t,a,b", "0.5,1.5,2.5,1.25"), ("t,a,b,c", "0.5,1.5,2.5"), ("t;a", "1,5;2;3")]
)
def test_names_of_other_columns_are_refused(tmp_path, header, row):
    names, cells = (len(line.replace(";", ",").split(",")) for line in (header, row.replace("1,5;", "1;")))
    told = header.replace(";", ",").replace(",", ", ")
    with pytest.raises(
        RecordingError, match=rf"a\.csv names {names} columns \({told}\) above rows of {cells} cells: na"
    ):
        laid_out(tmp_path, f"{header}\n{row}\n{row}\n")
    laid_out(tmp_path, f"# {header}\n{row}\n{row}\n")


def test_many_names_of_other_columns_are_cut(tmp_path):
    most = "time, abdominal lead one, and another, x"
    assert len(most) == 40
    for names, told in ((most, most), (f"{most}y", f"{most} ...")):
        with pytest.raises(RecordingError, match=rf"names 4 columns \({told}\) above rows of 3 cells"):
            laid_out(tmp_path, f"{names}\n0.5,1.5,2.5\n1.5,2.5,3.5\n")


@pytest.mark.parametrize("first", ["1", '"1"'])
def test_r_gives_the_column_of_row_names_no_name(tmp_path, first):
    layout, _ = laid_out(tmp_path, f'"time_ms" "a"\n{first} 0 1.5\n{first.replace("1", "2")} 4 2.5\n')
    assert layout.labels == ("", "time_ms", "a")


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ("0.25,-1.5\n0.75,1.5\n0.25,2.5\n", True),
        ("2051,2040\n2052,2041\n2047,2044\n", True),
        ("0.0,2040\n0.004,2041\n0.008,2041\n", True),
        ("0.004,2.5\n0.008,1.5\n0.012,2.5\n", False),  # the first sample, at 0 s
        ("1,2.5\n2,1.5\n3,2.5\n", False),  # likewise, number 0
        ("-3,2\n4,1\n-1,5\n", False),
        ("-3,-2\n-4,-5\n-7,-9\n", True),
        ("0.5,1\n0.25,4\n0.5,3\n", False),  # as small as the smallest below
        ("0.5,1\n0.25,-4\n0.5,-3\n", False),
        ("0.25,-1.5\n", False),  # one row says too little
        ("0.25,-1.5\n0.75,1.5\n", True),
    ],
)
def test_numbers_of_the_columns_are_a_header(tmp_path, rows, header):
    layout, found = laid_out(tmp_path, "0,1\n" + rows)
    assert (layout.header, len(found), layout.labels) == (int(header), rows.count("\n") + 1 - header, ("", ""))
    assert laid_out(tmp_path, "1,2\n0.5,2.5\n0.25,1.5\n")[0].header == 1
    assert laid_out(tmp_path, "1,2\n2,2.5\n3,1.5\n")[0].header == 0


@pytest.mark.parametrize("end", [",,", ",,,"])
def test_empty_columns_at_the_end_are_dropped(tmp_path, end):
    names = "".join(f",x{k}" for k in range(len(end)))
    for header in ("t,a", f"t,a{names}", f"t,a{end}"):
        layout, rows = laid_out(tmp_path, f"{header}\n0.5,1{end}\n0.75,2{end}\n")
        assert (layout.labels, layout.trailing, layout.header) == (("t", "a"), len(end), 1)
        assert [cells for _, cells in rows] == [["0.5", "1"], ["0.75", "2"]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("t,x,a\n0,,1\n1,,2\n", r"nothing in column 2 \(x\), as in line 3"),
        ("t;a;note\n0,5;1;N\n1,5;2;V\n", r"text: 'V' in column 3 \(note\), as in line 3"),
        (",a\ns0,1.5\ns1,2.5\n", "text: 's1' in column 1, as in line 3"),
        ("s0,1.5\ns1,2.5\n", "text: 's1' in column 1, as in line 2"),
        (
            "y" * 50 + ",a\n" + ("x" * 50 + ",1.5\n") * 2,
            rf"text: '{'x' * 40}' in column 1 \({'y' * 40}\), as in line 3",
        ),
        ("a,b\nc,d\n1,x\n2,y\n", r"text: 'y' in column 2 \(b\), as in line 4"),
    ],
)
def test_a_column_without_numbers_is_named(tmp_path, text, why):
    with pytest.raises(RecordingError, match=rf"a\.csv has {why}: leave that column out, or fill it with numbers"):
        laid_out(tmp_path, text)


@pytest.mark.parametrize("text", ["a,b\nc,d\ne,f\n1,x\n2,y\n", "1,x\n"])
def test_a_text_with_a_few_numbers_is_no_table(tmp_path, text):
    with pytest.raises(RecordingError, match=r"a\.csv (holds no rows of numbers|is not a table of numbers)"):
        laid_out(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("sampling rate: 0.25 kHz", 250),
        ("Sampling rate (kHz): 1.5", 1500),
        ("Sample Frequency: 250 Hz", 250),
        ("sampling_rate=250", 250),
        ("Sampling frequency (Hz): 250", 250),
        ("fs = 250", 250),
        ("Fs 250", 250),
        ("fs (kHz): 0.25", 250),
        ("Fs: 250.0 Hz, 12 bit", 250),
        ("offs 3", None),
        ("full scale (FS) = 2048", None),
        ("FS = 250 mV", None),
        ("fs 25.", None),
        ("fs = 250,5", None),
        ("a,fs,3", None),
        ("fs,250.0", 250),
        ('"fs","250.0"', 250),
        ("FS (kHz);0.25", 250),
    ],
)
def test_rate_of_the_header_in_its_unit(tmp_path, line, rate):
    assert laid_out(tmp_path, f"# {line}\na,b\n1.5,2\n2.5,3\n")[0].rate == rate


def test_open_signals_of_two_devices_names_all_columns(tmp_path):
    one = {"column": ["nSeq", "I1", "CH1"], "label": ["CH1"]}
    other = {"column": ["nSeq", "CH1", "CH2"], "label": ["CH1", "CH2"]}
    text = f"# {json.dumps({'a': one, 'b': other})}\n" + "".join(f"{k}\t0\t5\t{k}\t7\t8\n" for k in range(3))
    layout, _ = laid_out(tmp_path, text)
    assert layout.labels == ("nSeq", "I1", "CH1", "nSeq", "CH1", "CH2")
    assert layout.no_signals == (0, 1, 3)


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (["1", "2", " "], ["1", "2"]),
        (["1", "2", "", ""], ["1", "2"]),
        (["1", "", "2"], ["1", "", "2"]),
        (["1", ""], ["1", ""]),
        (["1", "2"], ["1", "2"]),
    ],
)
def test_only_an_empty_cell_after_the_last_column_is_left_out(cells, kept):
    assert table_layout._without_trailing(cells, 2) == kept


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"a,b\n", "utf-8"),
        ("µV\n".encode(), "utf-8"),
        ("µV".encode()[:1], "utf-8"),  # a character that the first bytes cut
        ("µV\n".encode("latin-1"), "latin-1"),
        (b"\xef\xbb\xbfa\n", "utf-8-sig"),
        ("a,b".encode("utf-16"), "utf-16"),
        ("a,b".encode("utf-16-le"), "utf-16-le"),
        ("a,b".encode("utf-16-be"), "utf-16-be"),
        (b"a\0b", "utf-8"),
    ],
)
def test_first_bytes_tell_the_encoding(head, encoding):
    assert table_layout._encoding(head) == encoding


@pytest.mark.parametrize("line", ["sampl" * 12_000, "fs " * 20_000, "samplfreq" * 7_000, "sample rate" + "(" * 60_000])
def test_long_lines_of_a_header_are_gone_through_once(tmp_path, line):
    layout, rows = laid_out(tmp_path, f"# {line}\n0.5,1.5\n0.25,2.5\n0.75,1\n")  # for hours before
    assert (layout.rate, layout.header, len(rows)) == (None, 1, 3)


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ("Sampling Rate (Hz): 1000", 1000.0),
        ("# sampling_rate=256.5", 256.5),
        ("# sample frequency: (kHz) 2", 2000.0),
        ("# Samples freq. 1.5 kHz", 1500.0),
        ("sample_size 4", None),
    ],
)
def test_rate_that_a_header_says(tmp_path, said, rate):
    assert laid_out(tmp_path, f"{said}\n0.5,1.5\n0.25,2.5\n0.75,1\n")[0].rate == rate


def test_of_empty_rows_within_a_table_the_first_is_kept(tmp_path):
    """They were all kept: eight megabytes of them took eight hundred."""
    data = "".join(f"{k}.5,1\n" for k in range(5))
    assert len(laid_out(tmp_path, data + ",\n" * 9)[1]) == 5
    assert laid_out(tmp_path, f"{data},\n , \n,\n7.5,2\n")[1][5:] == [(6, ["", ""]), (9, ["7.5", "2"])]


@pytest.mark.parametrize("empty", ["", ",", " ", "#"])
def test_a_table_has_no_more_empty_lines_than_a_spreadsheet_and_double_spacing_make(tmp_path, empty, monkeypatch):
    """Sixteen megabytes of them took 8 s."""
    monkeypatch.setattr(table_layout, "_MOST_EMPTY", 10)
    data = [f"{k}.5,1\n" for k in range(50)]
    assert len(laid_out(tmp_path, f"{empty}\n".join(data) + f"{empty}\n" * 10)[1]) >= 50
    looked_at = []
    lines = (line for line in ["1.5,2\n", *[f"{empty}\n"] * 1000] if not looked_at.append(line))
    layout = laid_out(tmp_path, "".join(data))[0]
    with pytest.raises(RecordingError, match=r"^x\.csv has a million empty lines before line 13: leave them out$"):
        list(layout.rows(lines, "x.csv"))
    assert len(looked_at) == 13


def test_cells_that_nobody_counts_are_not_taken_off_a_row(tmp_path):
    """A row of a megabyte of commas was copied as often as it had cells."""
    data = "".join(f"{k}.5,1\n" for k in range(20))
    rows = laid_out(tmp_path, data + "7.5,2" + "," * 9000 + "\n8.5,3" + "," * 20_000 + "\n")[1]
    assert [len(cells) for _, cells in rows[-3:]] == [2, 2, 20_002]


@pytest.mark.parametrize(
    ("comments", "labels"),
    [
        ("# time (ms), ecg\n# end of header\n", ("time (ms)", "ecg")),
        ("# time (ms), ecg\n# by A, in B\n", ("time (ms)", "ecg")),
        ("# sample, ecg\n#\n", ("sample", "ecg")),
        ("# by A, in B\n# lead one, lead two\n", ("lead one", "lead two")),
        ("# lead one, lead two\n# end\n", ("", "")),
    ],
)
def test_the_comment_that_names_a_time_names_the_columns(tmp_path, comments, labels):
    assert laid_out(tmp_path, f"{comments}0,1.5\n4,2.5\n8,1.25\n")[0].labels == labels


LABCHART = (
    "Interval=\t{}\nExcelDateTime=\t4.4e4\t12/1/2020 10:10:10.000\nDateFormat=\t\nChannelTitle=\t{}\nRange=\t10 mV\n"
)


@pytest.mark.parametrize(
    ("interval", "titles", "labels"),
    [("0.004 s", "I\tII", ("", "I", "II")), ("4 ms", "a\tb\tc\t", ("a", "b", "c")), ("4000 us", "I", ("", "", ""))],
)
def test_labchart_says_interval_and_titles_in_its_header(tmp_path, interval, titles, labels):
    layout, rows = laid_out(tmp_path, LABCHART.format(interval, titles) + "0\t1.5\t2\n0.004\t2.5\t1\n0.008\t1\t2\n")
    assert (layout.rate, layout.labels, layout.header, len(rows)) == (250, labels, 5, 3)


@pytest.mark.parametrize("first", ["10:00:00.000", "2024-01-01T00:00:00.000", "2024-01-01 00:00:00"])
@pytest.mark.parametrize("missing", ["-", "", "NA", "lead off"])
def test_rows_without_a_sample_at_the_start_are_no_header(tmp_path, first, missing):
    text = "time,ecg\n" + f"{first},{missing}\n" * 60 + f"{first},1.5\n" * 60
    with pytest.raises(RecordingError, match=rf"^a\.csv has a cell that is not a number in line 2: '{missing}'$"):
        laid_out(tmp_path, text)
    with pytest.raises(RecordingError, match=rf"^a\.csv has a cell that is not a number in line 1: '{missing}'$"):
        laid_out(tmp_path, text.partition("\n")[2])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ecg,ppg\n-,512\n0.5,513\n0.25,514\n", "line 2: '-'"),
        ("ecg,ppg\n,512\n0.5,513\n0.25,514\n", "line 2: ''"),
        ("-,512\n0.5,513\n0.25,514\n", "line 1: '-'"),
        ("time,a,b\n10:00:00\n10:00:01,0.5,1\n10:00:02,0.25,2\n", ""),
        ("time,a,b\n0.0\n0.1,0.5,1\n0.2,0.25,2\n", ""),
        ("ecg,ppg\n-,-\nNA,-\n0.5,513\n0.25,514\n", "line 3: 'NA'"),
        ("ecg,time\nNA,10:00:00\n0.5,10:00:01\n0.25,10:00:02\n", "line 2: 'NA'"),
    ],
)
def test_a_first_row_without_its_first_sample_is_no_header(tmp_path, text, line):
    refusal = f"a cell that is not a number in {line}" if line else "1 columns in line 2, but 3 below"
    with pytest.raises(RecordingError, match=rf"^a\.csv has {refusal}$"):
        laid_out(tmp_path, text)


@pytest.mark.parametrize("line", ["mV,s", "250", ",", "-,-", "5,-5"])
def test_a_line_below_the_names_that_is_no_row_is_a_header(tmp_path, line):
    layout, rows = laid_out(tmp_path, f"time,ecg\n{line}\n0.0,0.5\n0.1,0.25\n0.2,0.5\n")
    assert (layout.header, len(rows)) == ((1, 4) if line == "5,-5" else (2, 3))


@pytest.mark.parametrize("line", ["10:00:00,start", "10:00:00", "-,-\n-,-"])
def test_a_line_above_the_names_is_a_header_though_it_has_a_time(tmp_path, line):
    assert len(laid_out(tmp_path, f"{line}\ntime,ecg\n10:00:01,0.5\n10:00:02,0.25\n")[1]) == 2


def test_a_comment_names_no_time_above_a_first_column_that_falls(tmp_path):
    layout, _ = laid_out(tmp_path, "# Time of the ward, by A\n# end\n0.5,1.5\n0.25,2.5\n0.75,1.25\n")
    assert layout.labels == ("", "")


@pytest.mark.parametrize("first", ["0.0", "00:00.0"])
def test_a_line_of_counts_below_the_names_is_a_header(tmp_path, first):
    text = f"min\tCH1\tCH2\n\t5000\t5000\n{first}\t1.5\t2\n{first}1\t1.25\t3\n{first}2\t1.5\t4\n"  # BIOPAC
    layout, rows = laid_out(tmp_path, text)
    assert (layout.header, len(rows), layout.labels[0].strip()) == (2, 3, "min")


@pytest.mark.parametrize("line", ["Start,10:00:00", "begun at,2024-01-01", ",0"])
def test_a_line_with_a_time_above_the_names_is_a_header(tmp_path, line):
    layout, rows = laid_out(tmp_path, f"{line}\necg,time\n0.5,10:00:01\n0.25,10:00:02\n")
    assert (layout.header, len(rows)) == (2, 2)


def test_two_decimal_marks_are_named(tmp_path):
    with pytest.raises(
        RecordingError, match=r"^a\.csv has decimal points and decimal commas, as in line 2: '0\.5;1,5'$"
    ):
        laid_out(tmp_path, "Zeit;EKG\n0.5;1,5\n0.75;2,5\n")


@pytest.mark.parametrize(
    "line", ["Gain,0.5", "Gain,0.5,", "Gain: -1.5e3 mV", "gain;2", "Age,34", "Date,2020-01-01", "fs,250.0"]
)
@pytest.mark.parametrize("names", [("time", "ecg"), ("time", "a", "b"), ("ecg",)])
def test_a_word_and_its_value_above_the_names_are_none_of_them(tmp_path, line, names):
    row = ",".join(["0.5", "1", "2"][: len(names)])
    layout, rows = laid_out(tmp_path, f"{line}\nSubject,12\n{','.join(names)}\n{row}\n{row}\n{row}\n")
    assert (layout.labels, layout.header, len(rows)) == (names, 3, 3)
    assert layout.rate == (250 if line.startswith("fs") else None)


@pytest.mark.parametrize("line", ["Date,20240101", "Recording time,3600", "Time (s),10", "Delay (ms),0", "Sample,7"])
@pytest.mark.parametrize("below", ["ECG1,ECG2", "time,ecg\ns,mV", "T,S"])
def test_a_word_for_time_and_a_whole_number_above_names_are_a_setting(tmp_path, line, below):
    layout, _ = laid_out(tmp_path, f"{line}\n{below}\n0.5,1.5\n0.25,1\n0.75,2\n")
    first = below.split("\n")
    assert layout.labels == (("time s", "ecg mV") if len(first) > 1 else tuple(first[0].split(",")))


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("Sample interval (ms),4", 250),
        ("Sampling interval: 4 ms", 250),
        ("sample_period_us,4000", 250),
        ("Sampling period (s);0.004", 250),
        ("Sample Interval = 4000 µs", 250),
        ("Sample interval,4", None),  # in what?
        ("Sample interval (ms): 2,5", None),
        ("Sample interval (ms),0", None),
        ("fs,0", None),
        ("Sampling rate: 0 Hz", None),
    ],
)
def test_intervals_of_the_header_are_rates_where_they_have_a_unit(tmp_path, line, rate):
    layout, _ = laid_out(tmp_path, f"{line}\ntime (s),ecg\n0.0,1.5\n0.004,1\n0.008,2\n")
    assert (layout.rate, layout.labels) == (rate, ("time (s)", "ecg"))


@pytest.mark.parametrize("line", ["Gain;0,5;0,7", "Gain;0,5;mV", "Range;;10", "Channel;1;2"])
def test_a_word_and_its_values_above_the_names_are_none_of_them(tmp_path, line):
    layout, rows = laid_out(tmp_path, f"{line}\nZeit;I;II\n0,0;1,5;2\n0,1;1,25;3\n0,2;1,5;4\n")
    assert (layout.labels, layout.header, len(rows)) == (("Zeit", "I", "II"), 2, 3)


@pytest.mark.parametrize("names", ["time,0,1", "sample,1,2", "time,0"])
def test_whole_numbers_may_name_columns_above_their_units(tmp_path, names):
    lines = [names, *("s,mV,mV", "0.0,1.5,2", "0.1,1.25,3", "0.2,1.5,4")]
    columns = names.count(",") + 1
    layout, _ = laid_out(tmp_path, "".join(",".join(line.split(",")[:columns]) + "\n" for line in lines))
    assert layout.labels == tuple(
        f"{name} {unit}" for name, unit in zip(names.split(","), ("s", "mV", "mV"), strict=False)
    )


def test_a_rate_needs_no_names_below_it(tmp_path):
    layout, rows = laid_out(tmp_path, "fs,250\n0.5,1.5\n0.25,1\n0.5,2\n")
    assert (layout.labels, layout.rate, len(rows)) == (("", ""), 250, 3)


def test_a_word_and_a_number_that_are_neither_names_nor_a_row_are_named(tmp_path):
    with pytest.raises(RecordingError) as refusal:
        laid_out(tmp_path, "Gain,0.5\n0.5,1.5\n0.25,1\n0.5,2\n")
    why = "which neither names the columns nor is a row of numbers: leave that line out, or begin it with #"
    assert str(refusal.value) == f"a.csv has 'Gain, 0.5' in line 1, {why}"


@pytest.mark.parametrize("word", ["fs", "Sampling rate (Hz)", "fs,", '"fs"', "fs (kHz)"])
@pytest.mark.parametrize("name", ["", "ecg\n"])
def test_the_rate_may_stand_alone_in_a_line_below_its_word(tmp_path, word, name):
    rate = "0.25" if "kHz" in word else "250"
    layout, rows = laid_out(tmp_path, f"{word}\n{rate}\n{name}" + "0.5\n0.25\n0.125\n")
    assert (layout.rate, layout.labels, layout.has_names) == (250, (name.strip(),), bool(name))
    assert [cells for _, cells in rows] == [["0.5"], ["0.25"], ["0.125"]]
    assert layout.header == (3 if name else 2)


def test_a_first_sample_below_another_word_is_a_sample(tmp_path):
    layout, rows = laid_out(tmp_path, "ecg\n250\n0.5\n0.25\n")
    assert (layout.rate, layout.labels, len(rows)) == (None, ("ecg",), 3)

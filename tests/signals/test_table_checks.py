"""Each check of a table by itself: what it refuses, what it takes, and what it says."""

import itertools
import re

import pytest

from sepray.signals import table_checks
from sepray.signals.recording_types import RecordingError

ROWS = [["0.5", "513"], ["0.25", "514"], ["0.75", "512"]]
TIMES = [["0.0", "5"], ["0.1", "6"], ["0.2", "7"]]


def refused(above, rows, decimal="."):
    """Return why lines above rows are refused; empty where they are not."""
    try:
        table_checks.refuse_rows_above(list(enumerate(above, 1)), rows, decimal, "f")
    except RecordingError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "above",
    [
        [["ecg", "ppg"]],
        [["ecg", "ppg"], ["mV", "V"]],
        [["ecg", "1"]],  # a name with a number beside it, as a lead's
        [["recording of 3 May"], ["ecg", "ppg"]],
        [["ecg", "ppg"], ["-", "-"]],  # no units
    ],
)
def test_headers_are_taken(above):
    assert refused(above, ROWS) == ""


@pytest.mark.parametrize(
    ("above", "line", "cell"),
    [
        ([["ecg", "ppg"], ["-", "512"]], 2, "-"),
        ([["ecg", "ppg"], ["", "512"]], 2, ""),
        ([["-", "512"]], 1, "-"),
        ([["ecg", "ppg"], ["-", "-"], ["NA", "-"]], 3, "NA"),
        ([["7", "3x"]], 1, "3x"),
    ],
)
def test_rows_without_a_sample_are_refused(above, line, cell):
    assert refused(above, ROWS) == f"f has a cell that is not a number in line {line}: {cell!r}"


def test_row_above_that_goes_on_and_lacks_columns_is_refused():
    assert refused([["time", "a"], ["-0.1"]], TIMES) == "f has 1 columns in line 2, but 2 below"
    assert refused([["time", "a"], ["0.1"]], TIMES) == ""  # no time before that of the first row
    clocks = [["10:00:01", "5"], ["10:00:02", "6"]]
    assert refused([["time", "a"], ["10:00:00"]], clocks) == "f has 1 columns in line 2, but 2 below"


@pytest.mark.parametrize(
    ("rows", "falls", "may_be"), [(8, 1, True), (7, 1, False), (16, 2, True), (15, 2, False), (3, 0, True)]
)
def test_one_row_in_eight_of_a_column_of_times_may_fall(rows, falls, may_be):
    values = [float(k % (rows // (falls + 1) + 1)) for k in range(rows)]
    assert sum(b < a for a, b in itertools.pairwise(values)) == falls
    assert table_checks.may_be_times([[str(value), "x"] for value in values], ".") is may_be


def test_cells_that_are_no_numbers_do_not_count_as_falls():
    assert table_checks.may_be_times([["5", ""], ["10:00", ""], ["4,5", ""]], ".")
    assert not table_checks.may_be_times([["5", ""], ["10:00", ""], ["4,5", ""]], ",")


@pytest.mark.parametrize(
    ("rows", "example"),
    [
        ([["0", "004"], ["0", "008"], ["1", "12"]], "0,004"),
        ([["-0", "5"], ["1", "25"]], "-0,5"),
        ([["7", "0", "5"], ["8", "1", "05"]], "1,05"),
        ([["3", "004"], ["+3", "2"]], "3,004"),
    ],
)
def test_fractions_beside_whole_numbers_are_refused(rows, example):
    wanted = f"f has commas that look like decimal marks, as in {example}: write points, or separate the columns by "
    with pytest.raises(RecordingError, match=f"^{re.escape(wanted)}semicolons under a line with their names$"):
        table_checks.refuse_split_numbers(rows, "f")


@pytest.mark.parametrize(
    "rows",
    [
        [["0", "4"], ["1", "12"]],  # no zeros in front
        [["00", "04"], ["01", "12"]],  # all of one width
        [["01", "004"], ["02", "008"]],  # zeros in front of the first too
        [["0.5", "004"], ["0", "008"]],
        [["0", "-004"], ["0", "008"]],  # a fraction has no sign
    ],
)
def test_whole_numbers_are_taken(rows):
    table_checks.refuse_split_numbers(rows, "f")


def test_column_of_row_names_gets_no_name_where_it_counts():
    rows = [["1", "0.5", "2"], ["2", "0.25", "3"], ["3", "0.75", "4"]]
    named = [["title"], ["a", "b"]]
    assert table_checks.refuse_other_names(named, rows, ",", "f") == [["", "a", "b"]]
    assert table_checks.refuse_other_names(named, rows, None, "f") == [["", "a", "b"]]
    assert table_checks.refuse_other_names([["a", "b"]], [["1", "0.5", "2"], ["3", "1.5", "2"]], None, "f") == [
        ["a", "b"]
    ]


@pytest.mark.parametrize("named", [[], [["a"]], [["a", "5"]]])
def test_lines_that_name_no_columns_are_left_as_they_are(named):
    assert table_checks.refuse_other_names(named, [["0.5", "2", "1"], ["0.5", "3", "1"]], ",", "f") == named


def test_names_of_fewer_or_more_columns_are_refused():
    rows = [["0.5", "2", "1"], ["0.5", "3", "1"]]
    told = "f names 2 columns (a, b) above rows of 3 cells: name each column, or begin the line with # if it names none"
    with pytest.raises(RecordingError, match=f"^{re.escape(told)}$"):
        table_checks.refuse_other_names([["a", " 'b'"]], rows, ";", "f")
    long = ["x" * 20, "y" * 20]
    with pytest.raises(RecordingError, match=re.escape(f"({'x' * 20}, {'y' * 18} ...)")):
        table_checks.refuse_other_names([long], rows, ";", "f")


def test_whole_numbers_between_commas_below_fewer_names_are_decimal_commas():
    rows = [["0", "5", "1", "25"], ["0", "75", "2", "5"]]
    with pytest.raises(RecordingError, match="decimal marks, as in 0,75,2,5: write points"):
        table_checks.refuse_other_names([["a", "b"]], rows, ",", "f")
    with pytest.raises(RecordingError, match="names 2 columns"):
        table_checks.refuse_other_names([["a", "b"]], rows, ";", "f")


@pytest.mark.parametrize(
    ("rows", "are"),
    [
        ([["0", "1"], ["0.25", "-1.5"], ["0.75", "1.5"]], True),
        ([["1", "2"], ["0.25", "-1.5"], ["0.75", "1.5"]], True),
        ([["2", "3"], ["0.25", "-1.5"], ["0.75", "1.5"]], False),  # counts from neither 0 nor 1
        ([["0", "1"], ["0.25", "-1.5"]], False),  # two rows say too little
        ([["0"], ["0.25"], ["0.75"]], False),
        ([["0", "1"], ["0.004", "2.5"], ["0.008", "1.5"]], False),  # the first of even times
        ([["0", "1"], ["0.004", "2.5"], ["0.012", "1.5"]], True),
        ([["0", "1"], ["-3", "0"], ["4", "5"]], False),  # of the kind of the values below
        ([["0", "1"], ["3", "2"], ["4", "5"]], True),
        ([["0", "1"], ["x", "2.5"], ["0.5", "1.5"]], False),
        ([], False),
    ],
)
def test_first_row_may_number_the_columns(rows, are):
    assert table_checks.are_column_numbers(rows, ".") is are


@pytest.mark.parametrize(
    ("cells", "kept"),
    [(["a", "", " "], ["a"]), (["", ""], [""]), (["a", "", "b"], ["a", "", "b"]), (["a", "b", ""], ["a", "b"])],
)
def test_empty_cells_at_the_end_go_and_one_stays(cells, kept):
    assert table_checks.cells_without_end(cells) == kept


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["t,x,a", "0,,1", "1,,2"], "nothing in column 2 (x), as in line 3"),
        (["0;1;N", "1;2;V", "2;3;N"], "text: 'V' in column 3, as in line 2"),
        (["a\tb", "1\ts0", "2\ts1"], "text: 's1' in column 2 (b), as in line 3"),
    ],
)
def test_column_without_numbers_is_named_with_a_line(lines, what):
    told = f"f has {what}: leave that column out, or fill it with numbers"
    assert table_checks.column_without_numbers(lines, "f") == told


@pytest.mark.parametrize(
    "lines", [["1,2", "3,4"], ["a,b", "1,x"], ["a b", "c d"], ["p,q", "r,s", "t,u", "1,x", "2,y"], []]
)
def test_lines_that_are_nothing_like_it_have_no_such_column(lines):
    assert table_checks.column_without_numbers(lines, "f") == ""


def test_two_decimal_marks_in_a_line_of_numbers_are_told():
    told = "f has decimal points and decimal commas, as in line 2: '0.5;1,5'"
    assert table_checks.two_decimal_marks(["a;b", "0.5;1,5"], "f") == told
    assert table_checks.two_decimal_marks(["0.5\t1,5"], "f").endswith(r"as in line 1: '0.5\t1,5'")
    for line in ("0.5;1.5", "0,5;1,5", "a.b;1,5", "0.5,1"):
        assert table_checks.two_decimal_marks([line], "f") == ""

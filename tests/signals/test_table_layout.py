"""Where the rows of a table begin, and how many columns they have."""

import pytest

from sepray.signals import table_layout
from sepray.signals.recording_types import RecordingError
from sepray.signals.table_layout import layout_of


def laid_out(folder, text):
    file = folder / "a.csv"
    file.write_text(text)
    layout = layout_of(file, "a.csv")
    with file.open() as lines:
        return layout, list(layout.rows(lines))


@pytest.mark.parametrize("before", ["1,2,3\n", "a note\n1,2,3\n4,5,6\n"])
def test_columns_are_those_of_most_rows_and_lines_before_them_are_passed_over(tmp_path, before):
    data = [[f"{k}.5", f"{-k}.25"] for k in range(6)]
    layout, rows = laid_out(tmp_path, before + "".join(",".join(cells) + "\n" for cells in data))
    start = before.count("\n")
    assert (layout.separator, layout.header, len(layout.labels)) == (",", start, 2)
    assert rows == [(start + 1 + k, cells) for k, cells in enumerate(data)]


def test_a_column_of_decimal_commas_is_not_read_as_two(tmp_path):
    with pytest.raises(
        RecordingError, match=r"a\.csv has commas that look like decimal marks, as in -0,012: write points"
    ):
        laid_out(tmp_path, "0,5\n-0,012\n1,25\n")
    assert len(laid_out(tmp_path, "1,5\n-2,12\n3,25\n")[0].labels) == 2  # whole numbers, perhaps
    assert laid_out(tmp_path, "lead\n0,5\n-0,012\n1,25\n")[0].decimal == ","
    assert len(laid_out(tmp_path, "a,b\n0,5\n1,12\n")[0].labels) == 2


@pytest.mark.parametrize(
    ("cells", "kept"),
    [(["1", "2", " "], ["1", "2"]), (["1", "", "2"], ["1", "", "2"]), (["1", ""], ["1", ""]), (["1", "2"], ["1", "2"])],
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
        (b"a\0b", "utf-8"),
    ],
)
def test_first_bytes_tell_the_encoding(head, encoding):
    assert table_layout._encoding(head) == encoding

"""Where the rows of a table begin, and how many columns they have."""

import pytest

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

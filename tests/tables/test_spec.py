"""The description of a published table: its figures as printed, and what it refuses."""

import pytest

from sepray.errors import UsageError
from sepray.tables.spec import Data, Form, Part, Row, Table, rows_of

DATA = Data("stems", ("folder=:synthesised:",), "five small tracks")
FULL, MINUTES = Form(500, 5), Form(4, 2)


def test_figures_are_checked_when_a_table_is_written():
    part = Part("", DATA, (Row("A", "nmf", {"low": "1.0 - 3.0"}),))
    three = Table("t", "T", ("si_sdr", "snr", "sdr"), (part,), FULL, MINUTES)
    assert three.published(part.rows[0], "low") == {"si_sdr": "1.0", "sdr": "3.0"}
    with pytest.raises(UsageError, match="more figures than the table has measures"):
        Table("t", "T", ("si_sdr",), (part,), FULL, MINUTES)
    with pytest.raises(UsageError, match=r"'1.O', which is no number"):
        Table("t", "T", ("snr",), (Part("", DATA, (Row("A", "nmf", {"low": "1.O"}),)),), FULL, MINUTES)
    with pytest.raises(UsageError, match="neither a separator nor a reason"):
        Table("t", "T", ("snr",), (Part("", DATA, (Row("A"),)),), FULL, MINUTES)
    twice = (Row("A b", "nmf"), Row("A-b", "nmf"))
    with pytest.raises(UsageError, match="have one name"):
        Table("t", "T", ("snr",), (Part("", DATA, twice),), FULL, MINUTES)


def test_line_of_a_table_whose_columns_are_methods_becomes_rows():
    rows = rows_of({"NMF": "nmf", "NES": "neural_egg"}, "speech", "2.4 0.1, 7.5 0.2")
    assert rows == (Row("NMF", "nmf", {"speech": "2.4 0.1"}), Row("NES", "neural_egg", {"speech": "7.5 0.2"}))
    with pytest.raises(UsageError, match="3 figures for 1 methods"):
        rows_of({"NMF": "nmf"}, "speech", "1, 2, 3")
